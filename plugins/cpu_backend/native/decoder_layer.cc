// One layer of a decoder: norms, queries, keys and values, attention over the cache, and the feed-forward layer, each by all
// threads. For a few tokens each weight is read once, a part of it by each thread.
#include <algorithm>

#include "attention.h"
#include "decoder.h"
#include "gemv.h"
#include "operator.h"
#include "rows.h"
#include "workspace.h"

namespace {

using namespace mf;

constexpr int64_t kLeast = 256;           // outputs of a product that justify another thread
constexpr int64_t kLeastNumbers = 16384;  // numbers that are

int64_t mixed_width(const mf_layer& l) { return (l.heads + 2 * l.groups) * l.size; }

// Normalises `count` heads of each row in place: each by itself, or all together, by the norm's width.
void normalize_heads(const mf_norm& norm, float* x, int64_t rows, int64_t row, int64_t count, int64_t size) {
  if (norm.kind == MF_NO_NORM) return;
  const int64_t parts = count * size / norm.width;
  share(rows, 1, kLeastNumbers / (count * size) + 1, [&](int64_t begin, int64_t end) {
    for (int64_t n = begin; n < end; n++)
      for (int64_t p = 0; p < parts; p++) {
        float* part = x + n * row + p * norm.width;
        norm.kind == MF_LAYER_NORM ? layer_norm_row(part, norm.weight, norm.bias, norm.epsilon, part, norm.width)
                                   : rms_norm_row(part, norm.weight, norm.epsilon, part, norm.width);
      }
  });
}

// Rotates queries and keys; the keys follow as additional heads.
void turn_heads(const mf_layer& l, const int32_t* positions, float* mixed, int64_t rows) {
  const int64_t row = mixed_width(l), pairs = l.rotary.pairs;
  share(rows, 1, kLeastNumbers / row + 1, [&](int64_t begin, int64_t end) {
    if (!l.rotary.interleaved && 2 * pairs == l.size)
      return turn({mixed, l.rotary.cos, l.rotary.sin, positions, mixed, l.heads + l.groups, pairs, row, 1}, begin, end);
    for (int64_t n = begin; n < end; n++) {
      const float *cos = l.rotary.cos + positions[n] * pairs, *sin = l.rotary.sin + positions[n] * pairs;
      for (int64_t h = 0; h < l.heads + l.groups; h++) {
        float* x = mixed + n * row + h * l.size;
        for (int64_t i = 0; i < pairs; i++) {
          float &a = l.rotary.interleaved ? x[2 * i] : x[i], &b = l.rotary.interleaved ? x[2 * i + 1] : x[i + pairs];
          const float first = a * cos[i] - b * sin[i];
          b = b * cos[i] + a * sin[i];
          a = first;
        }
      }
    }
  });
}

// Reorders a row from one group per key-value head to all queries, all keys and all values.
void put_beside(const mf_layer& l, float* mixed, int64_t rows) {
  const int64_t row = mixed_width(l), size = l.size, shared = l.heads / l.groups;
  share(rows, 1, kLeastNumbers / row + 1, [&](int64_t begin, int64_t end) {
    static thread_local Workspace workspace;
    float* other = workspace.of<float>(row);
    for (int64_t n = begin; n < end; n++) {
      float* x = mixed + n * row;
      memcpy(other, x, row * sizeof(float));
      for (int64_t g = 0; g < l.groups; g++) {
        const float* from = other + g * (shared + 2) * size;
        memcpy(x + g * shared * size, from, shared * size * sizeof(float));
        memcpy(x + (l.heads + g) * size, from + shared * size, size * sizeof(float));
        memcpy(x + (l.heads + l.groups + g) * size, from + (shared + 1) * size, size * sizeof(float));
      }
    }
  });
}

// Queries, keys and values of each token beside each other.
void make_inputs(const mf_layer& l, const mf_pass& pass, const float* normed, float* mixed) {
  const int64_t all = pass.batch * pass.length, row = mixed_width(l);
  const auto rows = [&](int i) { return i == 0 && l.query_input ? pass.batch * l.queries : all; };
  const auto x = [&](int i) { return i == 0 && l.query_input ? l.query_input : normed; };
  if (is_for_many(l.inputs[0], all)) {
    int64_t first = 0;
    for (int i = 0; i < l.input_count; first += l.inputs[i++].outer) multiply(l.inputs[i], x(i), rows(i), mixed + first, row);
  } else {
    Input inputs[3] = {};
    for (int i = 0; i < l.input_count; i++) {
      const bool again = i > 0 && x(i) == x(i - 1) && l.inputs[i].kind == l.inputs[i - 1].kind;
      inputs[i] = again ? inputs[i - 1] : input_for(l.inputs[i], x(i), rows(i), i);
    }
    share(row, kWidth, kLeast, [&](int64_t begin, int64_t end) {
      int64_t first = 0;
      for (int i = 0; i < l.input_count; first += l.inputs[i++].outer) {
        const int64_t from = std::max<int64_t>(begin - first, 0), to = std::min(end - first, l.inputs[i].outer);
        if (from < to) multiply_outputs(l.inputs[i], inputs[i], rows(i), mixed + first, row, from, to);
      }
    });
  }
  if (l.by_head) put_beside(l, mixed, all);
  normalize_heads(l.query_norm, mixed, all, row, l.heads, l.size);
  normalize_heads(l.key_norm, mixed + l.heads * l.size, all, row, l.groups, l.size);
  if (l.rotary.cos) turn_heads(l, pass.rotary_positions, mixed, all);
}

// Writes the new keys and values to the cache and attends to it.
void attend_cached(const mf_layer& l, const mf_pass& pass, float* mixed, const int32_t* positions, int64_t queries,
                   float* attended) {
  const int64_t row = mixed_width(l);
  const auto part = [&](int64_t first, int64_t count) {
    return Heads<const float>{mixed + first * l.size, count * row, l.size, row};
  };
  write_rows(pass.slots, part(l.heads, pass.length), pass.batch, l.groups, pass.length, pass.capacity, l.size, l.keys);
  write_rows(pass.slots, part(l.heads + l.groups, pass.length), pass.batch, l.groups, pass.length, pass.capacity, l.size,
             l.values);
  Attention a = {part(0, queries), cached(l.keys, l.groups, pass.capacity, l.size),
                 cached(l.values, l.groups, pass.capacity, l.size), nullptr, 0, l.heads, l.groups, l.size, queries,
                 pass.capacity, l.scale};
  a.positions = positions, a.window = l.window, a.soft_cap = l.soft_cap, a.slopes = l.slopes, a.sinks = l.sinks;
  attend(a, pass.batch, {attended, queries * l.heads * l.size, l.size, l.heads * l.size});
}

void add(const float* x, float scale, float* y, int64_t count) {  // y += scale * x
  share(count, kWidth, kLeastNumbers, [&](int64_t begin, int64_t end) {
    by_vector(begin, end, [&](int64_t i, int64_t some) MF_INLINED {
      put(y + i, take(y + i, some) + scale * take(x + i, some), some);
    });
  });
}

MF_INLINE Floats activated(const mf_feed_forward& f, Floats x) {
  switch (f.activation) {
    case MF_GELU_TANH: return gelu(x);
    case MF_SWISH: return swish(x, f.beta);
    case MF_GELU: return 0.5f * x * (1.0f + erf(x * 0.70710678f));
    case MF_RELU: return x > 0.0f || x != x ? x : all(0.0f);
    default: {
      const Floats positive = x > 0.0f || x != x ? x : all(0.0f);
      return positive * positive;
    }
  }
}

// The activation of part of a row, times `up` where there is one.
void activate(const mf_feed_forward& f, float* gate, const float* up, int64_t begin, int64_t end) {
  by_vector(begin, end, [&](int64_t i, int64_t count) MF_INLINED {
    Floats v = take(gate + i, count);
    if (f.activation == MF_CLAMPED_SWISH) {
      const Floats u = take(up + i, count), low = all(-f.limit), high = all(f.limit);
      const Floats bounded = v > high ? high : v, linear = u > high ? high : u < low ? low : u;
      v = swish(bounded, f.beta) * (linear + 1.0f);
    } else {
      v = activated(f, v);
      if (up) v *= take(up + i, count);
    }
    put(gate + i, v, count);
  });
}

}  // namespace

void mf::normalize(const mf_norm& norm, const float* x, float* y, int64_t rows) {
  const int64_t width = norm.width;
  share(rows, 1, kLeastNumbers / width + 1, [&](int64_t begin, int64_t end) {
    for (int64_t n = begin; n < end; n++) {
      const float* from = x + n * width;
      norm.kind == MF_LAYER_NORM ? layer_norm_row(from, norm.weight, norm.bias, norm.epsilon, y + n * width, width)
                                 : rms_norm_row(from, norm.weight, norm.epsilon, y + n * width, width);
    }
  });
}

void mf::feed_forward(const mf_feed_forward& f, const float* x, int64_t rows, float* y, const float* residual) {
  static thread_local Workspace workspace;
  const int64_t inner = f.down.inner;
  const bool gated = f.up.kind != MF_ABSENT;
  float *gate = workspace.of<float>(rows * inner * (gated ? 2 : 1)), *up = gated ? gate + rows * inner : nullptr;
  if (is_for_many(f.gate, rows)) {
    multiply(f.gate, x, rows, gate, inner);
    if (up) multiply(f.up, x, rows, up, inner);
    share(rows * inner, kWidth, kLeastNumbers, [&](int64_t begin, int64_t end) { activate(f, gate, up, begin, end); });
  } else {
    const Input for_gate = input_for(f.gate, x, rows, 0);
    const Input for_up = up && f.up.kind != f.gate.kind ? input_for(f.up, x, rows, 1) : for_gate;
    share(inner, kWidth, kLeast, [&](int64_t begin, int64_t end) {
      multiply_outputs(f.gate, for_gate, rows, gate, inner, begin, end);
      if (up) multiply_outputs(f.up, for_up, rows, up, inner, begin, end);
      for (int64_t r = 0; r < rows; r++) activate(f, gate + r * inner, up ? up + r * inner : nullptr, begin, end);
    });
  }
  multiply(f.down, gate, rows, y, f.down.outer, residual);
}

void mf::run_layer(const mf_layer& l, int64_t width, const mf_pass& pass) {
  static thread_local Workspace workspace;
  const int64_t all = pass.batch * pass.length, queries = l.queries > 0 ? l.queries : pass.length,
                rows = pass.batch * queries, heads_width = l.heads * l.size;
  float* normed = workspace.of<float>(all * (width + mixed_width(l)) + rows * (heads_width + 4 * width));
  float *mixed = normed + all * width, *attended = mixed + all * mixed_width(l), *residual = attended + rows * heads_width,
        *hidden = residual + rows * width, *inner = hidden + rows * width, *given = inner + rows * width;
  float* x = pass.x;
  // Of the last `queries` tokens of each row.
  const auto last = [&](const float* from, float* to) {
    for (int64_t b = 0; b < pass.batch; b++)
      memcpy(to + b * queries * width, from + ((b + 1) * pass.length - queries) * width, queries * width * sizeof(float));
  };
  if (l.stream_norm.kind != MF_NO_NORM) normalize(l.stream_norm, x, x, all);
  const float* read = x;
  if (l.input_norm.kind != MF_NO_NORM) normalize(l.input_norm, x, normed, all), read = normed;
  make_inputs(l, pass, read, mixed);
  const int32_t* positions = pass.positions;
  static thread_local Workspace position_workspace;
  if (queries < pass.length) {
    int32_t* some = position_workspace.of<int32_t>(rows);
    for (int64_t b = 0; b < pass.batch; b++)
      memcpy(some + b * queries, pass.positions + (b + 1) * pass.length - queries, queries * sizeof(int32_t));
    positions = some;
  }
  attend_cached(l, pass, mixed, positions, queries, attended);
  last(l.normed_residual ? read : x, residual);
  const bool plain = l.residual_scale == 1;  // a sublayer's output is added unscaled

  // hidden = residual + attention
  if ((l.attention_norm.kind == MF_NO_NORM || l.norms_sums) && plain) {
    multiply(l.output, attended, rows, hidden, width, residual);
    if (l.norms_sums) normalize(l.attention_norm, hidden, hidden, rows);
  } else {
    multiply(l.output, attended, rows, given, width);
    if (l.attention_norm.kind != MF_NO_NORM && !l.norms_sums) normalize(l.attention_norm, given, given, rows);
    memcpy(hidden, residual, rows * width * sizeof(float));
    add(given, l.residual_scale, hidden, rows * width);
    if (l.norms_sums) normalize(l.attention_norm, hidden, hidden, rows);
  }
  // what the feed-forward layer reads
  const float* feed = hidden;
  if (l.parallel) last(x, residual), feed = residual;
  if (l.feed_norm.kind != MF_NO_NORM) normalize(l.feed_norm, feed, inner, rows), feed = inner;
  else if (l.parallel && l.input_norm.kind != MF_NO_NORM) last(normed, inner), feed = inner;

  const float* onto = l.normed_residual ? feed : hidden;
  if (!l.experts.experts && (l.output_norm.kind == MF_NO_NORM || l.norms_sums) && plain) {
    feed_forward(l.feed, feed, rows, x, onto);
    if (l.norms_sums) normalize(l.output_norm, x, x, rows);
    return;
  }
  if (l.experts.experts) mix_experts(l.experts, feed, rows, width, given);
  else feed_forward(l.feed, feed, rows, given, nullptr);
  if (l.output_norm.kind != MF_NO_NORM && !l.norms_sums) normalize(l.output_norm, given, given, rows);
  memcpy(x, onto, rows * width * sizeof(float));
  add(given, l.residual_scale, x, rows * width);
  if (l.norms_sums) normalize(l.output_norm, x, x, rows);
}
