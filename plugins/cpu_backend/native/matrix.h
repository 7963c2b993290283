// The weight of a linear layer in any of the forms that it is stored in, and products of rows with it.
#pragma once

#include <cstdint>

#include "quantized.h"

// Mirrored by mf_cpu_backend/decoder_structs.py.
extern "C" {

enum mf_matrix_kind : int32_t {
  MF_ABSENT = 0,
  MF_F32_INPUTS_FIRST = 1,  // (in, out)
  MF_F32 = 2,               // (out, in), as all that follow
  MF_F32_ROUNDED = 3,       // products of many rows round both sides to bfloat16
  MF_F32_INPUTS_FIRST_ROUNDED = 4,
  MF_INT8 = 5,  // with a scale for each output
  MF_BF16 = 6,
  // The block formats of GGUF files; rows follow each other without gaps.
  MF_Q8_0 = 16,
  MF_Q4_0 = 17,
  MF_Q4_1 = 18,
  MF_Q5_0 = 19,
  MF_Q5_1 = 20,
  MF_Q4_K = 21,
  MF_Q5_K = 22,
  MF_Q6_K = 23,
};

struct mf_matrix {
  const void* data;
  const float *scale, *bias;  // of each output; either may be null
  int64_t inner, outer;       // numbers of inputs and of outputs
  int32_t kind, reserved;
};

}  // extern "C"

namespace mf {

typedef mf_matrix Matrix;

// Up to so many rows, the weight is read once, as it is stored; more are multiplied in blocks.
int64_t few_rows(const Matrix& m);

inline bool is_for_many(const Matrix& m, int64_t rows) { return rows > few_rows(m); }

// y = x (rows, in) @ m, scaled and with the bias, and with the residual unless it is null, by all threads. Rows of y, and of
// the residual, are y_row apart.
void multiply(const Matrix& m, const float* x, int64_t rows, float* y, int64_t y_row, const float* residual = nullptr);

// Few rows in the form that products read: rounded to 16 bits for block formats, else unchanged. They stay in the calling
// thread's memory until the next ones of the same `slot`.
struct Input {
  const float* x;
  Rounded rounded;
};
Input input_for(const Matrix& m, const float* x, int64_t rows, int slot = 0);

// Outputs begin … end of the product for few rows, by the calling thread, without a residual.
void multiply_outputs(const Matrix& m, const Input& x, int64_t rows, float* y, int64_t y_row, int64_t begin, int64_t end);

// The rows of m that the ids name, as fp32: y (count, in). For matrices with outputs first.
void take_rows(const Matrix& m, const int32_t* ids, int64_t count, float* y);

}  // namespace mf
