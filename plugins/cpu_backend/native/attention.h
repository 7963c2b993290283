// Attention of few queries, for which keys and values are read where they are, and putting them into a cache.
#pragma once

#include <algorithm>
#include <vector>

#include "blocks.h"
#include "operator.h"

namespace mf {

// Rows of a head, for each head of each row of a batch.
template <typename T>
struct Heads {
  T* data;
  int64_t batch, head, row;  // the distances between them

  T* at(int64_t b, int64_t h, int64_t i) const { return data + b * batch + h * head + i * row; }
};

struct Attention {
  Heads<const float> query, key, value;
  const float* bias;
  int64_t bias_batch;  // 0 where all share one
  int64_t heads, groups, size, queries, keys;  // groups: heads of keys and values; size: of a head
  float scale;

  const float* bias_of(int64_t b, int64_t i) const { return bias + b * bias_batch + i * keys; }
  int64_t group_of(int64_t h) const { return h / (heads / groups); }
};

struct Range {
  int64_t begin, end;
};

// What the queries from `first` on see of the keys, in whole vectors from a whole panel on.
MF_INLINE Range visible(const Attention& a, int64_t b, int64_t first, int64_t count) {
  Range seen = {a.keys, 0};
  by_vector(0, a.keys, [&](int64_t c, int64_t some) MF_INLINED {
    Floats most = all(-INFINITY);
    for (int64_t i = first; i < first + count; i++) most = larger(take(a.bias_of(b, i) + c, some, -INFINITY), most);
    if (largest(most) > -1e4f) seen = {std::min(seen.begin, c), c + some};
  });
  seen.begin = std::min(seen.begin, seen.end) / kPanel * kPanel;
  return seen;
}

// The exponentials of one query's scores, with scale and bias; returns their sum.
MF_INLINE float weigh(const Attention& a, const float* bias, float* scores, int64_t count) {
  Floats most = all(-INFINITY);
  by_vector(0, count, [&](int64_t i, int64_t some) MF_INLINED {
    const Floats score = take(scores + i, some) * a.scale + take(bias + i, some, -INFINITY);
    most = larger(score, most);
    put(scores + i, score, some);
  });
  return powers(scores, scores, count, largest(most));
}

MF_INLINE float dot(const float* a, const float* b, int64_t size) {
  Floats sums = {};
  by_vector(0, size, [&](int64_t i, int64_t some) MF_INLINED { sums += take(a + i, some) * take(b + i, some); });
  return sum(sums);
}

// What the heads begin … end, counted over the batch, see: for few queries.
inline void forward_few(const Attention& a, const Heads<float>& out, int64_t begin, int64_t end) {
  std::vector<float> scores(a.keys);
  for (int64_t n = begin; n < end; n++) {
    const int64_t b = n / a.heads, h = n % a.heads, g = a.group_of(h);
    for (int64_t i = 0; i < a.queries; i++) {
      const Range seen = visible(a, b, i, 1);
      const float *key = a.key.at(b, g, 0), *value = a.value.at(b, g, 0), *query = a.query.at(b, h, i);
      float *row = out.at(b, h, i), *weights = scores.data();
      for (int64_t c = seen.begin; c < seen.end; c++) weights[c] = dot(query, key + c * a.key.row, a.size);
      const float total = weigh(a, a.bias_of(b, i) + seen.begin, weights + seen.begin, seen.end - seen.begin);
      memset(row, 0, a.size * sizeof(float));
      for (int64_t c = seen.begin; c < seen.end; c++)
        by_vector(0, a.size, [&](int64_t k, int64_t some) MF_INLINED {
          put(row + k, take(row + k, some) + weights[c] / total * take(value + c * a.value.row + k, some), some);
        });
    }
  }
}

// Of (B * H * C, D).
inline Heads<const float> stacked(const Array& x, int64_t heads, int64_t places) {
  return {x.as<const float>(), heads * places * x.axis(1), places * x.axis(1), x.axis(1)};
}

// Puts the rows of each head into places of a cache; false where a place is none of it.
inline bool put_rows(const Array& slots, Heads<const float> rows, int64_t batch, int64_t heads, int64_t count,
                     const Array& cache) {
  const int32_t* slot = slots.as<int32_t>();
  const int64_t size = cache.axis(-1);
  for (int64_t b = 0; b < batch; b++)
    for (int64_t h = 0; h < heads; h++)
      for (int64_t i = 0; i < count; i++, slot++) {
        if (*slot < 0 || *slot >= cache.axis(0)) return false;
        memcpy(cache.as<float>() + *slot * size, rows.at(b, h, i), size * sizeof(float));
      }
  return true;
}

}  // namespace mf
