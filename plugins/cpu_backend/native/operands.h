// What a product of matrices is made of: its sides, wherever they lie, and what becomes of its sums.
#pragma once

#include <cstdint>

namespace mf {

// The rows of a left side, or the columns of a right one, each with the numbers of the inner axis, which is summed over.
template <typename T>
struct Side {
  const T* data;
  int64_t outer, inner;  // the distances between two rows or columns, and between two of their numbers

  const T* at(int64_t i, int64_t k) const { return data + i * outer + k * inner; }
  Side from(int64_t i, int64_t k) const { return {at(i, k), outer, inner}; }
};

// What becomes of the sums of each column; any of them may be null. The residual lies as the result does.
struct Finish {
  const float *scale, *bias, *residual;

  // `place`: of the residual.
  Finish from(int64_t column, int64_t place) const {
    return {scale ? scale + column : scale, bias ? bias + column : bias, residual ? residual + place : residual};
  }
};

}  // namespace mf
