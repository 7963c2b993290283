// The norm of gradients, and the update of weights.
#include <cmath>
#include <vector>

#include "operator.h"
#include "simd.h"

namespace {

using namespace mf;

constexpr int64_t kBlock = 4096;  // numbers that are summed in fp32, one after the other

double sum_of_squares(const float* x, int64_t count) {
  Floats sums = {};
  by_vector(0, count, [&](int64_t i, int64_t some) MF_INLINED { sums += take(x + i, some) * take(x + i, some); });
  double whole = 0;
  for (int i = 0; i < kWidth; i++) whole += sums[i];
  return whole;
}

// The constants of an update.
struct Update {
  float factor, rate, beta1, beta2, rest1, rest2, share1, share2, epsilon, decay;
};

void adamw(const Update& u, const float* __restrict gradients, float* __restrict weights, float* __restrict firsts,
           float* __restrict seconds, int64_t begin, int64_t end) {
  for (int64_t i = begin; i < end; i++) {
    const float gradient = gradients[i] * u.factor;
    const float first = u.beta1 * firsts[i] + u.rest1 * gradient;
    const float second = u.beta2 * seconds[i] + u.rest2 * gradient * gradient;
    firsts[i] = first;
    seconds[i] = second;
    weights[i] -= u.rate * (u.decay * weights[i] + first * u.share1 / (std::sqrt(second * u.share2) + u.epsilon));
  }
}

}  // namespace

// any number of arrays -> the sum of all squares (1,); all fp32. It is the same for any number of threads.
MF_OPERATOR(mf_sum_of_squares) {
  const Array out = in[in.count - 1];
  if (!out.is("float32") || out.size() != 1) return 1;
  double whole = 0;
  for (int n = 0; n + 1 < in.count; n++) {
    const Array x = in[n];
    if (!x.is("float32")) return 1;
    std::vector<double> sums((x.size() + kBlock - 1) / kBlock);
    mf::share(sums.size(), 1, 8, [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; i++)
        sums[i] = sum_of_squares(x.as<float>() + i * kBlock, std::min(kBlock, x.size() - i * kBlock));
    });
    for (const double sum : sums) whole += sum;
  }
  *out.as<float>() = float(whole);
  return 0;
}

// finite bool; weight, first, second, and a gradient of their shape, factor, number and rate of one number each, and four
// numbers: beta1, beta2, epsilon, decay; these fp32. The weight, first and second are written in place if finite.
// -> number (1,)
MF_OPERATOR(mf_adamw) {
  const Array finite = in[0], weight = in[1], first = in[2], second = in[3], gradient = in[4], factor = in[5],
              number = in[6], rate = in[7], settings = in[8], out = in[9];
  const int64_t count = weight.size();
  if (!are("float32", {weight, first, second, gradient, factor, number, rate, settings, out}) || !finite.is("bool") ||
      first.size() != count || second.size() != count || gradient.size() != count || finite.size() != 1 ||
      factor.size() != 1 || number.size() != 1 || rate.size() != 1 || settings.size() != 4 || out.size() != 1)
    return 1;
  const double step = *number.as<float>();
  *out.as<float>() = float(step);
  if (!*finite.as<bool>()) return 0;
  const float* s = settings.as<float>();
  const auto left = [&](double beta) { return 1 - std::pow(beta, step); };  // of 1, by then
  const Update update = {
      *factor.as<float>(), *rate.as<float>(), s[0], s[1], float(1.0 - s[0]), float(1.0 - s[1]),
      float(1 / left(s[0])), float(1 / left(s[1])), s[2], s[3],
  };
  mf::share(count, kWidth, kBlock, [&](int64_t begin, int64_t end) {
    adamw(update, gradient.as<float>(), weight.as<float>(), first.as<float>(), second.as<float>(), begin, end);
  });
  return 0;
}
