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

// Queries, keys and values, and what each query may attend to: by a bias that is added to the scores, or, without one, by
// positions: the keys up to the query's own, no further back than the window.
struct Attention {
  Heads<const float> query, key, value;
  const float* bias;
  int64_t bias_batch;  // 0 where all share one
  int64_t heads, groups, size, queries, keys;  // groups: heads of keys and values; size: of a head
  float scale;
  const int32_t* positions = nullptr;  // (B, queries), which are indices of keys; used without a bias
  int64_t window = 0;                  // how many keys a query attends to at most; 0: all before it
  float soft_cap = 0;                  // scores are bounded to this by tanh; 0: they are not
  const float* slopes = nullptr;       // of each head, times the distance (Press et al., 2022, "ALiBi")
  const float* sinks = nullptr;        // of each head, a score that takes part in the softmax and has no value

  const float* bias_of(int64_t b, int64_t i) const { return bias + b * bias_batch + i * keys; }
  int64_t group_of(int64_t h) const { return h / (heads / groups); }
  int64_t position(int64_t b, int64_t i) const { return positions[b * queries + i]; }
  int64_t first_seen(int64_t position) const {
    return window > 0 && position >= window ? position - window + 1 : 0;
  }
};

// Attention of all heads, by all threads.
void attend(const Attention& a, int64_t batch, const Heads<float>& out);

// Of (B * H * C, D).
inline Heads<const float> stacked(const Array& x, int64_t heads, int64_t capacity) {
  return {x.as<const float>(), heads * capacity * x.axis(1), capacity * x.axis(1), x.axis(1)};
}

// Of a cache (B, G, C, D).
inline Heads<const float> cached(const float* x, int64_t groups, int64_t capacity, int64_t size) {
  return {x, groups * capacity * size, capacity * size, size};
}

// Copies the rows of each head to their slots of a cache (B, G, C, D); slots are (B, count).
void write_rows(const int32_t* slots, const Heads<const float>& rows, int64_t batch, int64_t groups, int64_t count,
                int64_t capacity, int64_t size, float* cache);

// Writes the rows of each head to slots of a cache; returns false if a slot is out of range.
bool put_rows(const Array& slots, const Heads<const float>& rows, int64_t batch, int64_t heads, int64_t count,
              const Array& cache);

}  // namespace mf
