// Rotary positions, forwards and backwards.
#include "operator.h"
#include "rows.h"

namespace {

using namespace mf;

int run(const mf::Arrays& in, float sign) {
  const Array x = in[0], positions = in[1], cos = in[2], sin = in[3], y = in[4];
  const int64_t tokens = positions.size(), half = cos.axis(-1), width = x.axis(-1);
  if (!are("float32", {x, cos, sin, y}) || !positions.is("int32")) return 1;
  if (half < 1 || width % (2 * half) != 0 || x.size() != tokens * width || y.size() != x.size() ||
      sin.size() != cos.size())
    return 1;
  for (int64_t n = 0; n < tokens; n++)
    if (positions.as<int32_t>()[n] < 0 || positions.as<int32_t>()[n] >= cos.rows(1)) return 1;
  const Turn t = {x.as<float>(), cos.as<float>(), sin.as<float>(), positions.as<int32_t>(), y.as<float>(),
                  width / (2 * half), half, width, sign};
  mf::share(tokens, 1, 16384 / width, [&](int64_t begin, int64_t end) { turn(t, begin, end); });
  return 0;
}

}  // namespace

// x (B, S, H * D), positions (B, S) int32, cos and sin (L, D / 2) -> like x
MF_OPERATOR(mf_rotary) { return run(in, 1); }

// dy like x, and the same -> dx
MF_OPERATOR(mf_rotary_gradient) { return run(in, -1); }
