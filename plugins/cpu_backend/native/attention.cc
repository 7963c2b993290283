// The cache of keys and values: tokens are put into it, and a step of decoding looks at what it has.
#include "operator.h"
#include "simd.h"

#include <vector>

namespace {

using namespace mf;

MF_INLINE float dot(const float* a, const float* b, int64_t size) {
  Floats sums = {};
  int64_t i = 0;
  for (; i + kWidth <= size; i += kWidth) sums += load(a + i) * load(b + i);
  float total = sum(sums);
  for (; i < size; i++) total += a[i] * b[i];
  return total;
}

MF_INLINE void add_scaled(float* y, const float* x, float factor, int64_t size) {
  int64_t i = 0;
  for (; i + kWidth <= size; i += kWidth) store(y + i, load(y + i) + factor * load(x + i));
  for (; i < size; i++) y[i] += factor * x[i];
}

struct Step {
  const float *query, *bias, *keys, *values;
  float* out;
  int64_t heads, groups, size, capacity;  // groups: heads of keys and values
  float scale;
};

// Heads begin … end, counted over the batch.
MF_CLONES void attend(const Step& s, int64_t begin, int64_t end) {
  std::vector<float> scores(s.capacity);
  for (int64_t h = begin; h < end; h++) {
    const int64_t row = h / s.heads, group = row * s.groups + h % s.heads / (s.heads / s.groups);
    const float* bias = s.bias + row * s.capacity;
    const float* keys = s.keys + group * s.capacity * s.size;
    const float* values = s.values + group * s.capacity * s.size;
    float* out = s.out + h * s.size;
    int64_t first = 0, last = s.capacity;  // what lies outside is hidden
    while (last > first && bias[last - 1] < -1e4f) last--;
    while (first < last && bias[first] < -1e4f) first++;
    for (int64_t c = first; c < last; c++)
      scores[c - first] = dot(s.query + h * s.size, keys + c * s.size, s.size) * s.scale + bias[c];
    const float total = powers(scores.data(), scores.data(), last - first);
    memset(out, 0, s.size * sizeof(float));
    for (int64_t c = first; c < last; c++)
      add_scaled(out, values + c * s.size, scores[c - first] / total, s.size);
  }
}

// Puts rows of `size` numbers into places of a cache; false where a place is none of its `places`.
bool put(const int32_t* slots, int64_t count, int64_t places, int64_t size, const float* rows, float* cache) {
  for (int64_t i = 0; i < count; i++) {
    if (slots[i] < 0 || slots[i] >= places) return false;
    memcpy(cache + slots[i] * size, rows + i * size, size * sizeof(float));
  }
  return true;
}

}  // namespace

// cache (P, D), slots (N,) int32, rows (…, D) -> (P, D), the cache with the rows in it; all fp32 but the slots
MF_OPERATOR(mf_write_cache) {
  const Array cache = in[0], slots = in[1], rows = in[2], out = in[3];
  const int64_t size = cache.axis(-1);
  if (!are("float32", {cache, rows, out}) || !slots.is("int32")) return 1;
  if (rows.size() != slots.size() * size || out.size() != cache.size()) return 1;
  if (!put(slots.as<int32_t>(), slots.size(), cache.axis(0), size, rows.as<float>(), cache.as<float>())) return 1;
  memcpy(out.data, cache.data, cache.size() * sizeof(float));
  return 0;
}

// query (B, H * D), key and value (B, G * D), bias (B, C), slots (B * G,) int32, keys and values (B * G * C, D),
// scale (1,) -> (B, H * D); all fp32 but the slots
MF_OPERATOR(mf_cached_attention) {
  const Array query = in[0], key = in[1], bias = in[3], slots = in[4], keys = in[5], out = in[8];
  const int64_t batch = bias.axis(0), capacity = bias.axis(-1), size = keys.axis(-1), groups = slots.size() / batch;
  const int64_t heads = query.size() / (batch * size);
  if (!are("float32", {query, key, in[2], bias, keys, in[6], in[7], out}) || !slots.is("int32")) return 1;
  if (key.size() != slots.size() * size || keys.size() != slots.size() * capacity * size || groups < 1 ||
      heads % groups != 0 || out.size() != query.size() || query.size() != batch * heads * size)
    return 1;
  const Step step = {query.as<float>(), bias.as<float>(), keys.as<float>(), in[6].as<float>(), out.as<float>(),
                     heads, groups, size, capacity, *in[7].as<float>()};
  const int64_t places = slots.size() * capacity;
  if (!put(slots.as<int32_t>(), slots.size(), places, size, key.as<float>(), keys.as<float>()) ||
      !put(slots.as<int32_t>(), slots.size(), places, size, in[2].as<float>(), in[6].as<float>()))
    return 1;
  mf::share(batch * heads, 1, 2, [&](int64_t begin, int64_t end) { attend(step, begin, end); });
  return 0;
}
