// Calls every native kernel at odd sizes on buffers of exactly the sizes that it may touch, for the sanitizers to watch.
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <type_traits>
#include <vector>

#include "../native/decoder.h"

#define KERNEL(NAME) extern "C" int NAME(int, void**, int*, int64_t**, const char**, void*, void*)
KERNEL(mf_weight_only_linear);
KERNEL(mf_weight_only_rows);
KERNEL(mf_write_cache);
KERNEL(mf_cached_attention);
KERNEL(mf_self_attention);
KERNEL(mf_self_attention_gradient);
KERNEL(mf_linear);
KERNEL(mf_linear_outputs_first);
KERNEL(mf_layer_norm);
KERNEL(mf_layer_norm_gradient);
KERNEL(mf_rms_norm);
KERNEL(mf_rms_norm_gradient);
KERNEL(mf_swish);
KERNEL(mf_swish_gradient);
KERNEL(mf_rotary);
KERNEL(mf_rotary_gradient);
KERNEL(mf_bias_add);
KERNEL(mf_column_sums);
KERNEL(mf_softmax);
KERNEL(mf_softmax_gradient);
KERNEL(mf_gelu);
KERNEL(mf_gelu_gradient);
KERNEL(mf_cross_entropy);
KERNEL(mf_cross_entropy_gradient);
KERNEL(mf_bfloat16_linear);
KERNEL(mf_bfloat16_linear_outputs_first);
KERNEL(mf_product_of_columns);
KERNEL(mf_bfloat16_product_of_columns);
KERNEL(mf_sum_of_squares);
KERNEL(mf_adamw);
extern "C" int mf_decoder_pass(const mf_decoder*, const mf_pass*);
extern "C" int mf_embed(const mf_matrix*, const int32_t*, int64_t, float*);
extern "C" void mf_set_threads(int);
extern "C" const char* mf_best_level();

using Kernel = int (*)(int, void**, int*, int64_t**, const char**, void*, void*);

struct Tensor {
  std::string dtype;
  std::vector<int64_t> shape;
  int64_t below = 0;  // of int32: values are from `from` on, below this
  int64_t from = 0;
  std::vector<int32_t> values = {};  // or these
};

// Runs a kernel on its own tensors, each in a heap block of its size, and returns what it returns.
static int run(Kernel kernel, std::vector<Tensor> tensors) {
  std::vector<void*> params;
  std::vector<int> ranks;
  std::vector<int64_t*> shapes;
  std::vector<const char*> dtypes;
  for (Tensor& tensor : tensors) {
    int64_t count = 1;
    for (int64_t size : tensor.shape) count *= size;
    const int64_t bytes = tensor.dtype == "int8" || tensor.dtype == "bool" ? 1 : tensor.dtype == "bfloat16" ? 2 : 4;
    void* data = malloc(count * bytes);
    for (int64_t i = 0; i < count; i++) {
      if (tensor.dtype == "bool") *static_cast<bool*>(data) = true;
      else if (bytes == 1) static_cast<int8_t*>(data)[i] = int8_t(i * 37 % 255 - 127);
      else if (bytes == 2) static_cast<uint16_t*>(data)[i] = 0x3f80;
      else if (!tensor.values.empty()) static_cast<int32_t*>(data)[i] = tensor.values[i];
      else if (tensor.dtype == "int32") static_cast<int32_t*>(data)[i] = int32_t(tensor.from + i % (tensor.below - tensor.from));
      else static_cast<float*>(data)[i] = float(i % 13) / 4 - 1.5f;
    }
    params.push_back(data);
    ranks.push_back(int(tensor.shape.size()));
    shapes.push_back(tensor.shape.data());
    dtypes.push_back(tensor.dtype.c_str());
  }
  const int code = kernel(int(params.size()), params.data(), ranks.data(), shapes.data(), dtypes.data(), nullptr, nullptr);
  for (void* data : params) free(data);
  return code;
}

static int failures = 0;

static void expect(int wanted, const char* what, int code) {
  if (code != wanted) {
    printf("%s returned %d\n", what, code);
    failures++;
  }
}

// Buffers of exactly their sizes, which live as long as this does.
class Buffers {
 public:
  ~Buffers() {
    for (void* data : all_) free(data);
  }
  template <typename T>
  T* of(int64_t count) {
    T* data = static_cast<T*>(malloc(count * sizeof(T)));
    for (int64_t i = 0; i < count; i++) data[i] = std::is_same_v<T, float> ? T(i % 13) / T(4) - T(1.5) : T(i % 5);
    all_.push_back(data);
    return data;
  }
  mf_matrix matrix(int64_t inner, int64_t outer, int32_t kind, bool bias) {
    mf_matrix m = {nullptr, nullptr, bias ? of<float>(outer) : nullptr, inner, outer, kind, 0};
    if (kind == MF_INT8) m.data = of<int8_t>(inner * outer), m.scale = of<float>(outer);
    else if (kind == MF_BF16) m.data = of<uint16_t>(inner * outer);
    else if (kind == MF_Q4_1) m.data = of<uint8_t>(inner / 32 * 20 * outer);
    else if (kind == MF_Q6_K) m.data = of<uint8_t>(inner / 256 * 210 * outer);
    else m.data = of<float>(inner * outer);
    return m;
  }
  mf_norm norm(int64_t width, int32_t kind) {
    return {of<float>(width), kind == MF_LAYER_NORM ? of<float>(width) : nullptr, width, 1e-5f, kind};
  }

 private:
  std::vector<void*> all_;
};

// A decoder of one layer: with one matrix for queries, keys and values, or with all that a layer may have.
static int run_decoder(int64_t length, int32_t kind, bool rich, int32_t last_slot) {
  Buffers b;
  const bool blocks = kind == MF_Q4_1 || kind == MF_Q6_K;
  const int64_t batch = 2, heads = 4, groups = 2, capacity = 9, many = kind == MF_Q6_K ? 256 : 96;
  const int64_t size = blocks ? many / 4 : 6, width = blocks ? many : 23, inner = blocks ? many : 50, vocabulary = 11;
  const int64_t mixed = (heads + 2 * groups) * size;
  mf_layer l = {};
  l.heads = heads, l.groups = groups, l.size = size, l.scale = 0.3f, l.residual_scale = rich ? 0.5f : 1;
  l.input_norm = b.norm(width, rich ? MF_RMS_NORM : MF_LAYER_NORM), l.feed_norm = b.norm(width, MF_LAYER_NORM);
  if (rich) {
    l.inputs[0] = b.matrix(width, heads * size, kind, false);
    for (int i : {1, 2}) l.inputs[i] = b.matrix(width, groups * size, kind, false);
    l.query_norm = l.key_norm = b.norm(size, MF_RMS_NORM);
    l.attention_norm = l.output_norm = b.norm(width, MF_RMS_NORM);
    l.rotary = {b.of<float>(capacity), b.of<float>(capacity), capacity, 1, 1, 0};
    l.slopes = b.of<float>(heads), l.sinks = b.of<float>(heads), l.soft_cap = 2, l.window = 3;
  } else {
    l.inputs[0] = b.matrix(width, mixed, kind, true);
    l.by_head = 1;
  }
  l.input_count = rich ? 3 : 1;
  l.output = b.matrix(heads * size, width, kind, true);
  const auto feed = [&] {
    mf_feed_forward f = {b.matrix(width, inner, kind, true), {}, b.matrix(inner, width, kind, true), MF_GELU, 0, 1, 1};
    if (rich) f.up = b.matrix(width, inner, kind, false), f.activation = MF_CLAMPED_SWISH;
    return f;
  };
  std::vector<mf_feed_forward> experts;
  if (rich) {
    for (int i = 0; i < 4; i++) experts.push_back(feed());
    l.experts = {b.matrix(width, 3, MF_F32, false), {}, b.of<float>(3), experts.data(), &experts[3], 3, 2, 3, 2, 1, 1, 1, 0};
  } else {
    l.feed = feed();
  }
  l.keys = b.of<float>(batch * groups * capacity * size), l.values = b.of<float>(batch * groups * capacity * size);
  const mf_decoder decoder = {&l, b.norm(width, MF_RMS_NORM), b.matrix(width, vocabulary, kind, false), 1, width, 1, 3};
  int32_t *positions = b.of<int32_t>(batch * length), *slots = b.of<int32_t>(batch * length);
  for (int64_t i = 0; i < batch * length; i++) positions[i] = slots[i] = int32_t(i % length);
  slots[batch * length - 1] = last_slot;
  const mf_pass pass = {b.of<float>(batch * length * width), positions, slots, positions, b.of<float>(batch * vocabulary),
                        batch, length, capacity, 1};
  int32_t* ids = b.of<int32_t>(batch * length);
  const mf_matrix table = b.matrix(width, vocabulary, kind == MF_F32_INPUTS_FIRST ? int32_t(MF_F32) : kind, false);
  return mf_embed(&table, ids, batch * length, b.of<float>(batch * length * width)) | mf_decoder_pass(&decoder, &pass);
}

int main() {
  mf_best_level();  // asks Linux for the tiles of AMX
  for (int threads = 1; threads <= 4; threads++) {
    mf_set_threads(threads);
    for (int64_t k : {1, 15, 16, 17, 64, 100})
      for (int64_t n : {1, 3, 4, 7, 513}) {
        for (const char* dtype : {"int8", "bfloat16"}) {
          for (int64_t rows : {1, 2, 3, 5, 19, 70})
            expect(0, "linear", run(mf_weight_only_linear, {{"float32", {rows, k}}, {dtype, {n, k}}, {"float32", {n}},
                                                            {"float32", {n}}, {"float32", {rows, n}}}));
          expect(0, "rows", run(mf_weight_only_rows, {{"int32", {2, 3}, n}, {dtype, {n, k}}, {"float32", {n}},
                                                      {"float32", {2, 3, k}}}));
        }
        for (int64_t rows : {1, 3, 19, 70}) {
          const Tensor x = {"float32", {rows, k}}, bias = {"float32", {n}}, y = {"float32", {rows, n}};
          const Tensor weight = {"float32", {k, n}}, turned = {"float32", {n, k}};
          for (Kernel product : {mf_linear, mf_bfloat16_linear}) {
            expect(0, "linear", run(product, {x, weight, bias, y}));
            expect(0, "without bias", run(product, {x, weight, y}));
          }
          for (Kernel product : {mf_linear_outputs_first, mf_bfloat16_linear_outputs_first}) {
            expect(0, "outputs first", run(product, {x, turned, bias, y}));
            expect(0, "without bias", run(product, {x, turned, y}));
          }
          for (Kernel product : {mf_product_of_columns, mf_bfloat16_product_of_columns}) {
            expect(0, "a weight's gradient", run(product, {x, y, weight}));
            expect(1, "of other rows", run(product, {x, {"float32", {rows + 1, n}}, weight}));
          }
        }
        const Tensor array = {"float32", {n, k}}, row = {"float32", {k}}, column = {"float32", {n}};
        expect(0, "norm", run(mf_layer_norm, {array, row, row, {"float32", {1}}, array, column, column}));
        expect(0, "its gradients", run(mf_layer_norm_gradient, {array, row, column, column, array, array, row, row}));
        expect(0, "RMS norm", run(mf_rms_norm, {array, row, {"float32", {1}}, array, column}));
        expect(0, "its gradients", run(mf_rms_norm_gradient, {array, row, column, array, array, row}));
        expect(0, "swish", run(mf_swish, {array, {"float32", {1}}, array}));
        expect(0, "its gradient", run(mf_swish_gradient, {array, {"float32", {1}}, array, array}));
        for (Kernel turn : {mf_rotary, mf_rotary_gradient}) {
          const Tensor x = {"float32", {1, n, 2 * k * 3}}, angles = {"float32", {5, k}};
          expect(0, "rotary", run(turn, {x, {"int32", {1, n}, 5}, angles, angles, x}));
          expect(n > 5, "a position outside", run(turn, {x, {"int32", {1, n}, 6}, angles, angles, x}));
        }
        const Tensor one = {"float32", {}}, four = {"float32", {4}}, single = {"float32", {1}};
        expect(0, "squares", run(mf_sum_of_squares, {array, row, array, single}));
        expect(0, "adamw", run(mf_adamw, {{"bool", {}}, array, array, array, array, one, one, one, four, single}));
        expect(k > 1, "another size",
               run(mf_adamw, {{"bool", {}}, array, array, array, {"float32", {n}}, one, one, one, four, single}));
        expect(0, "bias", run(mf_bias_add, {array, row, array}));
        expect(0, "its gradient", run(mf_column_sums, {array, row, row}));
        expect(0, "softmax", run(mf_softmax, {array, array}));
        expect(0, "its gradient", run(mf_softmax_gradient, {array, array, array}));
        expect(0, "gelu", run(mf_gelu, {{"float32", {n, k}}, {"float32", {n, k}}}));
        expect(0, "gelu's gradient", run(mf_gelu_gradient, {{"float32", {n, k}}, {"float32", {n, k}},
                                                            {"float32", {n, k}}}));
        expect(0, "cross entropy", run(mf_cross_entropy, {{"float32", {n, k}}, {"int32", {n}, k}, {"float32", {n}},
                                                          {"float32", {n}}}));
        expect(0, "its gradient", run(mf_cross_entropy_gradient, {{"float32", {n, k}}, {"int32", {n}, k},
                                      {"float32", {n}}, {"float32", {n}}, {"float32", {n, k}}}));
      }
    for (int64_t size : {1, 15, 17, 64})
      for (int64_t capacity : {1, 5, 33}) {
        const int64_t batch = 2, heads = 4, groups = 2, rows = batch * groups;
        const Tensor cache = {"float32", {rows * capacity, size}}, slots = {"int32", {rows}, capacity};
        const Tensor one = {"float32", {1}}, count = {"int32", {1}, heads + 1, heads};
        for (int64_t length : {1, 9, 40}) {
          const Tensor query = {"float32", {batch, length, heads * size}}, key = {"float32", {batch, length, groups * size}};
          const Tensor all = {"float32", {batch, capacity, groups * size}}, many = {"int32", {rows * length}, capacity};
          const Tensor bias = {"float32", {batch, 1, length, capacity}};
          expect(0, "cached", run(mf_cached_attention, {query, key, key, bias, many, cache, cache, one, query}));
          expect(0, "attention", run(mf_self_attention, {query, all, all, bias, count, one, query}));
          expect(0, "its gradients", run(mf_self_attention_gradient,
                                         {query, all, all, bias, count, one, query, query, all, all}));
          expect(1, "heads that do not divide", run(mf_self_attention, {query, all, all, bias, {"int32", {1}, 8, 3}, one,
                                                                       query}));
        }
        expect(0, "write", run(mf_write_cache, {cache, slots, {"float32", {rows, size}}, cache}));
        expect(1, "a slot outside", run(mf_write_cache, {cache, {"int32", {rows * capacity + 1}, rows * capacity + 1},
                                                         {"float32", {rows * capacity + 1, size}}, cache}));
      }
  }
  for (int threads = 1; threads <= 4; threads++) {
    mf_set_threads(threads);
    for (int64_t length : {1, 3, 9})
      for (int32_t kind : {MF_F32_INPUTS_FIRST, MF_F32, MF_INT8, MF_BF16, MF_Q4_1, MF_Q6_K})
        for (bool rich : {false, true}) {
          expect(0, "decoder", run_decoder(length, kind, rich, 8));
          expect(1, "a slot outside", run_decoder(length, kind, rich, 9));
        }
  }
  expect(1, "another width", run(mf_weight_only_linear, {{"float32", {2, 3}}, {"int8", {5, 4}}, {"float32", {5}},
                                                         {"float32", {5}}, {"float32", {2, 5}}}));
  expect(1, "another type", run(mf_weight_only_linear, {{"float32", {2, 4}}, {"float32", {5, 4}}, {"float32", {5}},
                                                        {"float32", {5}}, {"float32", {2, 5}}}));
  expect(1, "an id outside", run(mf_weight_only_rows, {{"int32", {7}, 7}, {"int8", {5, 4}}, {"float32", {5}},
                                                       {"float32", {7, 4}}}));
  if (failures == 0) printf("all fine\n");
  return failures != 0;
}
