// Attention, and putting keys and values into a cache.
#pragma once

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

// What all heads see, with all threads.
void see(const Attention& a, int64_t batch, const Heads<float>& out);

// Of (B * H * C, D).
inline Heads<const float> stacked(const Array& x, int64_t heads, int64_t places) {
  return {x.as<const float>(), heads * places * x.axis(1), places * x.axis(1), x.axis(1)};
}

// Puts the rows of each head into places of a cache; false where a place is none of it.
bool put_rows(const Array& slots, const Heads<const float>& rows, int64_t batch, int64_t heads, int64_t count,
              const Array& cache);

}  // namespace mf
