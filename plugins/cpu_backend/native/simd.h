// Vectors of as many numbers as a register holds, in the compiler's own terms (GCC, Clang), so that one source serves
// every processor: it is compiled into a library for each level of x86-64, and elsewhere (NEON) into one.
#pragma once

#include <cmath>
#include <cstdint>
#include <cstring>
#include <utility>

#define MF_INLINE static inline __attribute__((always_inline))
#define MF_INLINED __attribute__((always_inline))  // of a lambda
#define MF_UNROLL _Pragma("GCC unroll 16")  // of a loop whose sums are to stay in registers

namespace mf {

#if defined(__AVX512F__)
constexpr int64_t kWidth = 16;
#elif defined(__AVX2__)
constexpr int64_t kWidth = 8;
#else
constexpr int64_t kWidth = 4;
#endif

// Whether there are 32 registers, and not 16.
#if defined(__AVX512F__) || defined(__aarch64__)
constexpr bool kMany = true;
#else
constexpr bool kMany = false;
#endif

MF_INLINE int64_t padded(int64_t count, int64_t to) { return (count + to - 1) / to * to; }

typedef float Floats __attribute__((vector_size(4 * kWidth)));
typedef int32_t Ints __attribute__((vector_size(4 * kWidth)));
typedef uint32_t Bits __attribute__((vector_size(4 * kWidth)));

// A bfloat16: the upper half of a float.
struct Bfloat {
  uint16_t bits;
};

// A float that is rounded to the nearest bfloat16 as it is read.
struct Near {
  float exact;
};

template <typename To, typename From>
MF_INLINE To same_bits(From from) {
  static_assert(sizeof(To) == sizeof(From), "");
  To to;
  memcpy(&to, &from, sizeof to);
  return to;
}

MF_INLINE Floats load(const float* p) {
  Floats v;
  memcpy(&v, p, sizeof v);
  return v;
}

// GCC makes one instruction of either loop, and many of a convertvector.
MF_INLINE Floats load(const Bfloat* p) {
  Bits v;
  for (int i = 0; i < kWidth; i++) v[i] = p[i].bits;
  return same_bits<Floats>(v << 16);
}

MF_INLINE Floats load(const int8_t* p) {
  Ints v;
  for (int i = 0; i < kWidth; i++) v[i] = p[i];
  return __builtin_convertvector(v, Floats);
}

MF_INLINE Floats all(float x) { return x - Floats{}; }

// The nearest bfloat16; of two, the even one.
MF_INLINE Floats nearest(Floats x) {
  const Bits bits = same_bits<Bits>(x);
  const Bits rounded = (bits + 0x7fff + ((bits >> 16) & 1)) & 0xffff0000u;
  return x == x ? same_bits<Floats>(rounded) : all(NAN);
}

MF_INLINE Floats load(const Near* p) { return nearest(load(&p->exact)); }

MF_INLINE float one(const float* p) { return *p; }
MF_INLINE float one(const Bfloat* p) { return same_bits<float>(uint32_t(p->bits) << 16); }
MF_INLINE float one(const int8_t* p) { return *p; }
MF_INLINE float one(const Near* p) { return nearest(all(p->exact))[0]; }

MF_INLINE void store(float* p, Floats v) { memcpy(p, &v, sizeof v); }

// Prefetches the cache lines of these bytes. Addresses out of range are harmless.
template <int64_t kBytes>
MF_INLINE void fetch(const void* data) {
  MF_UNROLL for (int64_t i = 0; i < kBytes; i += 64) __builtin_prefetch(static_cast<const char*>(data) + i);
}

// The first `count` of a vector; the others are `rest`.
MF_INLINE Floats take(const float* p, int64_t count, float rest = 0) {
  if (count == kWidth) return load(p);
  Floats v = all(rest);
  memcpy(&v, p, count * sizeof(float));
  return v;
}

MF_INLINE void put(float* p, Floats v, int64_t count) {
  count == kWidth ? store(p, v) : void(memcpy(p, &v, count * sizeof(float)));
}

// Calls each(offset, count) for a vector of numbers at a time; the last time, for fewer.
template <typename Each>
MF_INLINE void by_vector(int64_t begin, int64_t end, Each each) {
  int64_t i = begin;
  for (; i + kWidth <= end; i += kWidth) each(i, kWidth);
  if (i < end) each(i, end - i);
}

template <int S, typename Vector, int... Lane>
MF_INLINE void exchange(Vector& a, Vector& b, std::integer_sequence<int, Lane...>) {
  const Vector low = __builtin_shufflevector(a, b, (Lane & S ? Lane - S + kWidth : Lane)...);
  b = __builtin_shufflevector(a, b, (Lane & S ? Lane + kWidth : Lane + S)...);
  a = low;
}

// Rows as columns: of each two that are S apart the parts of S numbers off the diagonal are exchanged, for S of 1, 2, 4 …
template <int S = 1, typename Vector>
MF_INLINE void turn(Vector (&rows)[kWidth]) {
  if constexpr (S < kWidth) {
    MF_UNROLL for (int i = 0; i < kWidth; i++)
      if (!(i & S)) exchange<S>(rows[i], rows[i + S], std::make_integer_sequence<int, kWidth>());
    turn<2 * S>(rows);
  }
}

template <int N>
struct Some {
  typedef float Type __attribute__((vector_size(4 * N)));
};

// One of all numbers of a vector, by what makes one of two, or a vector of two vectors.
template <int N, typename Both>
MF_INLINE float fold(typename Some<N>::Type v, Both both) {
  if constexpr (N == 2) {
    return both(v[0], v[1]);
  } else {
    struct Halves {
      typename Some<N / 2>::Type low, high;
    };
    const auto halves = same_bits<Halves>(v);
    return fold<N / 2>(both(halves.low, halves.high), both);
  }
}

template <typename T>
MF_INLINE T larger(T a, T b) {
  return a > b ? a : b;
}

MF_INLINE float sum(Floats v) {
  return fold<kWidth>(v, [](auto a, auto b) MF_INLINED { return a + b; });
}

MF_INLINE float largest(Floats v) {
  return fold<kWidth>(v, [](auto a, auto b) MF_INLINED { return larger(a, b); });
}

// exp(x), to 1.5 units in the last place: 2 to the nearest whole power, times a polynomial in what is left (Taylor's, of
// degree 7, over |r| <= ln(2) / 2). Below -87.3 it is 0, above 88.7 it grows no more; NaN stays.
MF_INLINE Floats exp(Floats x) {
  const Floats bounded = x > 88.7f ? all(88.7f) : x;
  const Floats shifted = bounded * 1.44269504f + 12582912.0f;  // rounds to a whole number, which the last bits are
  const Floats whole = shifted - 12582912.0f;
  const Floats r = (bounded - whole * 0.693359375f) - whole * -2.12194440e-4f;
  Floats y = all(1.0f / 5040);
  y = y * r + 1.0f / 720;
  y = y * r + 1.0f / 120;
  y = y * r + 1.0f / 24;
  y = y * r + 1.0f / 6;
  y = y * r + 0.5f;
  y = y * r + 1.0f;
  y = y * r + 1.0f;
  const Bits power = (same_bits<Bits>(shifted) + 127) << 23;
  return x < -87.3f ? all(0.0f) : y * same_bits<Floats>(power);
}

// tanh(x), to 2 units in the last place of 1.
MF_INLINE Floats tanh(Floats x) { return 1.0f - 2.0f / (1.0f + exp(2.0f * x)); }

// erf(x), to 3e-7: the rational approximation of Eigen and XLA, of degree 13 over 8, bounded where it is 1.
MF_INLINE Floats erf(Floats x) {
  const Floats bounded = x > 4.0f ? all(4.0f) : x < -4.0f ? all(-4.0f) : x, square = bounded * bounded;
  Floats above = all(-2.72614225801306e-10f);
  above = above * square + 2.77068142495902e-08f;
  above = above * square + -2.10102402082508e-06f;
  above = above * square + -5.69250639462346e-05f;
  above = above * square + -7.34990630326855e-04f;
  above = above * square + -2.95459980854025e-03f;
  above = above * square + -1.60960333262415e-02f;
  Floats below = all(-1.45660718464996e-05f);
  below = below * square + -2.13374055278905e-04f;
  below = below * square + -1.68282697438203e-03f;
  below = below * square + -7.37332916720468e-03f;
  below = below * square + -1.42647390514189e-02f;
  return bounded * above / below;
}

MF_INLINE float largest(const float* x, int64_t count) {
  Floats most = all(-INFINITY);
  by_vector(0, count, [&](int64_t i, int64_t some) MF_INLINED { most = larger(take(x + i, some, -INFINITY), most); });
  return largest(most);
}

// y = exp(x - top), where `top` is the largest of x; y may be x. Returns the sum of y.
MF_INLINE float powers(const float* x, float* y, int64_t count, float top) {
  Floats sums = {};
  by_vector(0, count, [&](int64_t i, int64_t some) MF_INLINED {
    const Floats power = exp(take(x + i, some, -INFINITY) - top);
    sums += power;
    put(y + i, power, some);
  });
  return sum(sums);
}

}  // namespace mf
