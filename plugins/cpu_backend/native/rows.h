// Operations on single rows: activations, norms, rotary positions.
#pragma once

#include "simd.h"

namespace mf {

constexpr float kGeluOuter = 1.5957691216057308f, kGeluInner = 0.044715f;

// sigmoid(1.596 (x + 0.0447 x^3)), which is (1 + tanh(0.798 (x + 0.0447 x^3))) / 2
MF_INLINE Floats gelu_gate(Floats x) { return 1.0f / (1.0f + exp(-kGeluOuter * (x + kGeluInner * x * x * x))); }

MF_INLINE Floats gelu(Floats x) { return x * gelu_gate(x); }

// x * sigmoid(beta * x)
MF_INLINE Floats swish(Floats x, float beta) { return x / (1.0f + exp(-beta * x)); }

// Statistics of the forward pass that the gradient of a norm needs.
struct Normed {
  float mean, scale;
};

MF_INLINE Normed layer_norm_row(const float* x, const float* weight, const float* bias, float epsilon, float* y,
                                int64_t width) {
  Floats sums = {}, squares = {};
  by_vector(0, width, [&](int64_t i, int64_t count) MF_INLINED { sums += take(x + i, count); });
  const float mean = sum(sums) / width;
  by_vector(0, width, [&](int64_t i, int64_t count) MF_INLINED {
    const Floats apart = take(x + i, count, mean) - mean;
    squares += apart * apart;
  });
  const float scale = 1 / std::sqrt(sum(squares) / width + epsilon);
  by_vector(0, width, [&](int64_t i, int64_t count) MF_INLINED {
    put(y + i, (take(x + i, count) - mean) * scale * take(weight + i, count) + take(bias + i, count), count);
  });
  return {mean, scale};
}

MF_INLINE Normed rms_norm_row(const float* x, const float* weight, float epsilon, float* y, int64_t width) {
  Floats squares = {};
  by_vector(0, width, [&](int64_t i, int64_t count) MF_INLINED { squares += take(x + i, count) * take(x + i, count); });
  const float scale = 1 / std::sqrt(sum(squares) / width + epsilon);
  by_vector(0, width, [&](int64_t i, int64_t count) MF_INLINED {
    put(y + i, take(x + i, count) * scale * take(weight + i, count), count);
  });
  return {0, scale};
}

// Rotary positions: each pair of a head's numbers, i and i + D / 2, is turned by an angle that grows with the position.
struct Turn {
  const float *x, *cos, *sin;
  const int32_t* positions;
  float* y;  // may be x
  int64_t heads, half, row;  // row: the distance between tokens
  float sign;  // -1 turns back
};

// Tokens begin … end, counted over the batch.
MF_INLINE void turn(const Turn& t, int64_t begin, int64_t end) {
  for (int64_t n = begin; n < end; n++) {
    const float *cos = t.cos + t.positions[n] * t.half, *sin = t.sin + t.positions[n] * t.half;
    for (int64_t h = 0; h < t.heads; h++) {
      const float* x = t.x + n * t.row + h * 2 * t.half;
      float* y = t.y + n * t.row + h * 2 * t.half;
      by_vector(0, t.half, [&](int64_t i, int64_t count) MF_INLINED {
        const Floats a = take(x + i, count), b = take(x + t.half + i, count);
        const Floats c = take(cos + i, count), s = t.sign * take(sin + i, count);
        put(y + i, a * c - b * s, count);
        put(y + t.half + i, b * c + a * s, count);
      });
    }
  }
}

}  // namespace mf
