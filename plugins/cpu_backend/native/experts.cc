// Mixtures of experts: each token chooses a few, and what these give is added up by its weights.
#include <algorithm>
#include <cmath>
#include <numeric>
#include <vector>

#include "decoder.h"
#include "operator.h"
#include "simd.h"

namespace {

using namespace mf;

struct Choice {
  int64_t row;
  float weight;
};

void softmax(float* x, int64_t count) {
  const float total = powers(x, x, count, largest(x, count));
  for (int64_t i = 0; i < count; i++) x[i] /= total;
}

// The numbers of the `chosen` largest of x, the largest first; of equals, the first.
void choose(const float* x, int64_t count, int64_t chosen, int64_t* out) {
  std::vector<int64_t> order(count);
  std::iota(order.begin(), order.end(), 0);
  std::stable_sort(order.begin(), order.end(), [&](int64_t a, int64_t b) { return x[a] > x[b]; });
  std::copy_n(order.begin(), chosen, out);
}

// Leaves only the experts of the best groups: a group's score is the sum of its two best (DeepSeek-AI, 2024, "DeepSeek-V3")
// or, for scores that are a softmax, its best ("DeepSeek-V2").
void keep_groups(const mf_experts& e, std::vector<float>& scores) {
  const int64_t each = e.count / e.groups;
  std::vector<float> best(e.groups), sorted(each);
  for (int64_t g = 0; g < e.groups; g++) {
    std::copy_n(scores.begin() + g * each, each, sorted.begin());
    std::sort(sorted.begin(), sorted.end(), std::greater<float>());
    best[g] = e.sigmoid && each > 1 ? sorted[0] + sorted[1] : sorted[0];
  }
  std::vector<int64_t> kept(e.chosen_groups);
  choose(best.data(), e.groups, e.chosen_groups, kept.data());
  for (int64_t g = 0; g < e.groups; g++)
    if (std::find(kept.begin(), kept.end(), g) == kept.end())
      std::fill_n(scores.begin() + g * each, each, e.sigmoid ? -INFINITY : 0.0f);
}

// Which experts one row chooses, from the router's outputs, which are overwritten.
void route(const mf_experts& e, float* outputs, int64_t* chosen, float* weights) {
  if (e.sigmoid)
    for (int64_t i = 0; i < e.count; i++) outputs[i] = 1 / (1 + std::exp(-outputs[i]));
  else if (!e.softmax_after)
    softmax(outputs, e.count);
  std::vector<float> scores(outputs, outputs + e.count);
  if (e.correction)
    for (int64_t i = 0; i < e.count; i++) scores[i] += e.correction[i];
  if (e.groups > 1) keep_groups(e, scores);
  choose(scores.data(), e.count, e.chosen, chosen);
  for (int64_t i = 0; i < e.chosen; i++) weights[i] = outputs[chosen[i]];
  if (e.softmax_after) softmax(weights, e.chosen);
  if (e.normalized) {
    const float total = std::accumulate(weights, weights + e.chosen, 0.0f) + (e.sigmoid ? 1e-20f : 0);
    for (int64_t i = 0; i < e.chosen; i++) weights[i] /= total;
  }
  for (int64_t i = 0; i < e.chosen; i++) weights[i] *= e.scale;
}

void add(const float* x, float weight, float* y, int64_t width) {
  by_vector(0, width, [&](int64_t i, int64_t some) MF_INLINED {
    put(y + i, take(y + i, some) + weight * take(x + i, some), some);
  });
}

}  // namespace

void mf::mix_experts(const mf_experts& e, const float* x, int64_t rows, int64_t width, float* y) {
  std::vector<float> outputs(rows * e.count), weights(e.chosen), given, gathered;
  std::vector<int64_t> chosen(e.chosen);
  std::vector<std::vector<Choice>> of(e.count);
  multiply(e.router, x, rows, outputs.data(), e.count);
  for (int64_t r = 0; r < rows; r++) {
    route(e, outputs.data() + r * e.count, chosen.data(), weights.data());
    for (int64_t i = 0; i < e.chosen; i++) of[chosen[i]].push_back({r, weights[i]});
  }
  if (e.shared) {
    feed_forward(*e.shared, x, rows, y, nullptr);
    if (e.shared_gate.kind != MF_ABSENT) {
      std::vector<float> gates(rows);
      multiply(e.shared_gate, x, rows, gates.data(), 1);
      for (int64_t r = 0; r < rows; r++) {
        const float factor = 1 / (1 + std::exp(-gates[r]));
        for (int64_t i = 0; i < width; i++) y[r * width + i] *= factor;
      }
    }
  } else {
    std::fill_n(y, rows * width, 0.0f);
  }
  for (int64_t n = 0; n < e.count; n++) {
    const int64_t count = of[n].size();
    if (count == 0) continue;
    gathered.resize(count * width), given.resize(count * width);
    for (int64_t i = 0; i < count; i++) std::copy_n(x + of[n][i].row * width, width, gathered.begin() + i * width);
    feed_forward(e.experts[n], gathered.data(), count, given.data(), nullptr);
    for (int64_t i = 0; i < count; i++) add(given.data() + i * width, of[n][i].weight, y + of[n][i].row * width, width);
  }
}
