// A decoder pass from token embeddings to logits in one call: weights are pointers and sizes are numbers, so that nothing
// is compiled for a number of layers, tokens or cache slots.
#pragma once

#include "matrix.h"

// Mirrored by mf_cpu_backend/decoder_structs.py.
extern "C" {

enum mf_norm_kind : int32_t { MF_NO_NORM = 0, MF_RMS_NORM = 1, MF_LAYER_NORM = 2 };

struct mf_norm {
  const float *weight, *bias;
  int64_t width;  // elements that are normalised together: a row, or a head
  float epsilon;
  int32_t kind;
};

enum mf_activation : int32_t { MF_GELU_TANH = 0, MF_SWISH = 1, MF_GELU = 2, MF_RELU = 3, MF_RELU_SQUARED = 4, MF_CLAMPED_SWISH = 5 };

// Rotary positions: the first 2 * pairs numbers of a head are turned, i with i + pairs, or 2i with 2i + 1.
struct mf_rotary {
  const float *cos, *sin;  // (rows, pairs); null: nothing is turned
  int64_t rows, pairs;
  int32_t interleaved, reserved;
};

struct mf_feed_forward {
  mf_matrix gate, up, down;  // up is absent where the layer is not gated
  int32_t activation, reserved;
  float beta, limit;  // of the swish; the bound of a clamped one
};

struct mf_experts {
  mf_matrix router, shared_gate;       // shared_gate: of one output, whose sigmoid weighs the shared expert; may be absent
  const float* correction;             // added to the scores for choosing, not for weighing; may be null
  const mf_feed_forward* experts;      // null: the layer has none
  const mf_feed_forward* shared;       // runs for every token; may be null
  int64_t count, chosen, groups, chosen_groups;
  int32_t sigmoid, normalized;         // how scores are made; whether the chosen ones' weights add up to 1
  float scale;                         // of the weights
  int32_t softmax_after;               // over the chosen scores alone
};

struct mf_layer {
  mf_norm stream_norm;  // of the hidden states, before all else
  mf_norm input_norm, query_norm, key_norm, feed_norm;
  mf_norm attention_norm, output_norm;  // of the sublayers' outputs, or with norms_sums of their sums with the residuals
  mf_matrix inputs[3], output;
  mf_rotary rotary;
  mf_feed_forward feed;
  mf_experts experts;
  const float *slopes, *sinks;
  float *keys, *values;       // (B, G, C, D)
  const float* query_input;   // (B, Q, E), the input of the query projection; null: the normed input
  int64_t queries;            // Q: of the last tokens; 0: all
  int64_t heads, groups, size, window;
  float scale, soft_cap, residual_scale;
  int32_t input_count;        // 1: one matrix makes queries, keys and values
  int32_t parallel;           // the feed-forward layer reads the layer's input, not what attention has added to
  int32_t normed_residual;    // residuals are taken after norms
  int32_t norms_sums;
  int32_t by_head;            // the one matrix has the queries of each key-value head, its key and its value beside each other
};

struct mf_decoder {
  const mf_layer* layers;
  mf_norm last_norm;
  mf_matrix head;  // absent: the result is the hidden states
  int64_t count, width;
  float logit_scale, logit_cap;
};

struct mf_pass {
  float* x;                 // (B, S, E): embeddings; overwritten
  const int32_t *positions, *slots;  // (B, S): of each token; slots: where the cache takes it
  const int32_t* rotary_positions;   // (B, S): rows of the rotary tables
  float* out;               // (B, kept, V), or (B, kept, E) without a head
  int64_t batch, length, capacity, kept;
};

}  // extern "C"

namespace mf {

// One layer over x (B, S, E), in place; with query_input the result is (B, Q, E).
void run_layer(const mf_layer& layer, int64_t width, const mf_pass& pass);

void normalize(const mf_norm& norm, const float* x, float* y, int64_t rows);

// y (rows, E) = the feed-forward layer of x (rows, E), plus the residual unless it is null.
void feed_forward(const mf_feed_forward& f, const float* x, int64_t rows, float* y, const float* residual);

// The same of the experts that each row chooses.
void mix_experts(const mf_experts& e, const float* x, int64_t rows, int64_t width, float* y);

}  // namespace mf
