// Weights in the block formats of GGUF files, as these store them, multiplied by activations that are rounded to 16 bits in
// blocks of 32: sums of products are integers, exact, until each block's scales are applied. With 8 bits, as is usual, the
// rounding moves logits by a tenth, which changes what small models answer; bytes of both halves cost one product more.
//
// A format has Chunk, which takes 64 neighbouring numbers of a row: their unsigned values, less `kOffset`, times the scales
// of 16 numbers each, and less or plus the minima of 32 each.
#pragma once

#include <cmath>
#include <cstdint>
#include <cstring>
#include <type_traits>

#include "simd.h"

#if defined(__AVX2__)
#include <immintrin.h>
#endif
#if defined(__aarch64__)
#include <arm_neon.h>
#endif

namespace mf {

constexpr int64_t kBlock = 32;  // activations that share a scale

// IEEE half precision.
MF_INLINE float half(const uint8_t* p) {
  uint16_t bits;
  memcpy(&bits, p, 2);
#if defined(__F16C__)
  return _cvtsh_ss(bits);
#elif defined(__aarch64__)
  __fp16 h;
  memcpy(&h, &bits, 2);
  return h;
#else
  const uint32_t sign = uint32_t(bits & 0x8000) << 16, rest = bits & 0x7fff;
  if (rest >= 0x7c00) return same_bits<float>(sign | 0x7f800000 | (rest & 0x3ff) << 13);
  // Below the smallest normal number as well: the exponent is moved by a product.
  return same_bits<float>(sign | same_bits<uint32_t>(same_bits<float>(rest << 13) * 5.192296858534828e33f));
#endif
}

// 64 unpacked weights.
struct Chunk {
  alignas(64) uint8_t values[64];
  float scales[4];  // of 16 numbers each
  float minima[2];  // of 32 each; added
};

struct Q8_0 {
  static constexpr int64_t kSize = 32, kBytes = 34;
  static constexpr int kOffset = 128;
  static constexpr bool kMinima = false, kFine = false;  // fine: scales differ within 32 numbers
};

struct Q4_0 {
  static constexpr int64_t kSize = 32, kBytes = 18;
  static constexpr int kOffset = 8;
  static constexpr bool kMinima = false, kFine = false;
};

struct Q4_1 {
  static constexpr int64_t kSize = 32, kBytes = 20;
  static constexpr int kOffset = 0;
  static constexpr bool kMinima = true, kFine = false;
};

struct Q5_0 {
  static constexpr int64_t kSize = 32, kBytes = 22;
  static constexpr int kOffset = 16;
  static constexpr bool kMinima = false, kFine = false;
};

struct Q5_1 {
  static constexpr int64_t kSize = 32, kBytes = 24;
  static constexpr int kOffset = 0;
  static constexpr bool kMinima = true, kFine = false;
};

struct Q4_K {
  static constexpr int64_t kSize = 256, kBytes = 144;
  static constexpr int kOffset = 0;
  static constexpr bool kMinima = true, kFine = false;
};

struct Q5_K {
  static constexpr int64_t kSize = 256, kBytes = 176;
  static constexpr int kOffset = 0;
  static constexpr bool kMinima = true, kFine = false;
};

struct Q6_K {
  static constexpr int64_t kSize = 256, kBytes = 210;
  static constexpr int kOffset = 32;
  static constexpr bool kMinima = false, kFine = true;
};

// 16 bytes as 32 nibbles: the low ones first.
MF_INLINE void nibbles(const uint8_t* from, uint8_t* to) {
  for (int i = 0; i < 16; i++) to[i] = from[i] & 15, to[16 + i] = from[i] >> 4;
}

// The block of 32 numbers of a simple format: its values and what scales them.
template <typename F>
MF_INLINE void unpack_block(const uint8_t* b, uint8_t* values, float* scale, float* minimum) {
  *scale = half(b);
  if constexpr (F::kMinima) *minimum = half(b + 2);
  if constexpr (std::is_same_v<F, Q8_0>) {
    for (int i = 0; i < 32; i++) values[i] = b[2 + i] ^ 128;
  } else if constexpr (std::is_same_v<F, Q4_0>) {
    nibbles(b + 2, values);
  } else if constexpr (std::is_same_v<F, Q4_1>) {
    nibbles(b + 4, values);
  } else {  // Q5_0 and Q5_1 have the fifth bits in one word
    constexpr int64_t at = F::kMinima ? 4 : 2;
    uint32_t high;
    memcpy(&high, b + at, 4);
    nibbles(b + at + 4, values);
    for (int i = 0; i < 32; i++) values[i] |= (high >> i & 1) << 4;
  }
}

// Of Q4_K and Q5_K: scales and minima, of 6 bits each, in 12 bytes.
MF_INLINE void six_bits(const uint8_t* q, int j, int* scale, int* minimum) {
  if (j < 4) {
    *scale = q[j] & 63, *minimum = q[j + 4] & 63;
  } else {
    *scale = (q[j + 4] & 15) | (q[j - 4] >> 6) << 4, *minimum = (q[j + 4] >> 4) | (q[j] >> 6) << 4;
  }
}

// 64 numbers of a row, from number `first` of it on; where the row ends after 32, the others have no scale.
template <typename F>
MF_INLINE void unpack(const uint8_t* row, int64_t first, int64_t inner, Chunk& c) {
  if constexpr (F::kSize == 32) {
    const uint8_t* b = row + first / 32 * F::kBytes;
    float scale;
    unpack_block<F>(b, c.values, &scale, c.minima);
    c.scales[0] = c.scales[1] = scale;
    if (first + 32 < inner) {
      unpack_block<F>(b + F::kBytes, c.values + 32, &scale, c.minima + 1);
      c.scales[2] = c.scales[3] = scale;
    } else {
      c.scales[2] = c.scales[3] = c.minima[1] = 0;
      memset(c.values + 32, 0, 32);
    }
  } else {
    const uint8_t* b = row + first / 256 * F::kBytes;
    const int part = first % 256 / 64;
    if constexpr (F::kFine) {  // Q6_K: 128 bytes of low nibbles, 64 of the upper 2 bits, 16 scales of 8 bits, the scale
      const float d = half(b + 208);
      const uint8_t *low = b + 64 * (part / 2), *high = b + 128 + 32 * (part / 2);
      const int8_t* scales = reinterpret_cast<const int8_t*>(b + 192) + 4 * part;
      const int shift = 4 * (part % 2);
      for (int i = 0; i < 32; i++) {
        c.values[i] = ((low[i] >> shift) & 15) | ((high[i] >> shift) & 3) << 4;
        c.values[32 + i] = ((low[32 + i] >> shift) & 15) | ((high[i] >> (shift + 2)) & 3) << 4;
      }
      for (int i = 0; i < 4; i++) c.scales[i] = d * scales[i];
    } else {  // Q4_K, Q5_K: the scale, the minima's, 12 bytes of scales, in Q5_K 32 of upper bits, 128 of nibbles
      const float d = half(b), least = half(b + 2);
      const uint8_t* low = b + F::kBytes - 128 + 32 * part;
      for (int i = 0; i < 32; i++) c.values[i] = low[i] & 15, c.values[32 + i] = low[i] >> 4;
      if constexpr (std::is_same_v<F, Q5_K>) {
        const uint8_t* high = b + 16;
        for (int i = 0; i < 32; i++) {
          c.values[i] |= (high[i] >> (2 * part) & 1) << 4;
          c.values[32 + i] |= (high[i] >> (2 * part + 1) & 1) << 4;
        }
      }
      for (int i = 0; i < 2; i++) {
        int scale, minimum;
        six_bits(b + 4, 2 * part + i, &scale, &minimum);
        c.scales[2 * i] = c.scales[2 * i + 1] = d * scale;
        c.minima[i] = -least * minimum;
      }
    }
  }
}

// A row of weights as fp32.
template <typename F>
MF_INLINE void widen_row(const uint8_t* row, int64_t inner, float* y) {
  Chunk c;
  for (int64_t k = 0; k < inner; k += 64) {
    unpack<F>(row, k, inner, c);
    const int64_t count = inner - k < 64 ? 32 : 64;
    for (int64_t i = 0; i < count; i += 16)
      for (int64_t j = i; j < i + 16; j++)
        y[k + j] = (int(c.values[j]) - F::kOffset) * c.scales[i / 16] + (F::kMinima ? c.minima[i / 32] : 0);
  }
}

// Activations in 16 bits, in blocks of 32, with rows padded to 64.
struct Rounded {
  const int16_t* values;       // (rows, padded)
  const int8_t *high, *low;    // (rows, padded): the same, as 256 * high + low
  const int32_t* offsets;      // (rows, padded / 4): less the offset of the weights times each four values
  const float *scales, *sums;  // (rows, padded / 32): of each block; sums are of what the values stand for
  int64_t padded;

  Rounded from_row(int64_t row) const {
    const int64_t n = row * padded;
    return {values + n, high + n, low + n, offsets + n / 4, scales + n / kBlock, sums + n / kBlock, padded};
  }
};

constexpr int kLargest = 127 * 256;  // both halves fit into a byte

// Rounds a row of `inner` numbers into a row of `y`. A block that has a NaN or an infinity becomes NaN.
MF_INLINE void round_row(const float* x, int64_t inner, int offset, const Rounded& y) {
  auto *values = const_cast<int16_t*>(y.values);
  auto *high = const_cast<int8_t*>(y.high), *low = const_cast<int8_t*>(y.low);
  auto* offsets = const_cast<int32_t*>(y.offsets);
  auto *scales = const_cast<float*>(y.scales), *sums = const_cast<float*>(y.sums);
  for (int64_t b = 0; b < y.padded; b += kBlock) {
    int16_t* v = values + b;
    float scale = 0, inverse = 0;
    if (b < inner) {
      Floats most = {}, zeros = {};
      by_vector(b, b + kBlock, [&](int64_t i, int64_t count) MF_INLINED {
        const Floats a = take(x + i, count);
        most = larger(a < 0.0f ? -a : a, most);
        zeros += a * 0.0f;
      });
      scale = largest(most) / kLargest;
      const float zero = sum(zeros);  // NaN unless all numbers are finite
      if (zero != 0) scale = zero;
      else if (scale > 0) inverse = 1 / scale;
    }
    // The smallest numbers have no finite inverse: they count as zero.
    if (inverse > 0 && inverse <= 3.4e38f)
      for (int i = 0; i < kBlock; i++) v[i] = int16_t(std::nearbyint(x[b + i] * inverse));
    else
      memset(v, 0, kBlock * sizeof(int16_t));
    int32_t total = 0;
    for (int i = 0; i < kBlock; i++) {
      high[b + i] = int8_t((v[i] + 128) >> 8);
      low[b + i] = int8_t(v[i] - high[b + i] * 256);
      total += v[i];
    }
    for (int i = 0; i < kBlock / 4; i++)
      offsets[b / 4 + i] = -offset * (v[4 * i] + v[4 * i + 1] + v[4 * i + 2] + v[4 * i + 3]);
    scales[b / kBlock] = scale;
    sums[b / kBlock] = scale * float(total);
  }
}

// y[r] = the row of weights times each of R rows of activations.
template <typename F, int R>
MF_INLINE void dot_generic(const uint8_t* row, const Rounded& x, int64_t inner, float* y) {
  float totals[R] = {};
  Chunk c;
  for (int64_t k = 0; k < inner; k += 64) {
    unpack<F>(row, k, inner, c);
    for (int r = 0; r < R; r++) {
      const int16_t* v = x.values + r * x.padded + k;
      const int32_t* offsets = x.offsets + (r * x.padded + k) / 4;
      const float *scales = x.scales + (r * x.padded + k) / kBlock, *sums = x.sums + (r * x.padded + k) / kBlock;
      for (int i = 0; i < 4; i++) {
        int32_t sum = 0;
        for (int j = 0; j < 4; j++) sum += offsets[4 * i + j];
        for (int j = 0; j < 16; j++) sum += int32_t(c.values[16 * i + j]) * v[16 * i + j];
        totals[r] += c.scales[i] * scales[i / 2] * float(sum);
      }
      if constexpr (F::kMinima) totals[r] += c.minima[0] * sums[0] + c.minima[1] * sums[1];
    }
  }
  for (int r = 0; r < R; r++) y[r] = totals[r];
}

#if defined(__AVX512F__) && defined(__AVX512BW__) && defined(__AVX512VL__) && defined(__AVX512DQ__)
// The same with VNNI's products of four bytes at a time, which AVX-512 has on most processors, and x86-64-v4 does not ask for.
#define MF_VNNI __attribute__((target("avx512vnni")))

inline bool has_vnni() {
  static const bool has = __builtin_cpu_supports("avx512vnni");
  return has;
}

MF_INLINE __m256i bytes32(const void* p) { return _mm256_loadu_si256(static_cast<const __m256i*>(p)); }
MF_INLINE __m512i both(__m256i a, __m256i b) { return _mm512_inserti64x4(_mm512_castsi256_si512(a), b, 1); }

// A block's nibbles, the low ones first; the upper bits are not cleared.
MF_INLINE __m256i nibbles32(const uint8_t* p) {
  const __m128i a = _mm_loadu_si128(reinterpret_cast<const __m128i*>(p));
  return _mm256_inserti128_si256(_mm256_castsi128_si256(a), _mm_srli_epi16(a, 4), 1);
}

// The values of 64 numbers, of which a second simple block may be the first again.
template <typename F>
MF_INLINE __m512i values64(const uint8_t* b, const uint8_t* next, int part) {
  const __m512i fifteen = _mm512_set1_epi8(15), bit = _mm512_set1_epi8(16);
  if constexpr (std::is_same_v<F, Q8_0>) {
    return _mm512_xor_si512(both(bytes32(b + 2), bytes32(next + 2)), _mm512_set1_epi8(char(128)));
  } else if constexpr (F::kSize == 32) {
    constexpr int64_t high = F::kMinima ? 4 : 2, at = F::kBytes - 16;
    const __m512i low = _mm512_and_si512(both(nibbles32(b + at), nibbles32(next + at)), fifteen);
    if constexpr (at == high) return low;
    uint32_t one, two;
    memcpy(&one, b + high, 4), memcpy(&two, next + high, 4);
    return _mm512_or_si512(low, _mm512_maskz_mov_epi8(uint64_t(two) << 32 | one, bit));
  } else if constexpr (F::kFine) {
    const uint8_t *low = b + 64 * (part / 2), *high = b + 128 + 32 * (part / 2);
    const __m256i h = bytes32(high);
    const __m512i l = _mm512_loadu_si512(low), three = _mm512_set1_epi8(0x30);
    if (part % 2 == 0)
      return _mm512_or_si512(_mm512_and_si512(l, fifteen),
                             _mm512_and_si512(both(_mm256_slli_epi16(h, 4), _mm256_slli_epi16(h, 2)), three));
    return _mm512_or_si512(_mm512_and_si512(_mm512_srli_epi16(l, 4), fifteen),
                           _mm512_and_si512(both(h, _mm256_srli_epi16(h, 2)), three));
  } else {
    const __m256i l = bytes32(b + F::kBytes - 128 + 32 * part);
    const __m512i low = _mm512_and_si512(both(l, _mm256_srli_epi16(l, 4)), fifteen);
    if constexpr (std::is_same_v<F, Q4_K>) return low;
    const __m256i h = bytes32(b + 16);
    const uint64_t one = _mm256_test_epi8_mask(h, _mm256_set1_epi8(char(1 << 2 * part))),
                   two = _mm256_test_epi8_mask(h, _mm256_set1_epi8(char(2 << 2 * part)));
    return _mm512_or_si512(low, _mm512_maskz_mov_epi8(two << 32 | one, bit));
  }
}

// What the scales of 64 numbers are, and the minima, without the values.
template <typename F>
MF_INLINE void scales64(const uint8_t* b, const uint8_t* next, int part, bool whole, float* scales, float* minima) {
  if constexpr (F::kSize == 32) {
    scales[0] = half(b), scales[1] = whole ? half(next) : 0;
    if constexpr (F::kMinima) minima[0] = half(b + 2), minima[1] = whole ? half(next + 2) : 0;
  } else if constexpr (F::kFine) {
    const float d = half(b + 208);
    const int8_t* each = reinterpret_cast<const int8_t*>(b + 192) + 4 * part;
    for (int i = 0; i < 4; i++) scales[i] = d * each[i];
  } else {
    const float d = half(b), least = half(b + 2);
    for (int i = 0; i < 2; i++) {
      int scale, minimum;
      six_bits(b + 4, 2 * part + i, &scale, &minimum);
      scales[i] = d * scale, minima[i] = -least * minimum;
    }
  }
}

// C rows of weights, `stride` bytes apart, times R rows of activations: y[r * C + c].
template <typename F, int R, int C>
MF_VNNI inline void dot_vnni(const uint8_t* rows, int64_t stride, const Rounded& x, int64_t inner, float* y) {
  __m512 sums[R][C];
  float least[R][C] = {};
  for (int r = 0; r < R; r++)
    for (int c = 0; c < C; c++) sums[r][c] = _mm512_setzero_ps();
  for (int64_t k = 0; k < inner; k += 64) {
    const bool whole = k + 64 <= inner;
    const int part = F::kSize == 32 ? 0 : k % 256 / 64;
    const int64_t at = F::kSize == 32 ? k / 32 * F::kBytes : k / 256 * F::kBytes;
    __m512i weights[C];
    float scales[C][4], minima[C][2];
    MF_UNROLL for (int c = 0; c < C; c++) {
      const uint8_t *b = rows + c * stride + at, *next = whole ? b + F::kBytes : b;
      if constexpr (F::kSize == 32) __builtin_prefetch(b + 1024);
      else if (part % 2 == 0) __builtin_prefetch(b + 512 + 72 * part);
      weights[c] = values64<F>(b, next, part);
      scales64<F>(b, next, part, whole, scales[c], minima[c]);
    }
    MF_UNROLL for (int r = 0; r < R; r++) {
      const int64_t first = r * x.padded + k;
      const __m512i high = _mm512_loadu_si512(x.high + first), low = _mm512_loadu_si512(x.low + first);
      [[maybe_unused]] const __m512i start = _mm512_loadu_si512(x.offsets + first / 4);
      const float *s = x.scales + first / kBlock, *total = x.sums + first / kBlock;
      MF_UNROLL for (int c = 0; c < C; c++) {
        __m512i product = _mm512_dpbusd_epi32(_mm512_setzero_si512(), weights[c], high);
        product = _mm512_slli_epi32(product, 8);
        if constexpr (F::kOffset != 0) product = _mm512_add_epi32(product, start);
        const __m512 products = _mm512_cvtepi32_ps(_mm512_dpbusd_epi32(product, weights[c], low));
        __m512 factor;
        if constexpr (F::kFine) {
          const __m128 fine = _mm_mul_ps(_mm_loadu_ps(scales[c]), _mm_set_ps(s[1], s[1], s[0], s[0]));
          factor = _mm512_permutexvar_ps(_mm512_set_epi32(3, 3, 3, 3, 2, 2, 2, 2, 1, 1, 1, 1, 0, 0, 0, 0),
                                         _mm512_castps128_ps512(fine));
        } else {
          factor = _mm512_insertf32x8(_mm512_castps256_ps512(_mm256_set1_ps(scales[c][0] * s[0])),
                                      _mm256_set1_ps(scales[c][1] * s[1]), 1);
        }
        sums[r][c] = _mm512_fmadd_ps(products, factor, sums[r][c]);
        if constexpr (F::kMinima) least[r][c] += minima[c][0] * total[0] + minima[c][1] * total[1];
      }
    }
  }
  for (int r = 0; r < R; r++)
    for (int c = 0; c < C; c++) y[r * C + c] = _mm512_reduce_add_ps(sums[r][c]) + least[r][c];
}
#endif

}  // namespace mf
