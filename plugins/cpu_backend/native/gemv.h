// Products of a few rows with a weight, which is read once, so that their time is that of reading it from memory. Weights
// in int8 and bfloat16, with a scale for each output, are widened on the way.
#pragma once

#include "simd.h"

namespace mf {

// `C` columns of `R` rows: C * R sums at a time, which is what the registers hold. The columns' weights follow each other
// in memory, a few bytes of each are read in turn, and processors do not foresee that: what the next call reads is
// fetched here, line after line. `row` is the distance between rows of y; of scale and bias, either may be null.
template <int R, int C, typename T>
MF_INLINE void tile(const float* x, const T* weight, const float* scale, const float* bias, float* y, int64_t inner,
                    int64_t row) {
  Floats sums[R][C] = {};
  int64_t k = 0;
  for (; k + kWidth <= inner; k += kWidth) {
    fetch<C * kWidth * sizeof(T)>(weight + C * (inner + k));
    MF_UNROLL for (int c = 0; c < C; c++) {
      const Floats w = load(weight + c * inner + k);
      MF_UNROLL for (int r = 0; r < R; r++) sums[r][c] += load(x + r * inner + k) * w;
    }
  }
  MF_UNROLL for (int r = 0; r < R; r++)
    MF_UNROLL for (int c = 0; c < C; c++) {
      float total = sum(sums[r][c]);
      for (int64_t j = k; j < inner; j++) total += x[r * inner + j] * one(weight + c * inner + j);
      y[r * row + c] = (scale ? total * scale[c] : total) + (bias ? bias[c] : 0);
    }
}

template <int C, typename T>
MF_INLINE void columns(const float* x, const T* weight, const float* scale, const float* bias, float* y, int64_t rows,
                       int64_t inner, int64_t row) {
  int64_t r = 0;
  for (; kMany && r + 4 <= rows; r += 4) tile<4, C>(x + r * inner, weight, scale, bias, y + r * row, inner, row);
  for (; r + 2 <= rows; r += 2) tile<2, C>(x + r * inner, weight, scale, bias, y + r * row, inner, row);
  if (r < rows) tile<1, C>(x + r * inner, weight, scale, bias, y + r * row, inner, row);
}

MF_INLINE const float* from(const float* values, int64_t n) { return values ? values + n : nullptr; }

// Columns begin … end of y = x (rows, inner) @ weight (width, inner), turned.
template <typename T>
MF_INLINE void product(const float* x, const T* weight, const float* scale, const float* bias, float* y, int64_t rows,
                       int64_t inner, int64_t row, int64_t begin, int64_t end) {
  int64_t n = begin;
  for (; n + 4 <= end; n += 4)
    columns<4>(x, weight + n * inner, from(scale, n), from(bias, n), y + n, rows, inner, row);
  for (; n < end; n++) columns<1>(x, weight + n * inner, from(scale, n), from(bias, n), y + n, rows, inner, row);
}

// The same for a weight (inner, width). Four rows of it at a time are added to y, which begins with the bias, if there is
// one; those that follow are fetched.
MF_INLINE void product_inputs_first(const float* x, const float* weight, const float* bias, float* y, int64_t rows,
                                    int64_t inner, int64_t width, int64_t row, int64_t begin, int64_t end) {
  for (int64_t r = 0; r < rows; r++) {
    const size_t bytes = (end - begin) * sizeof(float);
    bias ? memcpy(y + r * row + begin, bias + begin, bytes) : memset(y + r * row + begin, 0, bytes);
  }
  int64_t k = 0;
  for (; k + 4 <= inner; k += 4) {
    const float* w = weight + k * width;
    int64_t n = begin;
    for (; n + kWidth <= end; n += kWidth) {
      MF_UNROLL for (int i = 4; i < 8; i++) __builtin_prefetch(w + i * width + n);
      const Floats a = load(w + n), b = load(w + width + n), c = load(w + 2 * width + n), d = load(w + 3 * width + n);
      for (int64_t r = 0; r < rows; r++) {
        const float* f = x + r * inner + k;
        float* out = y + r * row + n;
        store(out, load(out) + (f[0] * a + f[1] * b) + (f[2] * c + f[3] * d));
      }
    }
    for (; n < end; n++)
      for (int64_t r = 0; r < rows; r++)
        for (int i = 0; i < 4; i++) y[r * row + n] += x[r * inner + k + i] * w[i * width + n];
  }
  for (; k < inner; k++)
    for (int64_t n = begin; n < end; n++)
      for (int64_t r = 0; r < rows; r++) y[r * row + n] += x[r * inner + k] * weight[k * width + n];
}

}  // namespace mf
