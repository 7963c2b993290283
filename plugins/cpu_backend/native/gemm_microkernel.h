// Sums of products in registers of vectors.
#pragma once

#include "operands.h"
#include "simd.h"

namespace mf {

class Panels {
 public:
  static constexpr int64_t kRows = kMany ? 12 : kWidth == 8 ? 6 : 4, kColumns = 2 * kWidth;
  static constexpr int64_t kDeep = 384;
  static_assert(kRows < kWidth || kRows % kWidth == 0, "lay() writes whole vectors");
  typedef float Cell;

  static int64_t left_cells(int64_t deep) { return kRows * deep + kWidth; }
  static int64_t right_cells(int64_t deep) { return kColumns * deep; }

  // The inner axis comes first in what is laid out. Whole vectors are written: of the left side's rows, which are not, the
  // next ones overwrite what is too much.
  template <bool kRight, typename T>
  static void lay(Side<T> x, int64_t count, int64_t deep, Cell* out) {
    constexpr int64_t kAll = kRight ? kColumns : kRows;
    if (x.inner != 1) {
      memset(out, 0, kAll * deep * sizeof(Cell));
      for (int64_t k = 0; k < deep; k++)
        for (int64_t i = 0; i < count; i++) out[k * kAll + i] = one(x.at(i, k));
      return;
    }
    for (int64_t i = 0; i < kAll; i += kWidth) {
      int64_t k = 0;
      for (; k + kWidth <= deep; k += kWidth) {
        Floats block[kWidth];
        MF_UNROLL for (int64_t r = 0; r < kWidth; r++) block[r] = i + r < count ? load(x.at(i + r, k)) : Floats{};
        turn(block);
        MF_UNROLL for (int64_t r = 0; r < kWidth; r++) store(out + (k + r) * kAll + i, block[r]);
      }
      for (; k < deep; k++)
        for (int64_t r = i; r < std::min(i + kWidth, kAll); r++) out[k * kAll + r] = r < count ? one(x.at(r, k)) : 0;
    }
  }

  // The same of `many` times so many rows or columns as are laid out together, where the inner axis does not come first:
  // what lies beside each other is read together. `apart` is how far they are from each other when they are laid out.
  template <bool kRight, typename T>
  static void lay_beside(Side<T> x, int64_t many, int64_t deep, Cell* out, int64_t apart) {
    constexpr int64_t kAll = kRight ? kColumns : kRows;
    for (int64_t k = 0; k < deep; k++, out += kAll) {
      for (int64_t i = 0; i < many * kAll; i += 64 / sizeof(T)) fetch<64>(x.at(i, k + 8));
      for (int64_t n = 0; n < many; n++) {
        const T* from = x.at(n * kAll, k);
        Cell* to = out + n * apart;
        int64_t i = 0;
        MF_UNROLL for (; i + kWidth <= kAll; i += kWidth) store(to + i, load(from + i));
        MF_UNROLL for (; i < kAll; i++) to[i] = one(from + i);
      }
    }
  }

  static void sum(const Cell* left, const Cell* right, int64_t deep, float* sums) {
    for (int64_t k = 0; k < deep; k += kRun) {
      const int64_t run = std::min(kRun, deep - k);
      k == 0 ? sum_run<true>(left, right, run, sums) : sum_run<false>(left + k * kRows, right + k * kColumns, run, sums);
    }
  }

 private:
  static constexpr int64_t kRun = 128;   // products that are summed by themselves first: shorter sums are rounded less
  static constexpr int64_t kAhead = 24;  // numbers of each column that the second cache, or the third, gives meanwhile

  template <bool kFirst>
  MF_INLINE void sum_run(const Cell* left, const Cell* right, int64_t run, float* sums) {
    Floats low[kRows] = {}, high[kRows] = {};
    for (int64_t k = 0; k < run; k++) {
      fetch<kColumns * sizeof(Cell)>(right + (k + kAhead) * kColumns);
      const Floats b = load(right + k * kColumns), c = load(right + k * kColumns + kWidth);
      MF_UNROLL for (int r = 0; r < kRows; r++) {
        const Floats a = all(left[k * kRows + r]);
        low[r] += a * b;
        high[r] += a * c;
      }
    }
    MF_UNROLL for (int r = 0; r < kRows; r++) {
      float* out = sums + r * kColumns;
      store(out, kFirst ? low[r] : low[r] + load(out));
      store(out + kWidth, kFirst ? high[r] : high[r] + load(out + kWidth));
    }
  }
};

}  // namespace mf
