// Products of matrices of any size, as Goto and van de Geijn (2008) arrange them: parts of both sides are laid out in the
// order in which they are read, and stay in the caches, while the sums of a few rows and columns are in registers.
#pragma once

#include <algorithm>
#include <memory>
#include <type_traits>

#include "operator.h"
#include "simd.h"

namespace mf {

// A side of a product: its rows (of a left side) or columns, each with the numbers of the inner axis, which is summed
// over. One of the distances between two of either is 1.
template <typename T>
struct Side {
  const T* data;
  int64_t outer, inner;

  const T* at(int64_t i, int64_t k) const { return data + i * outer + k * inner; }
  Side from(int64_t i, int64_t k) const { return {at(i, k), outer, inner}; }
};

}  // namespace mf

// Each sums kRows by kColumns products at a time, over kDeep numbers of the inner axis, from what it has laid out: `lay`
// does that for `count` rows or columns with `deep` numbers, in so many `cells`.
#include "panels.h"
#if defined(__AMX_BF16__)
#include "tiles.h"
#endif

namespace mf {

constexpr int64_t kMostRows = 512, kMostColumns = 512;  // that are laid out at a time

// What becomes of the sums of each column; either may be null.
struct Finish {
  const float *scale, *bias;

  Finish from(int64_t column) const { return {scale ? scale + column : scale, bias ? bias + column : bias}; }
};

struct Part {
  int64_t begin, end;
};

// Memory that a thread keeps for all products to come, from the beginning of a page.
class Room {
 public:
  template <typename Cell>
  Cell* of(int64_t cells) {
    constexpr size_t kPage = 4096;
    const size_t bytes = cells * sizeof(Cell) + kPage;
    if (bytes > size_) {
      room_.reset(new char[bytes]);
      size_ = bytes;
    }
    return reinterpret_cast<Cell*>((reinterpret_cast<uintptr_t>(room_.get()) + kPage - 1) / kPage * kPage);
  }

 private:
  std::unique_ptr<char[]> room_;
  size_t size_ = 0;
};

// Puts the sums over a part of the inner axis into y, to those of the parts before unless it is the first.
MF_INLINE void put_sums(const float* sums, int64_t sums_row, float* y, int64_t width, int64_t rows, int64_t columns,
                        bool first, const Finish& finish) {
  for (int64_t r = 0; r < rows; r++)
    by_vector(0, columns, [&](int64_t n, int64_t count) MF_INLINED {
      Floats sum = take(sums + r * sums_row + n, count);
      if (!first) sum += take(y + r * width + n, count);
      if (finish.scale) sum *= take(finish.scale + n, count);
      if (finish.bias) sum += take(finish.bias + n, count);
      put(y + r * width + n, sum, count);
    });
}

// Rows and columns of y (…, width) = a @ b.
template <typename Engine, typename T>
void multiply_part(Side<float> a, Side<T> b, float* y, int64_t inner, int64_t width, Finish finish, Part rows,
                   Part columns) {
  typedef typename Engine::Cell Cell;
  constexpr int64_t kRows = Engine::kRows, kColumns = Engine::kColumns;
  static thread_local Room left_room, right_room;
  [[maybe_unused]] const Engine engine;
  alignas(64) float sums[kRows * kColumns];
  const int64_t most = std::min(inner, Engine::kDeep);
  const int64_t left_cells = Engine::left_cells(most), right_cells = Engine::right_cells(most);
  Cell* left = left_room.of<Cell>(left_cells * (kMostRows / kRows + 1));
  Cell* right = right_room.of<Cell>(right_cells * (kMostColumns / kColumns));
  for (int64_t row = rows.begin; row < rows.end; row += kMostRows) {
    const int64_t row_end = std::min(row + kMostRows, rows.end);
    for (int64_t k = 0; k < inner; k += Engine::kDeep) {
      const int64_t deep = std::min(Engine::kDeep, inner - k);
      const Finish last = k + deep == inner ? finish : Finish{};
      Cell* laid = left;
      for (int64_t i = row; i < row_end; i += kRows, laid += left_cells)
        Engine::template lay<false>(a.from(i, k), std::min(kRows, row_end - i), deep, laid);
      for (int64_t column = columns.begin; column < columns.end; column += kMostColumns) {
        const int64_t column_end = std::min(column + kMostColumns, columns.end);
        laid = right;
        for (int64_t j = column; j < column_end; j += kColumns, laid += right_cells)
          Engine::template lay<true>(b.from(j, k), std::min(kColumns, column_end - j), deep, laid);
        const Cell* of_columns = right;
        for (int64_t j = column; j < column_end; j += kColumns, of_columns += right_cells) {
          const Cell* of_rows = left;
          for (int64_t i = row; i < row_end; i += kRows, of_rows += left_cells) {
            const int64_t some_rows = std::min(kRows, row_end - i), some_columns = std::min(kColumns, column_end - j);
            float* out = y + i * width + j;
            for (int64_t r = 0; r < some_rows; r++)
              for (int64_t n = 0; n < some_columns; n += 16) __builtin_prefetch(out + r * width + n, 1);
            Engine::sum(of_rows, of_columns, deep, sums);
            put_sums(sums, kColumns, out, width, some_rows, some_columns, k == 0, last.from(j));
          }
        }
      }
    }
  }
}

// y (rows, width) = a (rows, inner) @ b (inner, width), with scales and bias. Threads share the rows or the columns, of
// which there are more: each lays out all of the other side. Tiles serve weights of few bits alone: the six products of
// pieces that fp32 needs on both sides take longer than vectors do where a processor slows them down to save power.
template <typename T>
void multiply(Side<float> a, Side<T> b, float* y, int64_t rows, int64_t inner, int64_t width, Finish finish) {
#if defined(__AMX_BF16__)
  typedef std::conditional_t<std::is_same_v<T, float>, Panels, Tiles> Engine;
#else
  typedef Panels Engine;
#endif
  const int64_t least = rows * inner * width < 65536 ? INT64_MAX : 2;
  if (rows > width)
    share(rows, Engine::kRows, least, [&](int64_t begin, int64_t end) {
      multiply_part<Engine>(a, b, y, inner, width, finish, {begin, end}, {0, width});
    });
  else
    share(width, Engine::kColumns, least, [&](int64_t begin, int64_t end) {
      multiply_part<Engine>(a, b, y, inner, width, finish, {0, rows}, {begin, end});
    });
}

}  // namespace mf
