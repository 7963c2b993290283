// Products of rows with weights, by the form that these are stored in.
#include "matrix.h"

#include "gemm.h"
#include "gemv.h"
#include "operator.h"

namespace {

using namespace mf;

constexpr int64_t kFew = 8, kFewNarrow = 16;  // narrow: of less than 32 bits
constexpr int64_t kLeast = 256;               // outputs that are worth another thread

template <typename L, typename R>
void in_blocks(const Matrix& m, const float* x, int64_t rows, float* y, int64_t y_row, const float* residual, bool turned) {
  const Side<L> left = {reinterpret_cast<const L*>(x), m.inner, 1};
  const R* data = static_cast<const R*>(m.data);
  const Side<R> right = turned ? Side<R>{data, m.inner, 1} : Side<R>{data, 1, m.outer};
  multiply(left, right, y, y_row, rows, m.inner, m.outer, Finish{m.scale, m.bias, residual});
}

}  // namespace

int64_t mf::few_rows(const Matrix& m) { return m.kind == MF_INT8 || m.kind == MF_BF16 ? kFewNarrow : kFew; }

void mf::multiply(const Matrix& m, const float* x, int64_t rows, float* y, int64_t y_row, const float* residual) {
  if (!is_for_many(m, rows)) {
    share(m.outer, kWidth, kLeast, [&](int64_t begin, int64_t end) {
      multiply_outputs(m, x, rows, y, y_row, begin, end);
      if (residual)
        for (int64_t r = 0; r < rows; r++)
          by_vector(begin, end, [&](int64_t i, int64_t count) MF_INLINED {
            put(y + r * y_row + i, take(y + r * y_row + i, count) + take(residual + r * y_row + i, count), count);
          });
    });
    return;
  }
  switch (m.kind) {
    case MF_F32_INPUTS_FIRST: return in_blocks<float, float>(m, x, rows, y, y_row, residual, false);
    case MF_F32_INPUTS_FIRST_ROUNDED: return in_blocks<Near, Near>(m, x, rows, y, y_row, residual, false);
    case MF_F32: return in_blocks<float, float>(m, x, rows, y, y_row, residual, true);
    case MF_F32_ROUNDED: return in_blocks<Near, Near>(m, x, rows, y, y_row, residual, true);
    case MF_INT8: return in_blocks<float, int8_t>(m, x, rows, y, y_row, residual, true);
    case MF_BF16: return in_blocks<float, Bfloat>(m, x, rows, y, y_row, residual, true);
  }
}

void mf::multiply_outputs(const Matrix& m, const float* x, int64_t rows, float* y, int64_t y_row, int64_t begin,
                          int64_t end) {
  const auto turned = [&](const auto* data) {
    product(x, data, m.scale, m.bias, y, rows, m.inner, y_row, begin, end);
  };
  switch (m.kind) {
    case MF_F32_INPUTS_FIRST:
    case MF_F32_INPUTS_FIRST_ROUNDED:
      return product_inputs_first(x, static_cast<const float*>(m.data), m.bias, y, rows, m.inner, m.outer, y_row, begin, end);
    case MF_F32:
    case MF_F32_ROUNDED: return turned(static_cast<const float*>(m.data));
    case MF_INT8: return turned(static_cast<const int8_t*>(m.data));
    case MF_BF16: return turned(static_cast<const Bfloat*>(m.data));
  }
}

void mf::take_rows(const Matrix& m, const int32_t* ids, int64_t count, float* y) {
  const auto widen = [&](const auto* data) {
    for (int64_t i = 0; i < count; i++) {
      const float factor = m.scale ? m.scale[ids[i]] : 1;
      const auto* row = data + ids[i] * m.inner;
      int64_t k = 0;
      for (; k + kWidth <= m.inner; k += kWidth) store(y + i * m.inner + k, load(row + k) * factor);
      for (; k < m.inner; k++) y[i * m.inner + k] = one(row + k) * factor;
    }
  };
  switch (m.kind) {
    case MF_F32:
    case MF_F32_ROUNDED: return widen(static_cast<const float*>(m.data));
    case MF_INT8: return widen(static_cast<const int8_t*>(m.data));
    case MF_BF16: return widen(static_cast<const Bfloat*>(m.data));
  }
}
