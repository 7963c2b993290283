// Products of matrices of any size, as Goto and van de Geijn (2008) arrange them: parts of both sides are laid out in the
// order in which they are read, and stay in the caches, while the sums of a few rows and columns are in registers.
#pragma once

#include <algorithm>
#include <type_traits>

#include "operator.h"
#include "workspace.h"
#include "simd.h"

// Each of these sums kRows by kColumns products at a time, over kDeep numbers of the inner axis, from what it has laid out:
// `lay` does that for `count` rows or columns with `deep` numbers, in so many `cells`. One of a side's two distances is 1.
#include "gemm_microkernel.h"
#if defined(__AMX_BF16__)
#include "amx_microkernel.h"
#endif

namespace mf {

// Puts the sums over a part of the inner axis into y, to those of the parts before unless it is the first.
MF_INLINE void put_sums(const float* sums, int64_t sums_row, float* y, int64_t row, int64_t rows, int64_t columns,
                        bool first, const Finish& finish) {
  for (int64_t r = 0; r < rows; r++)
    by_vector(0, columns, [&](int64_t n, int64_t count) MF_INLINED {
      Floats sum = take(sums + r * sums_row + n, count);
      if (!first) sum += take(y + r * row + n, count);
      if (finish.scale) sum *= take(finish.scale + n, count);
      if (finish.bias) sum += take(finish.bias + n, count);
      if (finish.residual) sum += take(finish.residual + r * row + n, count);
      put(y + r * row + n, sum, count);
    });
}

// A side that is laid out: so many rows or columns at a time, with all of the inner axis, part by part.
template <typename Engine, bool kRight, typename T>
struct Laid {
  static constexpr int64_t kEach = kRight ? Engine::kColumns : Engine::kRows;
  typename Engine::Cell* data;
  int64_t inner, count;

  int64_t cells() const {
    const int64_t deep = std::min(inner, Engine::kDeep);
    return kRight ? Engine::right_cells(deep) : Engine::left_cells(deep);
  }
  int64_t parts() const { return (inner + Engine::kDeep - 1) / Engine::kDeep; }
  typename Engine::Cell* at(int64_t i, int64_t k) const {
    return data + (i / kEach * parts() + k / Engine::kDeep) * cells();
  }
  // Lays out begin … end.
  void fill(Side<T> x, int64_t begin, int64_t end) const {
    if constexpr (std::is_same_v<Engine, Panels>)
      if (x.inner != 1) {
        const int64_t many = (std::min(end, count) - begin) / kEach, apart = parts() * cells();
        for (int64_t k = 0; k < inner; k += Engine::kDeep) {
          const int64_t deep = std::min(Engine::kDeep, inner - k);
          Engine::template lay_beside<kRight>(x.from(begin, k), many, deep, at(begin, k), apart);
        }
        begin += many * kEach;
      }
    for (int64_t i = begin; i < end; i += kEach)
      for (int64_t k = 0; k < inner; k += Engine::kDeep)
        Engine::template lay<kRight>(x.from(i, k), std::min(kEach, count - i), std::min(Engine::kDeep, inner - k), at(i, k));
  }
};

// How many of `count` rows or columns, of so many bytes each, are laid out at a time: about as many each time.
inline int64_t at_once(int64_t count, int64_t bytes, int64_t step) {
  constexpr int64_t kMost = 8 << 20;
  const int64_t most = std::max<int64_t>(1, kMost / (bytes * step)) * step, times = (count + most - 1) / most;
  return padded((count + times - 1) / times, step);
}

constexpr int64_t kTall = 96, kBroad = 256;  // rows and columns of y that are a piece of work

// The piece of y that has the rows from i on and the columns from j on, of what is laid out; `more`: what is there is added
// to. A few rows stay in the first cache while all columns of the piece pass by from the second.
template <typename Engine, typename L, typename R>
void multiply_piece(const Laid<Engine, false, L>& left, const Laid<Engine, true, R>& right, float* y, int64_t row,
                    bool more, const Finish& finish, int64_t i, int64_t j) {
  constexpr int64_t kRows = Engine::kRows, kColumns = Engine::kColumns;
  const int64_t rows = std::min(kTall, left.count - i), columns = std::min(kBroad, right.count - j);
  alignas(64) float sums[kRows * kColumns];
  for (int64_t k = 0; k < left.inner; k += Engine::kDeep) {
    const int64_t deep = std::min(Engine::kDeep, left.inner - k);
    const Finish last = k + deep == left.inner ? finish : Finish{};
    for (int64_t m = 0; m < rows; m += kRows)
      for (int64_t n = 0; n < columns; n += kColumns) {
        const int64_t some_rows = std::min(kRows, rows - m), some_columns = std::min(kColumns, columns - n);
        float* out = y + m * row + n;
        for (int64_t r = 0; r < some_rows; r++)
          for (int64_t c = 0; c < some_columns; c += 16) __builtin_prefetch(out + r * row + c, 1);
        Engine::sum(left.at(i + m, k), right.at(j + n, k), deep, sums);
        put_sums(sums, kColumns, out, row, some_rows, some_columns, k == 0 && !more, last.from(n, m * row + n));
      }
  }
}

// y = a @ b, finished, or that much more. Threads lay out parts of both sides, and then share the pieces of y among them,
// those of the same columns first.
template <typename Engine, typename L, typename R>
void multiply_part(Side<L> a, Side<R> b, float* y, int64_t y_row, int64_t rows, int64_t inner, int64_t width, bool more,
                   const Finish& finish) {
  typedef typename Engine::Cell Cell;
  constexpr int64_t kRows = Engine::kRows, kColumns = Engine::kColumns;
  static_assert(kTall % kRows == 0 && kBroad % kColumns == 0, "");
  static thread_local Workspace left_workspace, right_workspace;
  const int64_t least = rows * inner * width < 65536 ? INT64_MAX : 2;
  Laid<Engine, false, L> left = {nullptr, inner, 0};
  Laid<Engine, true, R> right = {nullptr, inner, 0};
  const int64_t left_bytes = left.cells() * left.parts() * sizeof(Cell) / kRows;
  const int64_t right_bytes = right.cells() * right.parts() * sizeof(Cell) / kColumns;
  const int64_t most_rows = at_once(rows, left_bytes, kTall), most_columns = at_once(width, right_bytes, kBroad);
  left.data = left_workspace.of<Cell>(most_rows / kRows * left.parts() * left.cells());
  right.data = right_workspace.of<Cell>(most_columns / kColumns * right.parts() * right.cells());
  for (int64_t row = 0; row < rows; row += most_rows) {
    left.count = std::min(most_rows, rows - row);
    take_turns(left.count, a.inner == 1 ? kRows : kTall, least,
               [&](int64_t begin, int64_t end) { left.fill(a.from(row, 0), begin, end); });
    for (int64_t column = 0; column < width; column += most_columns) {
      right.count = std::min(most_columns, width - column);
      take_turns(right.count, b.inner == 1 ? kColumns : kBroad / 2, least,
                 [&](int64_t begin, int64_t end) { right.fill(b.from(column, 0), begin, end); });
      const int64_t across = (right.count + kBroad - 1) / kBroad, down = (left.count + kTall - 1) / kTall;
      take_turns(across * down, 1, least, [&](int64_t begin, int64_t end) {
        [[maybe_unused]] const Engine engine;
        for (int64_t piece = begin; piece < end; piece++) {
          const int64_t i = piece % down * kTall, j = piece / down * kBroad, place = (row + i) * y_row + column + j;
          multiply_piece<Engine>(left, right, y + place, y_row, more, finish.from(column + j, place), i, j);
        }
      });
    }
  }
}

// y (rows, width) = a (rows, inner) @ b (inner, width), finished; rows of y are y_row apart. So much of the inner axis at a
// time that many rows and columns are laid out together: one side is laid out anew for each part of the other. Tiles serve
// right sides of few bits alone: the six products of pieces that fp32 needs on both sides take longer than vectors do where
// a processor slows them down to save power.
template <typename L, typename R>
void multiply(Side<L> a, Side<R> b, float* y, int64_t y_row, int64_t rows, int64_t inner, int64_t width, Finish finish) {
#if defined(__AMX_BF16__)
  typedef std::conditional_t<std::is_same_v<R, float>, Panels, Tiles<kPieces<L>>> Engine;
#else
  typedef Panels Engine;
#endif
  constexpr int64_t kLong = 8 * Engine::kDeep;
  for (int64_t k = 0; k < inner; k += kLong) {
    const int64_t some = std::min(kLong, inner - k);
    multiply_part<Engine>(a.from(0, k), b.from(0, k), y, y_row, rows, some, width, k > 0, k + some == inner ? finish : Finish{});
  }
}

}  // namespace mf
