// A side of a product of matrices, wherever it lies.
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

}  // namespace mf
