// The GEMM micro-kernel: sums of products in vector registers.
#pragma once

#include "operands.h"
#include "simd.h"

namespace mf {

class Panels {
 public:
  static constexpr int64_t kRows = kMany ? 12 : kWidth == 8 ? 6 : 4, kColumns = 2 * kWidth;
  static constexpr int64_t kDeep = 384;
  static_assert(kRows < kWidth || kRows % kWidth == 0, "pack() writes whole vectors");
  typedef float Cell;

  static int64_t left_cells(int64_t deep) { return kRows * deep + kWidth; }
  static int64_t right_cells(int64_t deep) { return kColumns * deep; }

  // The inner axis comes first in a packed panel. Whole vectors are written; where the left operand's rows do not fill
  // them, the next rows overwrite the excess.
  template <bool kRight, typename T>
  static void pack(Operand<T> x, int64_t count, int64_t deep, Cell* out) {
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

  // Packs `many` panels of an operand whose inner axis is not contiguous: adjacent elements are read together. `apart` is
  // the distance between the packed panels.
  template <bool kRight, typename T>
  static void pack_columns(Operand<T> x, int64_t many, int64_t deep, Cell* out, int64_t apart) {
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
  static constexpr int64_t kRun = 128;   // products per partial sum: shorter sums have smaller rounding errors
  static constexpr int64_t kAhead = 24;  // elements of each column that are prefetched from the second or third cache

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
