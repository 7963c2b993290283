#include "operator.h"

// The best level that this processor has; the library of each is compiled for it.
MF_EXPORT const char* mf_best_level() {
#if defined(__x86_64__)
  if (__builtin_cpu_supports("x86-64-v4")) return "x86-64-v4";
  return __builtin_cpu_supports("x86-64-v3") ? "x86-64-v3" : "x86-64";
#else
  return "baseline";
#endif
}
