// A whole layer of a decoder: norm, queries, keys and values, attention over the cache, output, norm and the feed-forward
// layers, each after the other with all threads. For a few tokens each weight is read once, a part of it by each thread.
#include <algorithm>

#include "attention.h"
#include "gemv.h"
#include "products.h"
#include "workspace.h"
#include "rows.h"

namespace {

using namespace mf;

constexpr int64_t kLeast = 256;           // columns of a product that are worth another thread
constexpr int64_t kLeastNumbers = 16384;  // numbers that are

// What there is not is given as int32, which none of these can be.
bool absent(const Array& array) { return array.is("int32"); }

const float* floats(const Array& array) { return absent(array) ? nullptr : array.as<const float>(); }

// Whether it is so many floats.
bool holds(const Array& array, int64_t size) { return array.is("float32") && array.size() == size; }

bool may_hold(const Array& array, int64_t size) { return absent(array) || holds(array, size); }

struct Norm {
  const float *weight, *bias;  // without a bias: an RMS norm
  float epsilon;
};

void normalize(const Norm& norm, const float* x, float* y, int64_t rows, int64_t width) {
  share(rows, 1, kLeastNumbers / width, [&](int64_t begin, int64_t end) {
    for (int64_t n = begin; n < end; n++) {
      const float* from = x + n * width;
      norm.bias ? layer_norm_row(from, norm.weight, norm.bias, norm.epsilon, y + n * width, width)
                : rms_norm_row(from, norm.weight, norm.epsilon, y + n * width, width);
    }
  });
}

struct Projection {
  Weight weight;
  const float *scale, *bias;  // either may be null
  int64_t inner, width;

  bool is_for_many(int64_t rows) const { return rows > weight.few(); }
};

// `mark`: 1 for outputs first, and 2 for a rounded product.
bool given(const Array& numbers, const Array& scale, const Array& bias, int32_t mark, Projection* p) {
  const bool outputs_first = mark & 1;
  const Weight weight = {numbers, outputs_first, (mark & 2) != 0};
  if (!weight.is_known()) return false;
  *p = {weight, floats(scale), floats(bias), weight.inner(), weight.width()};
  return may_hold(scale, p->width) && may_hold(bias, p->width) && (outputs_first || absent(scale));
}

// y = x (rows, inner) @ weight, with scale and bias, and with the residual unless it is null; `row`: the distance between
// rows of y.
void project_many(const Projection& p, const float* x, int64_t rows, float* y, int64_t row, const float* residual) {
  multiply_many(x, p.weight, rows, y, row, {p.scale, p.bias, residual});
}

// Columns begin … end of the same, without a residual: for few rows.
void project_few(const Projection& p, const float* x, int64_t rows, float* y, int64_t row, int64_t begin, int64_t end) {
  const Array& numbers = p.weight.numbers;
  if (!p.weight.outputs_first) {
    product_inputs_first(x, numbers.as<const float>(), p.bias, y, rows, p.inner, p.width, row, begin, end);
  } else if (numbers.is("int8")) {
    product(x, numbers.as<const int8_t>(), p.scale, p.bias, y, rows, p.inner, row, begin, end);
  } else if (numbers.is("bfloat16")) {
    product(x, numbers.as<const Bfloat>(), p.scale, p.bias, y, rows, p.inner, row, begin, end);
  } else {
    product(x, numbers.as<const float>(), p.scale, p.bias, y, rows, p.inner, row, begin, end);
  }
}

// y = residual + x @ weight.
void project_onto(const Projection& p, const float* residual, const float* x, int64_t rows, float* y) {
  if (p.is_for_many(rows)) return project_many(p, x, rows, y, p.width, residual);
  share(p.width, kWidth, kLeast, [&](int64_t begin, int64_t end) {
    project_few(p, x, rows, y, p.width, begin, end);
    for (int64_t r = 0; r < rows; r++)
      by_vector(begin, end, [&](int64_t i, int64_t count) MF_INLINED {
        float* out = y + r * p.width + i;
        put(out, take(out, count) + take(residual + r * p.width + i, count), count);
      });
  });
}

struct Layer {
  const float *x, *asking;  // asking: what queries are made of instead
  int64_t batch, length, queries, width, heads, groups, size, places, inner;
  Norm norms[2];
  Projection inputs[3], output, ups[2], down;
  int input_count, up_count;
  Array bias, slots, keys, values;
  const int32_t* positions;  // null: nothing is turned
  const float *cos, *sin;
  float scale, beta;
  bool is_gelu, normed_residual;

  int64_t mixed() const { return (heads + 2 * groups) * size; }  // queries, keys and values of a token
  const float* residual(const float* x, const float* normed) const { return normed_residual ? normed : x; }
};

// Queries, keys and values of each token beside each other.
void make_inputs(const Layer& l, const float* normed, float* mixed) {
  const int64_t all = l.batch * l.length, row = l.mixed();
  const auto rows = [&](int i) { return i == 0 && l.asking ? l.batch * l.queries : all; };
  const auto x = [&](int i) { return i == 0 && l.asking ? l.asking : normed; };
  if (l.inputs[0].is_for_many(all)) {
    int64_t first = 0;
    for (int i = 0; i < l.input_count; first += l.inputs[i++].width)
      project_many(l.inputs[i], x(i), rows(i), mixed + first, row, nullptr);
  } else {
    share(row, kWidth, kLeast, [&](int64_t begin, int64_t end) {
      int64_t first = 0;
      for (int i = 0; i < l.input_count; first += l.inputs[i++].width) {
        const int64_t from = std::max<int64_t>(begin - first, 0), to = std::min(end - first, l.inputs[i].width);
        if (from < to) project_few(l.inputs[i], x(i), rows(i), mixed + first, row, from, to);
      }
    });
  }
  if (l.positions)  // keys come after the queries, as if they were more heads
    share(all, 1, kLeastNumbers / row, [&](int64_t begin, int64_t end) {
      turn({mixed, l.cos, l.sin, l.positions, mixed, l.heads + l.groups, l.size / 2, row, 1}, begin, end);
    });
}

// What each query sees of the cache, after the new keys and values have been put there; false where a slot is none of it.
bool attend(const Layer& l, float* mixed, float* seen) {
  const int64_t row = l.mixed();
  const auto part = [&](int64_t first, int64_t count) {
    return Heads<const float>{mixed + first * l.size, count * row, l.size, row};
  };
  if (!put_rows(l.slots, part(l.heads, l.length), l.batch, l.groups, l.length, l.keys) ||
      !put_rows(l.slots, part(l.heads + l.groups, l.length), l.batch, l.groups, l.length, l.values))
    return false;
  const Attention a = {part(0, l.queries), stacked(l.keys, l.groups, l.places), stacked(l.values, l.groups, l.places),
                       l.bias.as<const float>(), l.queries * l.places, l.heads, l.groups, l.size, l.queries, l.places,
                       l.scale};
  see(a, l.batch, {seen, l.queries * l.heads * l.size, l.size, l.heads * l.size});
  return true;
}

// The activation of a part of a row, times `up` where there is such.
void activate(const Layer& l, float* gate, const float* up, int64_t begin, int64_t end) {
  by_vector(begin, end, [&](int64_t i, int64_t count) MF_INLINED {
    const Floats v = take(gate + i, count), active = l.is_gelu ? gelu(v) : swish(v, l.beta);
    put(gate + i, up ? active * take(up + i, count) : active, count);
  });
}

// The activation of the first projection, times the second where there is one.
void feed(const Layer& l, const float* normed, float* gate, float* up, int64_t rows) {
  if (l.ups[0].is_for_many(rows)) {
    project_many(l.ups[0], normed, rows, gate, l.inner, nullptr);
    if (up) project_many(l.ups[1], normed, rows, up, l.inner, nullptr);
    share(rows * l.inner, kWidth, kLeastNumbers, [&](int64_t begin, int64_t end) { activate(l, gate, up, begin, end); });
    return;
  }
  share(l.inner, kWidth, kLeast, [&](int64_t begin, int64_t end) {
    project_few(l.ups[0], normed, rows, gate, l.inner, begin, end);
    if (up) project_few(l.ups[1], normed, rows, up, l.inner, begin, end);
    for (int64_t r = 0; r < rows; r++) activate(l, gate + r * l.inner, up ? up + r * l.inner : up, begin, end);
  });
}

bool run(const Layer& l, float* y) {
  static thread_local Workspace workspace;
  const int64_t rows = l.batch * l.queries, all = l.batch * l.length, width = l.width;
  const int64_t seen_width = l.heads * l.size, late = l.up_count == 2 ? l.inner : 0;
  float* normed = workspace.of<float>((all + 3 * rows) * width + all * l.mixed() + rows * (seen_width + l.inner + late));
  float *last = normed + all * width, *attended = last + rows * width, *again = attended + rows * width,
        *mixed = again + rows * width, *seen = mixed + all * l.mixed(), *gate = seen + rows * seen_width,
        *up = late ? gate + rows * l.inner : nullptr;
  normalize(l.norms[0], l.x, normed, all, width);
  make_inputs(l, normed, mixed);
  if (!attend(l, mixed, seen)) return false;
  const float* residual = l.residual(l.x, normed);
  if (l.queries < l.length) {  // of the last tokens, those that ask
    for (int64_t b = 0; b < l.batch; b++)
      memcpy(last + b * l.queries * width, residual + ((b + 1) * l.length - l.queries) * width,
             l.queries * width * sizeof(float));
    residual = last;
  }
  project_onto(l.output, residual, seen, rows, attended);
  normalize(l.norms[1], attended, again, rows, width);
  feed(l, again, gate, up, rows);
  project_onto(l.down, l.residual(attended, again), gate, rows, y);
  return true;
}

// Reads the arguments; false where they do not fit.
bool given(const Arrays& in, Layer* l) {
  const Array x = in[0], asking = in[1], bias = in[2], slots = in[3], keys = in[4], values = in[5], positions = in[6],
              cos = in[7], sin = in[8], numbers = in[9], form = in[10];
  if (!are("float32", {x, bias, keys, values}) || !slots.is("int32") || !positions.is("int32")) return false;
  if (x.rank != 3 || bias.rank != 4 || keys.rank != 2 || values.rank != 2 || !holds(numbers, 4) || !form.is("int32") || form.size() < 4)
    return false;
  const int32_t* marks = form.as<int32_t>();
  const float* number = numbers.as<float>();
  l->input_count = marks[0], l->up_count = marks[1], l->is_gelu = marks[2], l->normed_residual = marks[3];
  l->scale = number[0], l->beta = number[3];
  const int projections = l->input_count + l->up_count + 2;
  if (!((l->input_count == 1 && absent(asking)) || l->input_count == 3) || l->up_count < 1 || l->up_count > 2 ||
      form.size() != 4 + projections || in.count != 16 + 3 * projections)
    return false;

  l->x = x.as<float>(), l->batch = x.axis(0), l->length = x.axis(1), l->width = x.axis(2);
  l->asking = floats(asking), l->queries = l->asking ? asking.axis(1) : l->length;
  l->bias = bias, l->slots = slots, l->keys = keys, l->values = values;
  l->places = bias.axis(3), l->size = keys.axis(1);
  if (l->batch < 1 || l->width < 1 || l->places < 1 || l->size < 1 || l->queries < 1 || l->queries > l->length) return false;
  l->groups = keys.axis(0) / (l->batch * l->places);
  if (l->asking && (!are("float32", {asking}) || asking.rank != 3 || asking.axis(0) != l->batch || asking.axis(2) != l->width))
    return false;

  for (int i = 0; i < 2; i++) {
    const Array weight = in[11 + 2 * i], shift = in[12 + 2 * i];
    if (!holds(weight, l->width) || !may_hold(shift, l->width)) return false;
    l->norms[i] = {weight.as<float>(), floats(shift), number[1 + i]};
  }
  int at = 15, mark = 4;
  const auto next = [&](Projection* p) {
    at += 3;
    return given(in[at - 3], in[at - 2], in[at - 1], marks[mark++], p);
  };
  int64_t mixed = 0;
  for (int i = 0; i < l->input_count; i++) {
    if (!next(&l->inputs[i]) || l->inputs[i].inner != l->width) return false;
    mixed += l->inputs[i].width;
  }
  if (!next(&l->output)) return false;
  for (int i = 0; i < l->up_count; i++)
    if (!next(&l->ups[i]) || l->ups[i].inner != l->width || l->ups[i].width != l->ups[0].width) return false;
  if (!next(&l->down)) return false;
  l->heads = l->output.inner / l->size, l->inner = l->ups[0].width;

  const int64_t kept = l->groups * l->size, turned = l->size / 2;
  const bool split = l->input_count == 1 || (l->inputs[0].width == l->output.inner && l->inputs[1].width == kept);
  if (l->groups < 1 || l->heads < 1 || l->heads % l->groups != 0 || l->heads * l->size != l->output.inner || !split ||
      mixed != l->mixed() || l->output.width != l->width || l->down.inner != l->inner || l->down.width != l->width)
    return false;
  if (!holds(keys, l->batch * l->groups * l->places * l->size) || !holds(values, keys.size()) || values.axis(1) != l->size ||
      slots.size() != l->batch * l->groups * l->length || bias.axis(0) != l->batch || bias.axis(1) != 1 ||
      bias.axis(2) != l->queries)
    return false;

  l->positions = nullptr, l->cos = floats(cos), l->sin = floats(sin);
  if (!l->cos) return true;
  if (l->asking || l->size % 2 != 0 || cos.rank != 2 || cos.axis(1) != turned || !holds(cos, cos.size()) ||
      !holds(sin, cos.size()) || positions.size() != l->batch * l->length)
    return false;
  l->positions = positions.as<int32_t>();
  for (int64_t n = 0; n < positions.size(); n++)
    if (l->positions[n] < 0 || l->positions[n] >= cos.axis(0)) return false;
  return true;
}

}  // namespace

// x (B, S, E), asking (B, Q, E), bias (B, 1, Q, C), slots (B * G * S,) int32, keys and values (B * G * C, D), positions
// (B, S) int32, cosines and sines (L, D / 2), numbers (scale, the norms' epsilons, the swish's beta), form int32 (how many
// projections make queries, keys and values, how many the feed-forward layer's inner numbers, whether GELU is between
// them, whether residuals are normed, and of each projection 1 where its weight has outputs first, and 2 more where it is
// of what is rounded), the norms' weights and biases (E,), and weight, scale and bias of each projection in the order of
// use -> (B, Q, E)
MF_OPERATOR(mf_decoder_layer) {
  Layer layer;
  if (in.count < 16 || !given(in, &layer)) return 1;
  const Array y = in[in.count - 1];
  if (!holds(y, layer.batch * layer.queries * layer.width)) return 1;
  return run(layer, y.as<float>()) ? 0 : 1;
}
