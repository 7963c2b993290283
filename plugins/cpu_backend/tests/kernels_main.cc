// Calls every native kernel at odd sizes on buffers of exactly the sizes that it may touch, for the sanitizers to watch.
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <vector>

#define KERNEL(NAME) extern "C" int NAME(int, void**, int*, int64_t**, const char**, void*, void*)
KERNEL(mf_weight_only_linear);
KERNEL(mf_weight_only_rows);
KERNEL(mf_write_cache);
KERNEL(mf_cached_attention);
KERNEL(mf_self_attention);
KERNEL(mf_decoder_layer);
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

// Runs a kernel on tensors of its own, each in a heap block of its size, and returns what it returns.
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

// A layer with one projection for queries, keys and values, or with three, rotary positions and a gate.
static int run_layer(int64_t length, const char* dtype, bool apart, int64_t slots_from) {
  const int64_t batch = 2, heads = 4, groups = 2, size = 6, places = 9, width = 23, inner = 50;
  const bool floats = std::string(dtype) == "float32", outputs_first = !floats || apart;
  const Tensor none = {"int32", {1}, 1}, row = {"float32", {width}}, angles = {"float32", {5, size / 2}};
  const Tensor x = {"float32", {batch, length, width}}, cache = {"float32", {batch * groups * places, size}};
  const int64_t slots = batch * groups * length;
  std::vector<Tensor> tensors = {x, none, {"float32", {batch, 1, length, places}},
                                 {"int32", {slots}, slots_from + slots, slots_from}, cache, cache, none, none, none,
                                 {"float32", {4}}, none, row, apart ? none : row, row, apart ? none : row};
  if (apart) tensors[6] = {"int32", {batch, length}, 5}, tensors[7] = tensors[8] = angles;
  std::vector<int32_t> form = {apart ? 3 : 1, apart ? 2 : 1, 1, 0};
  const auto project = [&](int64_t from, int64_t to) {
    form.push_back(outputs_first);
    tensors.push_back(outputs_first ? Tensor{dtype, {to, from}} : Tensor{dtype, {from, to}});
    tensors.push_back(floats ? none : Tensor{"float32", {to}});
    tensors.push_back(apart ? none : Tensor{"float32", {to}});
  };
  if (apart) {
    project(width, heads * size), project(width, groups * size), project(width, groups * size);
  } else {
    project(width, (heads + 2 * groups) * size);
  }
  project(heads * size, width);
  for (int i = 0; i < (apart ? 2 : 1); i++) project(width, inner);
  project(inner, width);
  tensors[10] = {"int32", {int64_t(form.size())}, 0, 0, form};
  tensors.push_back(x);
  return run(mf_decoder_layer, tensors);
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
      for (int64_t places : {1, 5, 33}) {
        const int64_t batch = 2, heads = 4, groups = 2, rows = batch * groups;
        const Tensor cache = {"float32", {rows * places, size}}, slots = {"int32", {rows}, places};
        const Tensor one = {"float32", {1}}, count = {"int32", {1}, heads + 1, heads};
        for (int64_t length : {1, 9, 40}) {
          const Tensor query = {"float32", {batch, length, heads * size}}, key = {"float32", {batch, length, groups * size}};
          const Tensor all = {"float32", {batch, places, groups * size}}, many = {"int32", {rows * length}, places};
          const Tensor bias = {"float32", {batch, 1, length, places}};
          expect(0, "cached", run(mf_cached_attention, {query, key, key, bias, many, cache, cache, one, query}));
          expect(0, "attention", run(mf_self_attention, {query, all, all, bias, count, one, query}));
          expect(0, "its gradients", run(mf_self_attention_gradient,
                                         {query, all, all, bias, count, one, query, query, all, all}));
          expect(1, "heads that do not divide", run(mf_self_attention, {query, all, all, bias, {"int32", {1}, 8, 3}, one,
                                                                       query}));
        }
        expect(0, "write", run(mf_write_cache, {cache, slots, {"float32", {rows, size}}, cache}));
        expect(1, "a slot outside", run(mf_write_cache, {cache, {"int32", {rows * places + 1}, rows * places + 1},
                                                         {"float32", {rows * places + 1, size}}, cache}));
      }
  }
  for (int threads = 1; threads <= 4; threads++) {
    mf_set_threads(threads);
    for (int64_t length : {1, 3, 9})
      for (const char* dtype : {"float32", "int8", "bfloat16"})
        for (bool apart : {false, true}) {
          expect(0, "layer", run_layer(length, dtype, apart, 0));
          expect(1, "a slot outside", run_layer(length, dtype, apart, 2 * 2 * 9));
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
