// A pass of a decoder: its layers one after the other, the last norm, and the logits of the last tokens.
#include "decoder.h"

#include <algorithm>

#include "operator.h"
#include "simd.h"
#include "workspace.h"

namespace {

using namespace mf;

void cap(float* x, int64_t count, float scale, float limit) {
  share(count, kWidth, 16384, [&](int64_t begin, int64_t end) {
    by_vector(begin, end, [&](int64_t i, int64_t some) MF_INLINED {
      Floats v = take(x + i, some) * scale;
      if (limit > 0) v = limit * tanh(v / limit);
      put(x + i, v, some);
    });
  });
}

}  // namespace

// Returns 0; 1: a position or a slot is out of range.
MF_EXPORT int mf_decoder_pass(const mf_decoder* decoder, const mf_pass* given) {
  mf_pass pass = *given;
  for (int64_t i = 0; i < pass.batch * pass.length; i++)
    if (pass.slots[i] < 0 || pass.slots[i] >= pass.capacity || pass.positions[i] < 0 || pass.positions[i] >= pass.capacity)
      return 1;
  for (int64_t n = 0; n < decoder->count; n++) {
    const mf_layer& layer = decoder->layers[n];
    if (layer.rotary.cos)
      for (int64_t i = 0; i < pass.batch * pass.length; i++)
        if (pass.rotary_positions[i] < 0 || pass.rotary_positions[i] >= layer.rotary.rows) return 1;
    run_layer(layer, decoder->width, pass);
    if (layer.queries > 0) pass.length = layer.queries;
  }
  static thread_local Workspace workspace;
  const int64_t width = decoder->width, rows = pass.batch * pass.kept;
  float *last = workspace.of<float>(2 * rows * width), *normed = last + rows * width;
  for (int64_t b = 0; b < pass.batch; b++)
    memcpy(last + b * pass.kept * width, pass.x + ((b + 1) * pass.length - pass.kept) * width,
           pass.kept * width * sizeof(float));
  if (decoder->last_norm.kind == MF_NO_NORM) normed = last;
  else normalize(decoder->last_norm, last, normed, rows);
  if (decoder->head.kind == MF_ABSENT) {
    memcpy(pass.out, normed, rows * width * sizeof(float));
    return 0;
  }
  multiply(decoder->head, normed, rows, pass.out, decoder->head.outer);
  if (decoder->logit_scale != 1 || decoder->logit_cap > 0)
    cap(pass.out, rows * decoder->head.outer, decoder->logit_scale, decoder->logit_cap);
  return 0;
}

// y (count, in) = rows of an embedding. Returns 0; 1: an id is out of range.
MF_EXPORT int mf_embed(const mf_matrix* table, const int32_t* ids, int64_t count, float* y) {
  for (int64_t i = 0; i < count; i++)
    if (ids[i] < 0 || ids[i] >= table->outer) return 1;
  take_rows(*table, ids, count, y);
  return 0;
}
