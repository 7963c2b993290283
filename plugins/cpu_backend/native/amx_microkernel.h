// Sums of products on AMX tiles, which multiply bfloat16 and sum in fp32. Weights in bfloat16 or int8 and activations
// rounded on reading are one bfloat16 each; a float is split into three that add up to it exactly, so that only the sums
// are rounded. Infinities become NaN.
#pragma once

#include <immintrin.h>

#include <type_traits>

#include "operands.h"
#include "simd.h"

namespace mf {

constexpr int64_t kTile = 16;              // rows of a tile, and words in each of them
constexpr int64_t kWords = kTile * kTile;  // of a tile
constexpr int64_t kPairs = 2 * kTile;      // elements of the inner axis in a tile: two per word

template <typename T>
constexpr int kPieces = std::is_same_v<T, float> ? 3 : 1;

// A compiler barrier: pending stores are written before a tile instruction, whose reads the compiler does not see.
MF_INLINE void written(const void* data) { asm volatile("" : : "r"(data) : "memory"); }

// The bfloat16 parts of x, each in the upper half of its word; the lower halves belong to the next parts.
template <int P>
MF_INLINE void split(Floats x, Bits (&pieces)[P]) {
  MF_UNROLL for (int p = 0; p < P; p++) {
    pieces[p] = same_bits<Bits>(x);
    x -= same_bits<Floats>(pieces[p] & 0xffff0000u);
  }
}

template <typename T>
MF_INLINE Floats some(const T* p, int64_t count) {
  Floats v = {};
  for (int64_t i = 0; i < count; i++) v[i] = one(p + i);
  return v;
}

// One tile per part. A word has an element of the inner axis and the one kTile after it, in both operands.
// `step` is the stride between rows of memory, whose elements are contiguous: those of the inner axis, if
// kAlong. kTurned: the words of a row are then those of a column.
template <bool kAlong, bool kTurned, bool kWhole, typename T>
MF_INLINE void lay_tile(const T* x, int64_t step, int64_t count, int64_t deep, uint32_t* out) {
  Bits words[kPieces<T>][kTile];
  MF_UNROLL for (int64_t i = 0; i < kTile; i++) {
    const T *row = x + i * step, *other = kAlong ? row + kTile : row + kTile * step;
    Bits low[kPieces<T>], high[kPieces<T>];
    if (kWhole) {
      split(load(row), low);
      split(load(other), high);
    } else if (kAlong) {
      const int64_t there = i < count ? deep : 0;
      split(some(row, std::min(there, kTile)), low);
      split(some(other, there - kTile), high);
    } else {
      split(some(row, i < deep ? count : 0), low);
      split(some(other, i + kTile < deep ? count : 0), high);
    }
    MF_UNROLL for (int p = 0; p < kPieces<T>; p++)
      words[p][i] = (low[p] >> 16) | (high[p] & 0xffff0000u);
  }
  MF_UNROLL for (int p = 0; p < kPieces<T>; p++) {
    if (kTurned) turn(words[p]);
    memcpy(out + p * kWords, words[p], sizeof words[p]);
  }
}

// Sums of a left operand of several parts and a right one of one, in four tiles. A thread configures the tiles before
// use and releases them after.
template <int kLeft>
class Tiles {
 public:
  static constexpr int64_t kRows = 2 * kTile, kColumns = 2 * kTile, kDeep = 512;
  typedef uint32_t Cell;

  Tiles() {
    struct {
      uint8_t palette = 1, start = 0, reserved[14] = {};
      uint16_t bytes[16] = {};
      uint8_t rows[16] = {};
    } shape;
    for (int i = 0; i < 8; i++) shape.bytes[i] = 4 * kTile, shape.rows[i] = kTile;
    written(&shape);
    _tile_loadconfig(&shape);
  }
  ~Tiles() { _tile_release(); }

  static int64_t left_cells(int64_t deep) { return kLeft * right_cells(deep); }
  static int64_t right_cells(int64_t deep) { return 2 * ((deep + kPairs - 1) / kPairs) * kWords; }

  // Two tiles' rows or columns: tile by tile along the inner axis, and then the second ones. The words of a left tile
  // follow each other along the inner axis, those of a right one across.
  template <bool kRight, typename T>
  static void pack(Operand<T> x, int64_t count, int64_t deep, Cell* out) {
    for (int64_t i = 0; i < 2 * kTile; i += kTile)
      for (int64_t k = 0; k < deep; k += kPairs, out += kPieces<T> * kWords) {
        const T* from = x.at(i, k);
        const int64_t high = std::clamp<int64_t>(count - i, 0, kTile), wide = std::min(kPairs, deep - k);
        const bool whole = high == kTile && wide == kPairs;
        if (x.inner == 1)
          whole ? lay_tile<true, kRight, true>(from, x.outer, high, wide, out)
                : lay_tile<true, kRight, false>(from, x.outer, high, wide, out);
        else
          whole ? lay_tile<false, !kRight, true>(from, x.inner, high, wide, out)
                : lay_tile<false, !kRight, false>(from, x.inner, high, wide, out);
      }
  }

  static void sum(const Cell* left, const Cell* right, int64_t deep, float* sums) {
    const Cell *a = left, *c = left + left_cells(deep) / 2, *b = right, *d = right + right_cells(deep) / 2;
    written(left), written(right);
    _tile_zero(0);
    _tile_zero(1);
    _tile_zero(2);
    _tile_zero(3);
    for (int64_t k = 0; k < deep; k += kPairs, b += kWords, d += kWords) {
      _tile_loadd(6, b, kRow);
      _tile_loadd(7, d, kRow);
      for (int piece = 0; piece < kLeft; piece++, a += kWords, c += kWords) {
        _tile_loadd(4, a, kRow);
        _tile_loadd(5, c, kRow);
        _tile_dpbf16ps(0, 4, 6);
        _tile_dpbf16ps(1, 4, 7);
        _tile_dpbf16ps(2, 5, 6);
        _tile_dpbf16ps(3, 5, 7);
      }
    }
    _tile_stored(0, sums, 2 * kRow);
    _tile_stored(1, sums + kTile, 2 * kRow);
    _tile_stored(2, sums + kTile * kColumns, 2 * kRow);
    _tile_stored(3, sums + kTile * kColumns + kTile, 2 * kRow);
  }

 private:
  static constexpr int64_t kRow = 4 * kTile;  // bytes
};

}  // namespace mf
