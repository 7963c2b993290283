// The operands of a matrix product, with strides, and its epilogue: scale, bias and residual.
#pragma once

#include <cstdint>

namespace mf {

// The rows of a left operand or the columns of a right one; the inner axis is the one that is summed over.
template <typename T>
struct Operand {
  const T* data;
  int64_t outer, inner;  // strides between rows or columns, and between their elements

  const T* at(int64_t i, int64_t k) const { return data + i * outer + k * inner; }
  Operand from(int64_t i, int64_t k) const { return {at(i, k), outer, inner}; }
};

// Applied to the sums of each column; each pointer may be null. The residual has the layout of the result.
struct Epilogue {
  const float *scale, *bias, *residual;

  // `offset`: into the residual.
  Epilogue from(int64_t column, int64_t offset) const {
    return {scale ? scale + column : scale, bias ? bias + column : bias, residual ? residual + offset : residual};
  }
};

}  // namespace mf
