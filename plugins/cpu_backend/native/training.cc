// What training does besides matrix products, each in one pass over memory.
#include "operator.h"
#include "simd.h"

#include <cmath>

namespace {

using namespace mf;

// Calls each(offset, count) for sixteen numbers at a time; the last time, for fewer.
template <typename Each>
MF_INLINE void by_sixteen(int64_t begin, int64_t end, Each each) {
  int64_t i = begin;
  for (; i + kWidth <= end; i += kWidth) each(i, kWidth);
  if (i < end) each(i, end - i);
}

MF_INLINE Floats take(const float* p, int64_t count) { return count == kWidth ? load(p) : load_some(p, count, 0); }
MF_INLINE void put(float* p, Floats v, int64_t count) { count == kWidth ? store(p, v) : store_some(p, v, count); }

// ---------------------------------------------------------------------------------------------------------- activation

constexpr float kOuter = 1.5957691216057308f, kInner = 0.044715f;

// sigmoid(1.596 (x + 0.0447 x^3)), which is (1 + tanh(0.798 (x + 0.0447 x^3))) / 2
MF_INLINE Floats gate(Floats x) { return 1.0f / (1.0f + exp(-kOuter * (x + kInner * x * x * x))); }

MF_CLONES void gelu(const float* x, float* y, int64_t begin, int64_t end) {
  by_sixteen(begin, end, [&](int64_t i, int64_t count) MF_INLINED {
    const Floats v = take(x + i, count);
    put(y + i, v * gate(v), count);
  });
}

MF_CLONES void gelu_gradient(const float* x, const float* dy, float* dx, int64_t begin, int64_t end) {
  by_sixteen(begin, end, [&](int64_t i, int64_t count) MF_INLINED {
    const Floats v = take(x + i, count), g = gate(v);
    const Floats slope = g + v * g * (1.0f - g) * kOuter * (1.0f + 3 * kInner * v * v);
    put(dx + i, take(dy + i, count) * slope, count);
  });
}

// ---------------------------------------------------------------------------------------------------------------- loss

// Rows begin … end of logits (N, V): the losses, and the logarithms of the sums of exponentials.
MF_CLONES void cross_entropy(const float* logits, const int32_t* labels, float* losses, float* totals, int64_t width,
                             int64_t begin, int64_t end) {
  for (int64_t n = begin; n < end; n++) {
    const float* row = logits + n * width;
    Floats most = all(-INFINITY);
    by_sixteen(0, width, [&](int64_t i, int64_t count) MF_INLINED {
      most = larger(count == kWidth ? load(row + i) : load_some(row + i, count, -INFINITY), most);
    });
    const float top = largest(most);
    Floats sums = {};
    by_sixteen(0, width, [&](int64_t i, int64_t count) MF_INLINED {
      sums += exp((count == kWidth ? load(row + i) : load_some(row + i, count, -INFINITY)) - top);
    });
    totals[n] = top + std::log(sum(sums));
    losses[n] = labels[n] >= 0 && labels[n] < width ? totals[n] - row[labels[n]] : NAN;
  }
}

MF_CLONES void cross_entropy_gradient(const float* logits, const int32_t* labels, const float* totals,
                                      const float* dlosses, float* dlogits, int64_t width, int64_t begin, int64_t end) {
  for (int64_t n = begin; n < end; n++) {
    const float *row = logits + n * width, total = totals[n], factor = dlosses[n];
    float* out = dlogits + n * width;
    by_sixteen(0, width, [&](int64_t i, int64_t count) MF_INLINED {
      put(out + i, factor * exp(take(row + i, count) - total), count);
    });
    if (labels[n] >= 0 && labels[n] < width) out[labels[n]] -= factor;
  }
}

constexpr int64_t kLeast = 16384;  // numbers that are worth another thread

}  // namespace

// x -> its like
MF_OPERATOR(mf_gelu) {
  const Array x = in[0], y = in[1];
  if (!are("float32", {x, y}) || y.size() != x.size()) return 1;
  mf::share(x.size(), kWidth, kLeast,
            [&](int64_t begin, int64_t end) { gelu(x.as<float>(), y.as<float>(), begin, end); });
  return 0;
}

// x, dy -> dx
MF_OPERATOR(mf_gelu_gradient) {
  const Array x = in[0], dy = in[1], dx = in[2];
  if (!are("float32", {x, dy, dx})) return 1;
  if (dy.size() != x.size() || dx.size() != x.size()) return 1;
  mf::share(x.size(), kWidth, kLeast, [&](int64_t begin, int64_t end) {
    gelu_gradient(x.as<float>(), dy.as<float>(), dx.as<float>(), begin, end);
  });
  return 0;
}

// logits (N, V), labels (N,) int32 -> losses (N,), totals (N,)
MF_OPERATOR(mf_cross_entropy) {
  const Array logits = in[0], labels = in[1], losses = in[2], totals = in[3];
  const int64_t rows = logits.axis(0), width = logits.axis(1);
  if (!are("float32", {logits, losses, totals}) || !labels.is("int32")) return 1;
  if (labels.size() != rows || losses.size() != rows || totals.size() != rows) return 1;
  mf::share(rows, 1, 2, [&](int64_t begin, int64_t end) {
    cross_entropy(logits.as<float>(), labels.as<int32_t>(), losses.as<float>(), totals.as<float>(), width, begin, end);
  });
  return 0;
}

// logits (N, V), labels (N,) int32, totals (N,), dlosses (N,) -> dlogits (N, V)
MF_OPERATOR(mf_cross_entropy_gradient) {
  const Array logits = in[0], labels = in[1], totals = in[2], dlosses = in[3], dlogits = in[4];
  const int64_t rows = logits.axis(0), width = logits.axis(1);
  if (!are("float32", {logits, totals, dlosses, dlogits}) || !labels.is("int32")) return 1;
  if (labels.size() != rows || totals.size() != rows || dlosses.size() != rows || dlogits.size() != logits.size())
    return 1;
  mf::share(rows, 1, 2, [&](int64_t begin, int64_t end) {
    cross_entropy_gradient(logits.as<float>(), labels.as<int32_t>(), totals.as<float>(), dlosses.as<float>(),
                           dlogits.as<float>(), width, begin, end);
  });
  return 0;
}
