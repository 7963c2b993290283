// Products of rows with weights, by the form that these are stored in.
#include "matrix.h"

#include <algorithm>

#include "gemm.h"
#include "gemv.h"
#include "operator.h"
#include "workspace.h"

namespace {

using namespace mf;

constexpr int64_t kFew = 8, kFewNarrow = 16;  // narrow: of less than 32 bits
constexpr int64_t kLeast = 256;               // outputs that justify another thread

template <typename L, typename R>
void in_blocks(const Matrix& m, const float* x, int64_t rows, float* y, int64_t y_row, const float* residual, bool turned) {
  const Operand<L> left = {reinterpret_cast<const L*>(x), m.inner, 1};
  const R* data = static_cast<const R*>(m.data);
  const Operand<R> right = turned ? Operand<R>{data, m.inner, 1} : Operand<R>{data, 1, m.outer};
  multiply(left, right, y, y_row, rows, m.inner, m.outer, Epilogue{m.scale, m.bias, residual});
}

// Calls work(F{}) for the block format of a kind; false where it is none.
template <typename Work>
MF_INLINE bool in_format(int32_t kind, Work work) {
  switch (kind) {
    case MF_Q8_0: return work(Q8_0{}), true;
    case MF_Q4_0: return work(Q4_0{}), true;
    case MF_Q4_1: return work(Q4_1{}), true;
    case MF_Q5_0: return work(Q5_0{}), true;
    case MF_Q5_1: return work(Q5_1{}), true;
    case MF_Q4_K: return work(Q4_K{}), true;
    case MF_Q5_K: return work(Q5_K{}), true;
    case MF_Q6_K: return work(Q6_K{}), true;
  }
  return false;
}

template <typename F>
int64_t row_bytes(const Matrix& m) {
  return m.inner / F::kSize * F::kBytes;
}

// C outputs from `column` on of R rows.
template <typename F, int R, int C>
void some_outputs(const Matrix& m, const Rounded& x, float* y, int64_t y_row, int64_t column) {
  const uint8_t* rows = static_cast<const uint8_t*>(m.data) + column * row_bytes<F>(m);
  float sums[R * C];
#if defined(MF_VNNI)
  if (has_vnni()) {
    dot_vnni<F, R, C>(rows, row_bytes<F>(m), x, m.inner, sums);
  } else
#endif
  {
    for (int c = 0; c < C; c++) {
      float one[R];
      dot_generic<F, R>(rows + c * row_bytes<F>(m), x, m.inner, one);
      for (int r = 0; r < R; r++) sums[r * C + c] = one[r];
    }
  }
  for (int r = 0; r < R; r++)
    for (int c = 0; c < C; c++) y[r * y_row + column + c] = sums[r * C + c] + (m.bias ? m.bias[column + c] : 0);
}

template <typename F, int R>
void rows_of_outputs(const Matrix& m, const Rounded& x, float* y, int64_t y_row, int64_t begin, int64_t end) {
  int64_t n = begin;
  for (; n + 4 <= end; n += 4) some_outputs<F, R, 4>(m, x, y, y_row, n);
  for (; n < end; n++) some_outputs<F, R, 1>(m, x, y, y_row, n);
}

template <typename F>
void few_in_format(const Matrix& m, const Rounded& x, int64_t rows, float* y, int64_t y_row, int64_t begin, int64_t end) {
  int64_t r = 0;
  for (; r + 4 <= rows; r += 4) rows_of_outputs<F, 4>(m, x.from_row(r), y + r * y_row, y_row, begin, end);
  for (; r < rows; r++) rows_of_outputs<F, 1>(m, x.from_row(r), y + r * y_row, y_row, begin, end);
}

// Many rows: so many outputs' weights at a time are widened to fp32, and multiplied in blocks.
template <typename F>
void many_in_format(const Matrix& m, const float* x, int64_t rows, float* y, int64_t y_row, const float* residual) {
  static thread_local Workspace workspace;
  const int64_t most = std::max<int64_t>(64, (4 << 20) / (m.inner * 4) / 64 * 64);
  float* wide = workspace.of<float>(std::min(most, m.outer) * m.inner);
  for (int64_t n = 0; n < m.outer; n += most) {
    const int64_t count = std::min(most, m.outer - n);
    const uint8_t* data = static_cast<const uint8_t*>(m.data) + n * row_bytes<F>(m);
    take_turns(count, 16, 32, [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; i++) widen_row<F>(data + i * row_bytes<F>(m), m.inner, wide + i * m.inner);
    });
    const Epilogue finish = {nullptr, m.bias ? m.bias + n : nullptr, residual ? residual + n : nullptr};
    multiply(Operand<float>{x, m.inner, 1}, Operand<float>{wide, m.inner, 1}, y + n, y_row, rows, m.inner, count, finish);
  }
}

}  // namespace

int64_t mf::few_rows(const Matrix& m) { return m.kind >= MF_INT8 ? kFewNarrow : kFew; }

mf::Input mf::input_for(const Matrix& m, const float* x, int64_t rows, int slot) {
  Input input = {x, {}};
  in_format(m.kind, [&](auto format) {
    static thread_local Workspace workspaces[3];
    const int64_t padded = mf::padded(m.inner, 64), blocks = padded / kBlock, numbers = rows * padded;
    auto* offsets = workspaces[slot].of<int32_t>(numbers / 4 + 2 * rows * blocks + numbers);
    auto* scales = reinterpret_cast<float*>(offsets + numbers / 4);
    float* sums = scales + rows * blocks;
    auto* values = reinterpret_cast<int16_t*>(sums + rows * blocks);
    auto* high = reinterpret_cast<int8_t*>(values + numbers);
    input.rounded = {values, high, high + numbers, offsets, scales, sums, padded};
    for (int64_t r = 0; r < rows; r++)
      round_row(x + r * m.inner, m.inner, decltype(format)::kOffset, input.rounded.from_row(r));
  });
  return input;
}

void mf::multiply(const Matrix& m, const float* x, int64_t rows, float* y, int64_t y_row, const float* residual) {
  if (!is_for_many(m, rows)) {
    const Input input = input_for(m, x, rows);
    share(m.outer, kWidth, kLeast, [&](int64_t begin, int64_t end) {
      multiply_outputs(m, input, rows, y, y_row, begin, end);
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
  in_format(m.kind, [&](auto format) { many_in_format<decltype(format)>(m, x, rows, y, y_row, residual); });
}

void mf::multiply_outputs(const Matrix& m, const Input& input, int64_t rows, float* y, int64_t y_row, int64_t begin,
                          int64_t end) {
  const float* x = input.x;
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
  in_format(m.kind, [&](auto format) {
    few_in_format<decltype(format)>(m, input.rounded, rows, y, y_row, begin, end);
  });
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
  in_format(m.kind, [&](auto format) {
    typedef decltype(format) F;
    const uint8_t* data = static_cast<const uint8_t*>(m.data);
    for (int64_t i = 0; i < count; i++) widen_row<F>(data + ids[i] * row_bytes<F>(m), m.inner, y + i * m.inner);
  });
}
