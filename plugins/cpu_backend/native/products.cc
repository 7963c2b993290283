// Products of rows with a weight, of few and of many.
#include <type_traits>

#include "gemv.h"
#include "gemm.h"
#include "operator.h"

namespace {

using namespace mf;

constexpr int64_t kFew = 8;         // rows by which a weight is read once, as it is stored
constexpr int64_t kFewNarrow = 16;  // of a weight of less than 32 bits

// y = x (rows, inner) @ weight (inner, width)
template <typename T>
void multiply_inputs_first(const T* x, const T* weight, int64_t rows, int64_t inner, int64_t width, float* y, int64_t y_row,
                           const Epilogue& finish) {
  multiply(Operand<T>{x, inner, 1}, Operand<T>{weight, 1, width}, y, y_row, rows, inner, width, finish);
}

// The same for a weight (width, inner).
template <typename L, typename R>
void multiply_outputs_first(const L* x, const R* weight, int64_t rows, int64_t inner, int64_t width, float* y,
                            int64_t y_row, const Epilogue& finish) {
  multiply(Operand<L>{x, inner, 1}, Operand<R>{weight, inner, 1}, y, y_row, rows, inner, width, finish);
}

bool fits(const Array& bias, int64_t width) { return !bias.data || (bias.is("float32") && bias.size() == width); }

// The product with a weight (N, K) of R, of which a few rows are exact. Where there is no bias it has no data.
template <typename L, typename R>
int product_outputs_first(const float* scale, const Array& x, const Array& weight, const Array& bias, const Array& y) {
  typedef std::conditional_t<std::is_same_v<R, Near>, float, R> Exact;
  const int64_t rows = x.rows(1), inner = weight.axis(1), width = weight.axis(0);
  if (!are("float32", {x, y}) || x.axis(-1) != inner || y.size() != rows * width || !fits(bias, width)) return 1;
  if (rows > (scale ? kFewNarrow : kFew)) {
    const Epilogue finish = {scale, bias.as<float>(), nullptr};
    multiply_outputs_first(x.as<L>(), weight.as<R>(), rows, inner, width, y.as<float>(), width, finish);
    return 0;
  }
  share(width, 4, 256, [&](int64_t begin, int64_t end) {
    product(x.as<float>(), weight.as<Exact>(), scale, bias.as<float>(), y.as<float>(), rows, inner, width, begin, end);
  });
  return 0;
}

// x (…, K), weight (N, K), and maybe bias (N,) -> (…, N); all fp32
template <typename T>
int linear_outputs_first(const Arrays& in) {
  const Array weight = in[1], bias = in.count == 4 ? in[2] : Array{};
  if (!weight.is("float32")) return 1;
  return product_outputs_first<T, T>(nullptr, in[0], weight, bias, in[in.count - 1]);
}

// x (…, K), weight (K, N), and maybe bias (N,) -> (…, N); all fp32
template <typename T>
int linear(const Arrays& in) {
  const Array x = in[0], weight = in[1], bias = in.count == 4 ? in[2] : Array{}, y = in[in.count - 1];
  const int64_t rows = x.rows(1), inner = weight.axis(0), width = weight.axis(1);
  if (!are("float32", {x, weight, y}) || x.axis(-1) != inner || y.size() != rows * width || !fits(bias, width)) return 1;
  float* out = y.as<float>();
  if (rows > kFew) {
    multiply_inputs_first(x.as<T>(), weight.as<T>(), rows, inner, width, out, width, {nullptr, bias.as<float>(), nullptr});
    return 0;
  }
  mf::share(width, kWidth, 256, [&](int64_t begin, int64_t end) {
    product_inputs_first(x.as<float>(), weight.as<float>(), bias.as<float>(), out, rows, inner, width, width, begin, end);
  });
  return 0;
}

// x (M, K), y (M, N) -> x^T y (K, N): the gradient of a weight, of what a product read and of its result's; all fp32
template <typename T>
int product_of_columns(const Arrays& in) {
  const Array x = in[0], y = in[1], out = in[2];
  const int64_t rows = x.axis(0), height = x.axis(1), width = y.axis(1);
  if (!are("float32", {x, y, out}) || y.axis(0) != rows || out.size() != height * width) return 1;
  const Operand<T> left = {x.as<T>(), 1, height}, right = {y.as<T>(), 1, width};
  multiply(left, right, out.as<float>(), width, height, rows, width, {});
  return 0;
}

}  // namespace

// x (…, K) fp32, weight (N, K) int8 or bfloat16, scale (N,) fp32, bias (N,) fp32 -> (…, N) fp32
MF_OPERATOR(mf_weight_only_linear) {
  const Array x = in[0], weight = in[1], scale = in[2], bias = in[3], y = in[4];
  if (!scale.is("float32") || scale.size() != weight.axis(0)) return 1;
  if (weight.is("int8")) return product_outputs_first<float, int8_t>(scale.as<float>(), x, weight, bias, y);
  if (weight.is("bfloat16")) return product_outputs_first<float, Bfloat>(scale.as<float>(), x, weight, bias, y);
  return 1;
}

MF_OPERATOR(mf_linear_outputs_first) { return linear_outputs_first<float>(in); }
MF_OPERATOR(mf_linear) { return linear<float>(in); }
MF_OPERATOR(mf_product_of_columns) { return product_of_columns<float>(in); }

// The same of what is rounded to bfloat16, summed in fp32.
MF_OPERATOR(mf_bfloat16_linear_outputs_first) { return linear_outputs_first<Near>(in); }
MF_OPERATOR(mf_bfloat16_linear) { return linear<Near>(in); }
MF_OPERATOR(mf_bfloat16_product_of_columns) { return product_of_columns<Near>(in); }

// ids int32, weight (N, K), scale (N,) fp32 -> (…, K) fp32
MF_OPERATOR(mf_weight_only_rows) {
  const Array ids = in[0], weight = in[1], scale = in[2], y = in[3];
  const int64_t count = ids.size(), width = weight.axis(1);
  if (!are("float32", {scale, y}) || !ids.is("int32") || !(weight.is("int8") || weight.is("bfloat16"))) return 1;
  if (scale.size() != weight.axis(0) || y.size() != count * width) return 1;
  for (int64_t i = 0; i < count; i++) {
    const int64_t row = ids.as<int32_t>()[i];
    if (row < 0 || row >= weight.axis(0)) return 1;
    const float factor = scale.as<float>()[row];
    float* out = y.as<float>() + i * width;
    for (int64_t k = 0; k < width; k++)
      out[k] = factor * (weight.is("int8") ? one(weight.as<int8_t>() + row * width + k)
                                           : one(weight.as<Bfloat>() + row * width + k));
  }
  return 0;
}
