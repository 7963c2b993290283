// Products of matrices of any size, as Goto and van de Geijn (2008) arrange them: parts of the right side are laid out in
// the order in which they are read, and stay in the caches; the sums are in registers.
#pragma once

#include <algorithm>
#include <vector>

#include "blocks.h"

namespace mf {

constexpr int64_t kInner = 256;  // of the inner axis at a time
constexpr int64_t kTall = 64;    // rows of the product at a time: a multiple of kRows
constexpr int64_t kWide = 1024;  // columns of the product at a time: a multiple of kPanel

// Rows of a weight as columns, in panels of kPanel: (panels, inner, kPanel). Those that are none are zeros.
template <typename T>
MF_INLINE void lay_columns(const T* weight, int64_t row, int64_t inner, int64_t width, float* out) {
  for (int64_t first = 0; first < width; first += kPanel, out += inner * kPanel) {
    const int64_t count = std::min(kPanel, width - first);
    if (count < kPanel) memset(out, 0, inner * kPanel * sizeof(float));
    for (int64_t n = 0; n < count; n++)
      for (int64_t k = 0; k < inner; k++) out[k * kPanel + n] = one(weight + (first + n) * row + k);
  }
}

// Adds rows times a panel of columns to y; at its edges only what is y's.
MF_INLINE void add_panel(Matrix a, const float* b, float* y, int64_t width, int64_t inner, int64_t rows,
                         int64_t columns) {
  if (columns >= kPanel) return block_columns<2>(a, b, kPanel, y, width, rows, inner, true);
  float edge[kRows * kPanel];
  block_columns<2>(a, b, kPanel, edge, kPanel, rows, inner, false);
  for (int64_t r = 0; r < rows; r++)
    for (int64_t n = 0; n < columns; n++) y[r * width + n] += edge[r * kPanel + n];
}

// Columns begin … end of y (rows, width) += x (rows, inner) @ weight (width, inner), turned.
template <typename T>
void add_columns(const float* x, const T* weight, float* y, int64_t rows, int64_t inner, int64_t width, int64_t begin,
                 int64_t end) {
  static thread_local std::vector<float> right(kInner * kWide);  // for all products to come
  for (int64_t n = begin; n < end; n += kWide)
    for (int64_t k = 0; k < inner; k += kInner) {
      const int64_t wide = std::min(kWide, end - n), deep = std::min(kInner, inner - k);
      lay_columns(weight + n * inner + k, inner, deep, wide, right.data());
      for (int64_t m = 0; m < rows; m += kTall) {
        const int64_t tall = std::min(kTall, rows - m);
        for (int64_t j = 0; j < wide; j += kPanel)
          for (int64_t i = 0; i < tall; i += kRows)
            add_panel({x + (m + i) * inner + k, inner, 1}, right.data() + j * deep, y + (m + i) * width + n + j, width,
                      deep, std::min(kRows, tall - i), wide - j);
      }
    }
}

}  // namespace mf
