// The weight of a linear layer in any of the forms that it is stored in, and products of rows with it.
#pragma once

#include <cstdint>

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

// Outputs begin … end of the same for few rows, by the calling thread, without a residual.
void multiply_outputs(const Matrix& m, const float* x, int64_t rows, float* y, int64_t y_row, int64_t begin, int64_t end);

// The rows of m that the ids name, as fp32: y (count, in). For matrices with outputs first.
void take_rows(const Matrix& m, const int32_t* ids, int64_t count, float* y);

}  // namespace mf
