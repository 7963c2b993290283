// Attention in blocks of queries: only the scores of one block are stored at a time. Keys that the bias masks on either
// side of a block are skipped. Keys and values are arguments, or are written to a cache first.
#include "attention.h"

#include <algorithm>
#include <vector>

#include "blocks.h"
#include "gemm_microkernel.h"

namespace {

using namespace mf;

constexpr int64_t kBlock = 32;      // queries
constexpr int64_t kFewQueries = 8;  // are not worth packing keys for: these are read where they are
constexpr int64_t kLeast = 32768;   // elements that justify another thread

struct Range {
  int64_t begin, end;
};

// The keys that any of the queries from `first` on attends to, from a whole panel on; `workspace`: as many numbers as keys.
MF_INLINE Range visible(const Attention& a, int64_t b, int64_t first, int64_t count, float* workspace) {
  Range seen = {0, a.keys};
  if (a.bias) {
    memcpy(workspace, a.bias_of(b, first), a.keys * sizeof(float));
    for (int64_t i = first + 1; i < first + count; i++)
      by_vector(0, a.keys, [&](int64_t c, int64_t some) MF_INLINED {
        put(workspace + c, larger(take(workspace + c, some), take(a.bias_of(b, i) + c, some)), some);
      });
    while (seen.end > 0 && workspace[seen.end - 1] <= -1e4f) seen.end--;
    while (seen.begin < seen.end && workspace[seen.begin] <= -1e4f) seen.begin++;
  } else {
    seen = {a.keys, 0};
    for (int64_t i = first; i < first + count; i++) {
      seen.begin = std::min(seen.begin, a.first_seen(a.position(b, i)));
      seen.end = std::max(seen.end, a.position(b, i) + 1);
    }
  }
  seen.begin = seen.begin / kPanel * kPanel;
  return seen;
}

// The exponentials of one query's scores over the keys of `seen`, which `scores` begins with; returns their sum.
MF_INLINE float weigh(const Attention& a, int64_t b, int64_t h, int64_t i, Range seen, float* scores) {
  Floats most = all(-INFINITY);
  const int64_t count = seen.end - seen.begin;
  const auto capped = [&](Floats x) MF_INLINED { return a.soft_cap > 0 ? a.soft_cap * tanh(x / a.soft_cap) : x; };
  if (a.bias) {
    const float* bias = a.bias_of(b, i) + seen.begin;
    by_vector(0, count, [&](int64_t c, int64_t some) MF_INLINED {
      const Floats score = take(scores + c, some) * a.scale + take(bias + c, some, -INFINITY);
      most = larger(score, most);
      put(scores + c, score, some);
    });
  } else {
    const int64_t position = a.position(b, i), begin = std::max(a.first_seen(position) - seen.begin, int64_t{0}),
                  end = position + 1 - seen.begin;
    for (int64_t c = 0; c < begin; c++) scores[c] = -INFINITY;
    for (int64_t c = end; c < count; c++) scores[c] = -INFINITY;
    if (a.soft_cap > 0 || a.slopes) {
      const float slope = a.slopes ? a.slopes[h] : 0;
      for (int64_t c = begin; c < end; c += kWidth) {
        const int64_t some = std::min(kWidth, end - c);
        Floats distance;
        for (int64_t k = 0; k < kWidth; k++) distance[k] = float(seen.begin + c + k - position);
        Floats score = capped(take(scores + c, some) * a.scale) + slope * distance;
        put(scores + c, score, some);
        most = larger(take(scores + c, some, -INFINITY), most);
      }
    } else {
      by_vector(begin, end, [&](int64_t c, int64_t some) MF_INLINED {
        const Floats score = take(scores + c, some, -INFINITY) * a.scale;
        most = larger(score, most);
        put(scores + c, score, some);
      });
    }
  }
  float top = largest(most);
  if (!a.sinks) return powers(scores, scores, count, top);
  top = std::max(top, a.sinks[h]);
  return powers(scores, scores, count, top) + std::exp(a.sinks[h] - top);
}

MF_INLINE float dot(const float* a, const float* b, int64_t size) {
  Floats sums = {};
  by_vector(0, size, [&](int64_t i, int64_t some) MF_INLINED { sums += take(a + i, some) * take(b + i, some); });
  return sum(sums);
}

// Attention of the heads begin … end, counted over the batch, for few queries.
void forward_few(const Attention& a, const Heads<float>& out, int64_t begin, int64_t end) {
  std::vector<float> scores(a.keys);
  for (int64_t n = begin; n < end; n++) {
    const int64_t b = n / a.heads, h = n % a.heads, g = a.group_of(h);
    for (int64_t i = 0; i < a.queries; i++) {
      const Range seen = visible(a, b, i, 1, scores.data());
      const float *key = a.key.at(b, g, 0), *value = a.value.at(b, g, 0), *query = a.query.at(b, h, i);
      float *row = out.at(b, h, i), *weights = scores.data();
      for (int64_t c = seen.begin; c < seen.end; c++) weights[c] = dot(query, key + c * a.key.row, a.size);
      const float total = weigh(a, b, h, i, seen, weights + seen.begin);
      memset(row, 0, a.size * sizeof(float));
      for (int64_t c = seen.begin; c < seen.end; c++)
        by_vector(0, a.size, [&](int64_t k, int64_t some) MF_INLINED {
          put(row + k, take(row + k, some) + weights[c] / total * take(value + c * a.value.row + k, some), some);
        });
    }
  }
}

// A thread's scratch memory for one head.
struct Scratch {
  int64_t width, columns, row = -1, end = 0;  // end: of the keys that any query attends to
  std::vector<float> key, value, query, scores, out;
  std::vector<Range> seen;  // by each block of queries in `row` of the batch

  Scratch(const Attention& a)
      : width(padded(a.size, kWidth)), columns(padded(a.keys, kPanel)), key(columns * width), value(columns * width),
        query(kBlock * width), scores(kBlock * columns), out(kBlock * width) {}

  void look(const Attention& a, int64_t b) {
    if (row == b) return;
    row = b;
    seen.clear();
    for (int64_t first = 0; first < a.queries; first += kBlock)
      seen.push_back(visible(a, b, first, std::min(kBlock, a.queries - first), scores.data()));
    end = 0;
    for (const Range& range : seen) end = std::max(end, range.end);
  }
};

// The rows of a head in panels of kPanel rows each: (panels, size, kPanel). Missing rows are zeros.
void pack_panels(const float* x, int64_t x_row, int64_t rows, int64_t size, float* y) {
  static_assert(kPanel == Panels::kColumns, "");
  for (int64_t i = 0; i < rows; i += kPanel)
    Panels::pack<true>(Operand<float>{x + i * x_row, x_row, 1}, std::min(kPanel, rows - i), size, y + i * size);
}

// y (count, columns) = rows (count, size) @ the packed columns; only the panels of the range.
MF_INLINE void products(const Scratch& s, Operand<float> rows, const float* columns, int64_t size, Range seen, int64_t count,
                        float* y) {
  for (int64_t c = seen.begin; c < seen.end; c += kPanel)
    block_product(rows, columns + c * size, kPanel, y + c, s.columns, count, size, kPanel, false);
}

// Scores by key, not by query.
MF_INLINE Operand<float> across(const float* scores, const Scratch& s) { return {scores, 1, s.columns}; }

// Heads begin … end, counted over the batch.
void forward(const Attention& a, const Heads<float>& out, int64_t begin, int64_t end) {
  Scratch s(a);
  int64_t packed = -1;
  const bool ready = a.value.row == s.width;  // values need not be packed
  for (int64_t n = begin; n < end; n++) {
    const int64_t b = n / a.heads, h = n % a.heads, g = a.group_of(h);
    s.look(a, b);
    if (packed != b * a.groups + g) {
      packed = b * a.groups + g;
      pack_panels(a.key.at(b, g, 0), a.key.row, s.end, a.size, s.key.data());
      if (!ready) pack(a.value.at(b, g, 0), a.value.row, s.end, a.size, s.value.data(), s.width);
    }
    const float* value = ready ? a.value.at(b, g, 0) : s.value.data();
    for (int64_t first = 0; first < a.queries; first += kBlock) {
      const int64_t count = std::min(kBlock, a.queries - first);
      const Range seen = s.seen[first / kBlock];
      products(s, {a.query.at(b, h, first), a.query.row, 1}, s.key.data(), a.size, seen, count, s.scores.data());
      float totals[kBlock];
      for (int64_t i = 0; i < count; i++)
        totals[i] = weigh(a, b, h, first + i, seen, s.scores.data() + i * s.columns + seen.begin);
      const Operand<float> weights = {s.scores.data() + seen.begin, s.columns, 1};
      block_product(weights, value + seen.begin * s.width, s.width, s.out.data(), s.width, count, seen.end - seen.begin,
                    s.width, false);
      for (int64_t i = 0; i < count; i++) {
        const float factor = seen.end > seen.begin ? 1 / totals[i] : 0;
        float* row = out.at(b, h, first + i);
        by_vector(0, a.size, [&](int64_t k, int64_t some) MF_INLINED {
          put(row + k, take(s.out.data() + i * s.width + k, some) * factor, some);
        });
      }
    }
  }
}

struct Gradients {
  Heads<float> query, key, value;
};

// Heads of keys and values begin … end, counted over the batch. The attention weights are recomputed.
void backward(const Attention& a, const Heads<const float>& dout, const Gradients& d, int64_t begin,
                        int64_t end) {
  Scratch s(a);
  std::vector<float> rows(s.key.size()), values(s.key.size()), given(s.query.size()), dscores(s.scores.size());
  std::vector<float> dkey(s.key.size()), dvalue(s.key.size());
  for (int64_t n = begin; n < end; n++) {
    const int64_t b = n / a.groups, g = n % a.groups, shared = a.heads / a.groups;
    pack_panels(a.key.at(b, g, 0), a.key.row, a.keys, a.size, s.key.data());
    pack_panels(a.value.at(b, g, 0), a.value.row, a.keys, a.size, values.data());
    pack(a.key.at(b, g, 0), a.key.row, a.keys, a.size, rows.data(), s.width);
    s.look(a, b);
    std::fill(dkey.begin(), dkey.end(), 0.0f);
    std::fill(dvalue.begin(), dvalue.end(), 0.0f);
    for (int64_t h = g * shared; h < (g + 1) * shared; h++)
      for (int64_t first = 0; first < a.queries; first += kBlock) {
        const int64_t count = std::min(kBlock, a.queries - first);
        const Range seen = s.seen[first / kBlock];
        const int64_t wide = seen.end - seen.begin;
        pack(a.query.at(b, h, first), a.query.row, count, a.size, s.query.data(), s.width);
        pack(dout.at(b, h, first), dout.row, count, a.size, given.data(), s.width);
        products(s, {s.query.data(), s.width, 1}, s.key.data(), a.size, seen, count, s.scores.data());
        products(s, {given.data(), s.width, 1}, values.data(), a.size, seen, count, dscores.data());
        float *weights = s.scores.data() + seen.begin, *dweights = dscores.data() + seen.begin;
        for (int64_t i = 0; i < count; i++) {
          float *p = weights + i * s.columns, *dp = dweights + i * s.columns;
          const float factor = 1 / weigh(a, b, h, first + i, seen, p);
          Floats sums = {};
          by_vector(0, wide, [&](int64_t c, int64_t some) MF_INLINED {
            const Floats weight = take(p + c, some) * factor;
            put(p + c, weight, some);
            sums += weight * take(dp + c, some);
          });
          const float total = sum(sums);
          by_vector(0, wide, [&](int64_t c, int64_t some) MF_INLINED {
            put(dp + c, take(p + c, some) * (take(dp + c, some) - total) * a.scale, some);
          });
        }
        const int64_t offset = seen.begin * s.width;
        const Operand<float> each = {dweights, s.columns, 1};
        block_product(across(weights, s), given.data(), s.width, dvalue.data() + offset, s.width, wide, count, s.width, true);
        block_product(across(dweights, s), s.query.data(), s.width, dkey.data() + offset, s.width, wide, count, s.width, true);
        block_product(each, rows.data() + offset, s.width, s.out.data(), s.width, count, wide, s.width, false);
        for (int64_t i = 0; i < count; i++)
          memcpy(d.query.at(b, h, first + i), s.out.data() + i * s.width, a.size * sizeof(float));
      }
    for (int64_t i = 0; i < a.keys; i++) {
      memcpy(d.key.at(b, g, i), dkey.data() + i * s.width, a.size * sizeof(float));
      memcpy(d.value.at(b, g, i), dvalue.data() + i * s.width, a.size * sizeof(float));
    }
  }
}

// Of (B, S, H * D).
template <typename T>
Heads<T> beside(const Array& x, int64_t size) {
  return {x.as<T>(), x.axis(1) * x.axis(2), size, x.axis(2)};
}

template <typename T>
Heads<T> like(const Heads<const float>& other, const Array& x) {
  return {x.as<T>(), other.batch, other.head, other.row};
}

// Whether the shapes fit attention with heads of `size`, `groups` key-value heads and a bias.
bool fit(const Array& query, const Array& bias, int64_t size, int64_t groups, int64_t keys) {
  if (query.rank != 3 || bias.rank != 4 || size < 1 || groups < 1 || query.axis(2) % size != 0) return false;
  const int64_t heads = query.axis(2) / size;
  return heads % groups == 0 && (bias.axis(0) == 1 || bias.axis(0) == query.axis(0)) && bias.axis(1) == 1 &&
         bias.axis(2) == query.axis(1) && bias.axis(3) == keys;
}

// Arguments of self-attention, and whether they fit.
bool given(const mf::Arrays& in, Attention* a) {
  const Array query = in[0], key = in[1], value = in[2], bias = in[3], heads = in[4], scale = in[5];
  if (!are("float32", {query, key, value, bias, scale}) || !heads.is("int32")) return false;
  const int64_t count = *heads.as<int32_t>();
  if (query.rank != 3 || key.rank != 3 || count < 1 || query.axis(2) % count != 0) return false;
  const int64_t size = query.axis(2) / count, groups = size ? key.axis(2) / size : 0;
  if (!fit(query, bias, size, groups, key.axis(1)) || key.axis(0) != query.axis(0) || key.axis(2) != groups * size ||
      value.rank != 3 || value.axis(0) != key.axis(0) || value.axis(1) != key.axis(1) || value.axis(2) != key.axis(2))
    return false;
  *a = {beside<const float>(query, size), beside<const float>(key, size), beside<const float>(value, size),
        bias.as<float>(), bias.axis(0) == 1 ? 0 : bias.axis(2) * bias.axis(3), count, groups, size, query.axis(1),
        key.axis(1), *scale.as<float>()};
  return true;
}

}  // namespace

void mf::attend(const Attention& given, int64_t batch, const Heads<float>& out) {
  Attention a = given;
  if (!a.bias) {  // of a large cache, no more than what is in use
    a.keys = 0;
    for (int64_t i = 0; i < batch * a.queries; i++) a.keys = std::max<int64_t>(a.keys, a.positions[i] + 1);
  }
  share(batch * a.heads, 1, 2, [&](int64_t begin, int64_t end) {
    a.queries <= kFewQueries ? forward_few(a, out, begin, end) : forward(a, out, begin, end);
  });
}

bool mf::put_rows(const Array& slots, const Heads<const float>& rows, int64_t batch, int64_t heads, int64_t count,
                  const Array& cache) {
  const int64_t size = cache.axis(-1);
  const int32_t* slot = slots.as<int32_t>();
  for (int64_t i = 0; i < batch * heads * count; i++)
    if (slot[i] < 0 || slot[i] >= cache.axis(0)) return false;
  share(batch * heads, 1, kLeast / (count * size + 1) + 2, [&](int64_t begin, int64_t end) {
    for (int64_t n = begin; n < end; n++)
      for (int64_t i = 0; i < count; i++)
        memcpy(cache.as<float>() + slot[n * count + i] * size, rows.at(n / heads, n % heads, i), size * sizeof(float));
  });
  return true;
}

void mf::write_rows(const int32_t* slots, const Heads<const float>& rows, int64_t batch, int64_t groups, int64_t count,
                    int64_t capacity, int64_t size, float* cache) {
  share(batch * groups, 1, kLeast / (count * size + 1) + 2, [&](int64_t begin, int64_t end) {
    for (int64_t n = begin; n < end; n++)
      for (int64_t i = 0; i < count; i++) {
        const int64_t slot = slots[n / groups * count + i];
        memcpy(cache + (n * capacity + slot) * size, rows.at(n / groups, n % groups, i), size * sizeof(float));
      }
  });
}

// query (B, S, H * D), key and value (B, T, G * D), bias (B or 1, 1, S, T), heads (1,) int32, scale (1,) -> like query
MF_OPERATOR(mf_self_attention) {
  Attention a;
  const Array out = in[6];
  if (!given(in, &a) || !out.is("float32") || out.size() != in[0].size()) return 1;
  attend(a, in[0].axis(0), like<float>(a.query, out));
  return 0;
}

// The same, and dout like query -> dquery, dkey, dvalue
MF_OPERATOR(mf_self_attention_gradient) {
  Attention a;
  const Array dout = in[6], dquery = in[7], dkey = in[8], dvalue = in[9];
  if (!given(in, &a) || !are("float32", {dout, dquery, dkey, dvalue}) || dout.size() != in[0].size() ||
      dquery.size() != in[0].size() || dkey.size() != in[1].size() || dvalue.size() != in[2].size())
    return 1;
  const Gradients d = {like<float>(a.query, dquery), like<float>(a.key, dkey), like<float>(a.value, dvalue)};
  const Heads<const float> from = like<const float>(a.query, dout);
  mf::share(in[0].axis(0) * a.groups, 1, 2, [&](int64_t begin, int64_t end) { backward(a, from, d, begin, end); });
  return 0;
}

// cache (P, D), slots (N,) int32, rows (…, D) -> (P, D), the cache with the rows in it; all fp32 but the slots
MF_OPERATOR(mf_write_cache) {
  const Array cache = in[0], slots = in[1], rows = in[2], out = in[3];
  const int64_t size = cache.axis(-1);
  if (!are("float32", {cache, rows, out}) || !slots.is("int32")) return 1;
  if (rows.size() != slots.size() * size || out.size() != cache.size()) return 1;
  if (!put_rows(slots, {rows.as<const float>(), 0, 0, size}, 1, 1, slots.size(), cache)) return 1;
  memcpy(out.data, cache.data, cache.size() * sizeof(float));
  return 0;
}

// query (B, S, H * D), key and value (B, T, G * D), bias (B, 1, S, C), slots (B * G * T,) int32, keys and values
// (B * G * C, D), scale (1,) -> like query; all fp32 but the slots
MF_OPERATOR(mf_cached_attention) {
  const Array query = in[0], key = in[1], value = in[2], bias = in[3], slots = in[4], keys = in[5], values = in[6],
              scale = in[7], out = in[8];
  if (!are("float32", {query, key, value, bias, keys, values, scale, out}) || !slots.is("int32")) return 1;
  if (query.rank != 3 || key.rank != 3 || bias.rank != 4 || keys.rank != 2) return 1;
  const int64_t batch = query.axis(0), length = query.axis(1), size = keys.axis(1), capacity = bias.axis(3);
  const int64_t fresh = key.axis(1), groups = size ? key.axis(2) / size : 0;
  if (!fit(query, bias, size, groups, capacity) || bias.axis(0) != batch || key.size() != batch * fresh * groups * size ||
      value.rank != 3 || value.size() != key.size() || slots.size() != batch * groups * fresh ||
      keys.size() != batch * groups * capacity * size || values.size() != keys.size() || out.size() != query.size())
    return 1;
  if (!put_rows(slots, beside<const float>(key, size), batch, groups, fresh, keys) ||
      !put_rows(slots, beside<const float>(value, size), batch, groups, fresh, values))
    return 1;
  const Attention a = {beside<const float>(query, size), stacked(keys, groups, capacity), stacked(values, groups, capacity),
                       bias.as<float>(), length * capacity, query.axis(2) / size, groups, size, length, capacity,
                       *scale.as<float>()};
  attend(a, batch, like<float>(a.query, out));
  return 0;
}
