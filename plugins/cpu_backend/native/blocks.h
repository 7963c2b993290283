// Products of matrices that fit into the caches, with their sums in registers. Rows are padded to whole vectors.
#pragma once

#include "operands.h"
#include "simd.h"

namespace mf {

constexpr int64_t kPanel = 2 * kWidth;        // columns of a product that are summed at a time
constexpr int64_t kRows = kMany ? 8 : 4;      // and rows

template <int R, int C>
MF_INLINE void block_tile(Operand<float> a, const float* b, int64_t b_row, float* y, int64_t y_row, int64_t inner, bool add) {
  Floats sums[R][C];
  MF_UNROLL for (int r = 0; r < R; r++)
    MF_UNROLL for (int c = 0; c < C; c++) sums[r][c] = add ? load(y + r * y_row + c * kWidth) : Floats{};
  for (int64_t k = 0; k < inner; k++) {
    Floats row[C];
    MF_UNROLL for (int c = 0; c < C; c++) row[c] = load(b + k * b_row + c * kWidth);
    MF_UNROLL for (int r = 0; r < R; r++) {
      const Floats factor = all(*a.at(r, k));
      MF_UNROLL for (int c = 0; c < C; c++) sums[r][c] += factor * row[c];
    }
  }
  MF_UNROLL for (int r = 0; r < R; r++)
    MF_UNROLL for (int c = 0; c < C; c++) store(y + r * y_row + c * kWidth, sums[r][c]);
}

template <int C>
MF_INLINE void block_columns(Operand<float> a, const float* b, int64_t b_row, float* y, int64_t y_row, int64_t rows,
                             int64_t inner, bool add) {
  int64_t r = 0;
  for (; r + kRows <= rows; r += kRows) block_tile<kRows, C>(a.from(r, 0), b, b_row, y + r * y_row, y_row, inner, add);
  for (; r < rows; r++) block_tile<1, C>(a.from(r, 0), b, b_row, y + r * y_row, y_row, inner, add);
}

// y (rows, width) = a (rows, inner) @ b (inner, width), or that much more with `add`; width is of whole vectors.
MF_INLINE void block_product(Operand<float> a, const float* b, int64_t b_row, float* y, int64_t y_row, int64_t rows,
                             int64_t inner, int64_t width, bool add) {
  int64_t n = 0;
  for (; n + kPanel <= width; n += kPanel) block_columns<2>(a, b + n, b_row, y + n, y_row, rows, inner, add);
  if (n < width) block_columns<1>(a, b + n, b_row, y + n, y_row, rows, inner, add);
}

// Rows of `size` numbers as rows of `width`, filled up with zeros.
MF_INLINE void pack(const float* x, int64_t x_row, int64_t rows, int64_t size, float* y, int64_t width) {
  for (int64_t i = 0; i < rows; i++) {
    memcpy(y + i * width, x + i * x_row, size * sizeof(float));
    memset(y + i * width + size, 0, (width - size) * sizeof(float));
  }
}

}  // namespace mf
