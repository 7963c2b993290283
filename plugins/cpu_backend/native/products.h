// Products of rows with the weight of a linear layer.
#pragma once

#include "operator.h"
#include "operands.h"

namespace mf {

constexpr int64_t kFew = 8;         // rows by which a weight is read once, and not laid out first
constexpr int64_t kFewNarrow = 16;  // of a weight in fewer bits

// A weight, (in, out) fp32 or, with outputs first, (out, in) fp32, int8 or bfloat16.
struct Weight {
  Array numbers;
  bool outputs_first, rounded;  // rounded: products of many rows are of what is rounded to bfloat16; the weight is fp32

  int64_t inner() const { return numbers.axis(outputs_first ? 1 : 0); }
  int64_t width() const { return numbers.axis(outputs_first ? 0 : 1); }
  bool is_known() const {
    const bool narrow = numbers.is("int8") || numbers.is("bfloat16");
    return numbers.rank == 2 && (numbers.is("float32") || (narrow && outputs_first && !rounded));
  }
  int64_t few() const { return numbers.is("float32") ? kFew : kFewNarrow; }
};

// y = x (rows, in) @ weight, finished, with all threads: for many rows. Rows of y are y_row apart.
void multiply_many(const float* x, const Weight& weight, int64_t rows, float* y, int64_t y_row, const Finish& finish);

}  // namespace mf
