// What training does besides matrix products, each in one pass over memory.
#include "operator.h"
#include "rows.h"

#include <cmath>

namespace {

using namespace mf;

// ---------------------------------------------------------------------------------------------------------- activation

void gelu(const float* x, float* y, int64_t begin, int64_t end) {
  by_vector(begin, end, [&](int64_t i, int64_t count) MF_INLINED {
    put(y + i, mf::gelu(take(x + i, count)), count);
  });
}

void gelu_gradient(const float* x, const float* dy, float* dx, int64_t begin, int64_t end) {
  by_vector(begin, end, [&](int64_t i, int64_t count) MF_INLINED {
    const Floats v = take(x + i, count), g = gelu_gate(v);
    const Floats slope = g + v * g * (1.0f - g) * kGeluOuter * (1.0f + 3 * kGeluInner * v * v);
    put(dx + i, take(dy + i, count) * slope, count);
  });
}

void swish(const float* x, float beta, float* y, int64_t begin, int64_t end) {
  by_vector(begin, end, [&](int64_t i, int64_t count) MF_INLINED {
    put(y + i, mf::swish(take(x + i, count), beta), count);
  });
}

void swish_gradient(const float* x, float beta, const float* dy, float* dx, int64_t begin, int64_t end) {
  by_vector(begin, end, [&](int64_t i, int64_t count) MF_INLINED {
    const Floats v = take(x + i, count), g = 1.0f / (1.0f + exp(-beta * v));
    put(dx + i, take(dy + i, count) * (g + beta * v * g * (1.0f - g)), count);
  });
}

// ---------------------------------------------------------------------------------------------------------------- loss

// Rows begin … end of logits (N, V): the losses, and the logarithms of the sums of exponentials.
void cross_entropy(const float* logits, const int32_t* labels, float* losses, float* totals, int64_t width,
                   int64_t begin, int64_t end) {
  for (int64_t n = begin; n < end; n++) {
    const float* row = logits + n * width;
    const float top = largest(row, width);
    Floats sums = {};
    by_vector(0, width, [&](int64_t i, int64_t count) MF_INLINED { sums += exp(take(row + i, count, -INFINITY) - top); });
    totals[n] = top + std::log(sum(sums));
    losses[n] = labels[n] >= 0 && labels[n] < width ? totals[n] - row[labels[n]] : NAN;
  }
}

void cross_entropy_gradient(const float* logits, const int32_t* labels, const float* totals,
                            const float* dlosses, float* dlogits, int64_t width, int64_t begin, int64_t end) {
  for (int64_t n = begin; n < end; n++) {
    const float *row = logits + n * width, total = totals[n], factor = dlosses[n];
    float* out = dlogits + n * width;
    by_vector(0, width, [&](int64_t i, int64_t count) MF_INLINED {
      put(out + i, factor * exp(take(row + i, count) - total), count);
    });
    if (labels[n] >= 0 && labels[n] < width) out[labels[n]] -= factor;
  }
}

// ---------------------------------------------------------------------------------------------------------- layer norm

// Rows begin … end of x (N, E): y, and each row's mean and the reciprocal of its deviation.
void layer_norm(const float* x, const float* weight, const float* bias, float epsilon, float* y, float* means,
                float* scales, int64_t width, int64_t begin, int64_t end) {
  for (int64_t n = begin; n < end; n++) {
    const Normed normed = layer_norm_row(x + n * width, weight, bias, epsilon, y + n * width, width);
    means[n] = normed.mean;
    scales[n] = normed.scale;
  }
}

void layer_norm_gradient(const float* x, const float* weight, const float* means, const float* scales,
                         const float* dy, float* dx, int64_t width, int64_t begin, int64_t end) {
  for (int64_t n = begin; n < end; n++) {
    const float *row = x + n * width, *given = dy + n * width, mean = means[n], scale = scales[n];
    float* out = dx + n * width;
    Floats plain = {}, along = {};
    by_vector(0, width, [&](int64_t i, int64_t count) MF_INLINED {
      const Floats g = take(given + i, count) * take(weight + i, count);
      plain += g;
      along += g * (take(row + i, count) - mean);  // past the end, g is 0
    });
    const float first = sum(plain) / width, second = sum(along) / width * scale * scale;
    by_vector(0, width, [&](int64_t i, int64_t count) MF_INLINED {
      const Floats g = take(given + i, count) * take(weight + i, count);
      put(out + i, scale * (g - first - (take(row + i, count) - mean) * second), count);
    });
  }
}

// Columns begin … end of the gradients of weight and bias, summed over the rows in their order.
void layer_norm_sums(const float* x, const float* means, const float* scales, const float* dy, float* dweight,
                     float* dbias, int64_t rows, int64_t width, int64_t begin, int64_t end) {
  memset(dweight + begin, 0, (end - begin) * sizeof(float));
  memset(dbias + begin, 0, (end - begin) * sizeof(float));
  for (int64_t n = 0; n < rows; n++) {
    const float *row = x + n * width, *given = dy + n * width, mean = means[n], scale = scales[n];
    by_vector(begin, end, [&](int64_t i, int64_t count) MF_INLINED {
      const Floats g = take(given + i, count);
      put(dbias + i, take(dbias + i, count) + g, count);
      put(dweight + i, take(dweight + i, count) + g * (take(row + i, count) - mean) * scale, count);
    });
  }
}

// ------------------------------------------------------------------------------------------------------------ RMS norm

void rms_norm(const float* x, const float* weight, float epsilon, float* y, float* scales, int64_t width, int64_t begin,
              int64_t end) {
  for (int64_t n = begin; n < end; n++)
    scales[n] = rms_norm_row(x + n * width, weight, epsilon, y + n * width, width).scale;
}

void rms_norm_gradient(const float* x, const float* weight, const float* scales, const float* dy, float* dx,
                       int64_t width, int64_t begin, int64_t end) {
  for (int64_t n = begin; n < end; n++) {
    const float *row = x + n * width, *given = dy + n * width, scale = scales[n];
    Floats along = {};
    by_vector(0, width, [&](int64_t i, int64_t count) MF_INLINED {
      along += take(given + i, count) * take(weight + i, count) * take(row + i, count);
    });
    const float part = sum(along) / width * scale * scale;
    by_vector(0, width, [&](int64_t i, int64_t count) MF_INLINED {
      put(dx + n * width + i, scale * (take(given + i, count) * take(weight + i, count) - take(row + i, count) * part),
          count);
    });
  }
}

// Columns begin … end of the gradient of the weight, summed over the rows in their order.
void rms_norm_sums(const float* x, const float* scales, const float* dy, float* dweight, int64_t rows, int64_t width,
                   int64_t begin, int64_t end) {
  memset(dweight + begin, 0, (end - begin) * sizeof(float));
  for (int64_t n = 0; n < rows; n++) {
    const float *row = x + n * width, *given = dy + n * width, scale = scales[n];
    by_vector(begin, end, [&](int64_t i, int64_t count) MF_INLINED {
      put(dweight + i, take(dweight + i, count) + take(given + i, count) * take(row + i, count) * scale, count);
    });
  }
}

// ---------------------------------------------------------------------------------------------------------------- bias

void bias_add(const float* x, const float* bias, float* y, int64_t width, int64_t begin, int64_t end) {
  for (int64_t n = begin; n < end; n++)
    by_vector(0, width, [&](int64_t i, int64_t count) MF_INLINED {
      put(y + n * width + i, take(x + n * width + i, count) + take(bias + i, count), count);
    });
}

// Columns begin … end of the sums over the rows, in their order.
void column_sums(const float* x, float* sums, int64_t rows, int64_t width, int64_t begin, int64_t end) {
  memset(sums + begin, 0, (end - begin) * sizeof(float));
  for (int64_t n = 0; n < rows; n++)
    by_vector(begin, end, [&](int64_t i, int64_t count) MF_INLINED {
      put(sums + i, take(sums + i, count) + take(x + n * width + i, count), count);
    });
}

// ------------------------------------------------------------------------------------------------------------- softmax

void softmax(const float* x, float* y, int64_t width, int64_t begin, int64_t end) {
  for (int64_t n = begin; n < end; n++) {
    float* out = y + n * width;
    const float factor = 1 / powers(x + n * width, out, width, largest(x + n * width, width));
    by_vector(0, width,
               [&](int64_t i, int64_t count) MF_INLINED { put(out + i, take(out + i, count) * factor, count); });
  }
}

void softmax_gradient(const float* y, const float* dy, float* dx, int64_t width, int64_t begin, int64_t end) {
  for (int64_t n = begin; n < end; n++) {
    const float *row = y + n * width, *given = dy + n * width;
    float* out = dx + n * width;
    Floats sums = {};
    by_vector(0, width,
               [&](int64_t i, int64_t count) MF_INLINED { sums += take(row + i, count) * take(given + i, count); });
    const float total = sum(sums);
    by_vector(0, width, [&](int64_t i, int64_t count) MF_INLINED {
      put(out + i, take(row + i, count) * (take(given + i, count) - total), count);
    });
  }
}

constexpr int64_t kLeast = 16384;  // elements that justify another thread

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

// x, beta (1,) -> x's like
MF_OPERATOR(mf_swish) {
  const Array x = in[0], beta = in[1], y = in[2];
  if (!are("float32", {x, beta, y}) || y.size() != x.size() || beta.size() != 1) return 1;
  mf::share(x.size(), kWidth, kLeast, [&](int64_t begin, int64_t end) {
    swish(x.as<float>(), *beta.as<float>(), y.as<float>(), begin, end);
  });
  return 0;
}

// x, beta (1,), dy -> dx
MF_OPERATOR(mf_swish_gradient) {
  const Array x = in[0], beta = in[1], dy = in[2], dx = in[3];
  if (!are("float32", {x, beta, dy, dx}) || dy.size() != x.size() || dx.size() != x.size() || beta.size() != 1) return 1;
  mf::share(x.size(), kWidth, kLeast, [&](int64_t begin, int64_t end) {
    swish_gradient(x.as<float>(), *beta.as<float>(), dy.as<float>(), dx.as<float>(), begin, end);
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

// x (…, E), weight (E,), bias (E,), epsilon (1,) -> its like, means (N,), scales (N,)
MF_OPERATOR(mf_layer_norm) {
  const Array x = in[0], weight = in[1], bias = in[2], epsilon = in[3], y = in[4], means = in[5], scales = in[6];
  const int64_t rows = x.rows(1), width = x.axis(-1);
  if (!are("float32", {x, weight, bias, epsilon, y, means, scales}) || weight.size() != width || bias.size() != width ||
      y.size() != x.size() || means.size() != rows || scales.size() != rows || epsilon.size() != 1)
    return 1;
  mf::share(rows, 1, kLeast / width, [&](int64_t begin, int64_t end) {
    layer_norm(x.as<float>(), weight.as<float>(), bias.as<float>(), *epsilon.as<float>(), y.as<float>(),
               means.as<float>(), scales.as<float>(), width, begin, end);
  });
  return 0;
}

// x (…, E), weight (E,), means (N,), scales (N,), dy like x -> dx like x, dweight (E,), dbias (E,)
MF_OPERATOR(mf_layer_norm_gradient) {
  const Array x = in[0], weight = in[1], means = in[2], scales = in[3], dy = in[4], dx = in[5], dweight = in[6],
              dbias = in[7];
  const int64_t rows = x.rows(1), width = x.axis(-1);
  if (!are("float32", {x, weight, means, scales, dy, dx, dweight, dbias}) || weight.size() != width ||
      means.size() != rows || scales.size() != rows || dy.size() != x.size() || dx.size() != x.size() ||
      dweight.size() != width || dbias.size() != width)
    return 1;
  mf::share(rows, 1, kLeast / width, [&](int64_t begin, int64_t end) {
    layer_norm_gradient(x.as<float>(), weight.as<float>(), means.as<float>(), scales.as<float>(), dy.as<float>(),
                        dx.as<float>(), width, begin, end);
  });
  mf::share(width, kWidth, kLeast / (rows + 1), [&](int64_t begin, int64_t end) {
    layer_norm_sums(x.as<float>(), means.as<float>(), scales.as<float>(), dy.as<float>(), dweight.as<float>(),
                    dbias.as<float>(), rows, width, begin, end);
  });
  return 0;
}

// x (…, E), weight (E,), epsilon (1,) -> its like, scales (N,)
MF_OPERATOR(mf_rms_norm) {
  const Array x = in[0], weight = in[1], epsilon = in[2], y = in[3], scales = in[4];
  const int64_t rows = x.rows(1), width = x.axis(-1);
  if (!are("float32", {x, weight, epsilon, y, scales}) || weight.size() != width || y.size() != x.size() ||
      scales.size() != rows || epsilon.size() != 1)
    return 1;
  mf::share(rows, 1, kLeast / width, [&](int64_t begin, int64_t end) {
    rms_norm(x.as<float>(), weight.as<float>(), *epsilon.as<float>(), y.as<float>(), scales.as<float>(), width, begin, end);
  });
  return 0;
}

// x (…, E), weight (E,), scales (N,), dy like x -> dx like x, dweight (E,)
MF_OPERATOR(mf_rms_norm_gradient) {
  const Array x = in[0], weight = in[1], scales = in[2], dy = in[3], dx = in[4], dweight = in[5];
  const int64_t rows = x.rows(1), width = x.axis(-1);
  if (!are("float32", {x, weight, scales, dy, dx, dweight}) || weight.size() != width || scales.size() != rows ||
      dy.size() != x.size() || dx.size() != x.size() || dweight.size() != width)
    return 1;
  mf::share(rows, 1, kLeast / width, [&](int64_t begin, int64_t end) {
    rms_norm_gradient(x.as<float>(), weight.as<float>(), scales.as<float>(), dy.as<float>(), dx.as<float>(), width, begin,
                      end);
  });
  mf::share(width, kWidth, kLeast / (rows + 1), [&](int64_t begin, int64_t end) {
    rms_norm_sums(x.as<float>(), scales.as<float>(), dy.as<float>(), dweight.as<float>(), rows, width, begin, end);
  });
  return 0;
}

// x (N, E), bias (E,) -> x's like
MF_OPERATOR(mf_bias_add) {
  const Array x = in[0], bias = in[1], y = in[2];
  const int64_t width = x.axis(-1);
  if (!are("float32", {x, bias, y}) || bias.size() != width || y.size() != x.size()) return 1;
  mf::share(x.rows(1), 1, kLeast / width, [&](int64_t begin, int64_t end) {
    bias_add(x.as<float>(), bias.as<float>(), y.as<float>(), width, begin, end);
  });
  return 0;
}

// x (N, E), bias (E,) -> sums over the rows (E,)
MF_OPERATOR(mf_column_sums) {
  const Array x = in[0], sums = in[2];
  const int64_t rows = x.rows(1), width = x.axis(-1);
  if (!are("float32", {x, sums}) || sums.size() != width) return 1;
  mf::share(width, kWidth, kLeast / (rows + 1), [&](int64_t begin, int64_t end) {
    column_sums(x.as<float>(), sums.as<float>(), rows, width, begin, end);
  });
  return 0;
}

// x (…, E) -> its like
MF_OPERATOR(mf_softmax) {
  const Array x = in[0], y = in[1];
  const int64_t width = x.axis(-1);
  if (!are("float32", {x, y}) || y.size() != x.size()) return 1;
  mf::share(x.rows(1), 1, kLeast / width,
            [&](int64_t begin, int64_t end) { softmax(x.as<float>(), y.as<float>(), width, begin, end); });
  return 0;
}

// y (…, E), dy -> dx
MF_OPERATOR(mf_softmax_gradient) {
  const Array y = in[0], dy = in[1], dx = in[2];
  const int64_t width = y.axis(-1);
  if (!are("float32", {y, dy, dx}) || dy.size() != y.size() || dx.size() != y.size()) return 1;
  mf::share(y.rows(1), 1, kLeast / width, [&](int64_t begin, int64_t end) {
    softmax_gradient(y.as<float>(), dy.as<float>(), dx.as<float>(), width, begin, end);
  });
  return 0;
}
