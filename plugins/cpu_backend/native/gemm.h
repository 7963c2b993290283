// Matrix products of any size, after Goto and van de Geijn (2008): parts of both operands are packed in the order in
// which they are read and stay in the caches, while the sums of a few rows and columns are in registers.
#pragma once

#include <algorithm>
#include <type_traits>

#include "operator.h"
#include "workspace.h"
#include "simd.h"

// Each engine computes kRows by kColumns sums at a time, over kDeep elements of the inner axis, from packed operands:
// `pack` packs `count` rows or columns of `deep` elements into `cells`. One of an operand's two strides is 1.
#include "gemm_microkernel.h"
#if defined(__AMX_BF16__)
#include "amx_microkernel.h"
#endif

namespace mf {

// Stores the sums over a part of the inner axis in y; adds to y unless it is the first part.
MF_INLINE void put_sums(const float* sums, int64_t sums_row, float* y, int64_t row, int64_t rows, int64_t columns,
                        bool first, const Epilogue& finish) {
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

// A packed operand: a block of rows or columns with the whole inner axis, part by part.
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
  // Packs begin … end.
  void fill(Operand<T> x, int64_t begin, int64_t end) const {
    if constexpr (std::is_same_v<Engine, Panels>)
      if (x.inner != 1) {
        const int64_t many = (std::min(end, count) - begin) / kEach, apart = parts() * cells();
        for (int64_t k = 0; k < inner; k += Engine::kDeep) {
          const int64_t deep = std::min(Engine::kDeep, inner - k);
          Engine::template pack_columns<kRight>(x.from(begin, k), many, deep, at(begin, k), apart);
        }
        begin += many * kEach;
      }
    for (int64_t i = begin; i < end; i += kEach)
      for (int64_t k = 0; k < inner; k += Engine::kDeep)
        Engine::template pack<kRight>(x.from(i, k), std::min(kEach, count - i), std::min(Engine::kDeep, inner - k),
                                      at(i, k));
  }
};

// How many of `count` rows or columns of the given size are packed at a time, in blocks of about equal size.
inline int64_t at_once(int64_t count, int64_t bytes, int64_t step) {
  constexpr int64_t kMost = 8 << 20;
  const int64_t most = std::max<int64_t>(1, kMost / (bytes * step)) * step, times = (count + most - 1) / most;
  return padded((count + times - 1) / times, step);
}

constexpr int64_t kTall = 96, kBroad = 256;  // rows and columns of y in one work item

// The tile of y from row i and column j on, from packed operands; `more`: adds to y. A few rows stay in the first cache
// while all columns of the tile are read from the second.
template <typename Engine, typename L, typename R>
void multiply_piece(const Laid<Engine, false, L>& left, const Laid<Engine, true, R>& right, float* y, int64_t row,
                    bool more, const Epilogue& finish, int64_t i, int64_t j) {
  constexpr int64_t kRows = Engine::kRows, kColumns = Engine::kColumns;
  const int64_t rows = std::min(kTall, left.count - i), columns = std::min(kBroad, right.count - j);
  alignas(64) float sums[kRows * kColumns];
  for (int64_t k = 0; k < left.inner; k += Engine::kDeep) {
    const int64_t deep = std::min(Engine::kDeep, left.inner - k);
    const Epilogue last = k + deep == left.inner ? finish : Epilogue{};
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

// y = a @ b with the epilogue, or y += a @ b. Threads pack parts of both operands, then share the tiles of y, those of
// the same columns first.
template <typename Engine, typename L, typename R>
void multiply_part(Operand<L> a, Operand<R> b, float* y, int64_t y_row, int64_t rows, int64_t inner, int64_t width,
                   bool more, const Epilogue& finish) {
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
          const int64_t i = piece % down * kTall, j = piece / down * kBroad, offset = (row + i) * y_row + column + j;
          multiply_piece<Engine>(left, right, y + offset, y_row, more, finish.from(column + j, offset), i, j);
        }
      });
    }
  }
}

// y (rows, width) = a (rows, inner) @ b (inner, width) with the epilogue; y_row is the row stride of y. The inner axis is
// split so that many rows and columns are packed together, since one operand is packed again for each part of the other.
// AMX tiles are used only for right operands of few bits: the six partial products that fp32 operands need take longer
// than vectors where a processor lowers its frequency for tiles.
template <typename L, typename R>
void multiply(Operand<L> a, Operand<R> b, float* y, int64_t y_row, int64_t rows, int64_t inner, int64_t width,
              Epilogue finish) {
#if defined(__AMX_BF16__)
  typedef std::conditional_t<std::is_same_v<R, float>, Panels, Tiles<kPieces<L>>> Engine;
#else
  typedef Panels Engine;
#endif
  constexpr int64_t kLong = 8 * Engine::kDeep;
  for (int64_t k = 0; k < inner; k += kLong) {
    const int64_t some = std::min(kLong, inner - k);
    multiply_part<Engine>(a.from(0, k), b.from(0, k), y, y_row, rows, some, width, k > 0,
                          k + some == inner ? finish : Epilogue{});
  }
}

}  // namespace mf
