#include "operator.h"

// Which version of the functions marked MF_CLONES this processor runs.
MF_EXPORT const char* mf_level() {
#if defined(__x86_64__) && !defined(MF_NO_CLONES)
  return __builtin_cpu_supports("x86-64-v4")   ? "x86-64-v4 (AVX-512)"
         : __builtin_cpu_supports("x86-64-v3") ? "x86-64-v3 (AVX2)"
                                               : "x86-64";
#elif defined(__aarch64__)
  return "aarch64 (NEON)";
#else
  return "the compiler's own";
#endif
}
