#include "operator.h"

#if defined(__linux__) && defined(__x86_64__)
#include <sys/syscall.h>
#include <unistd.h>
#endif

// The best level that this processor has; the library of each is compiled for it. Linux lends a process the tiles of AMX
// only if it asks.
MF_EXPORT const char* mf_best_level() {
#if defined(__x86_64__)
  if (!__builtin_cpu_supports("x86-64-v4")) return __builtin_cpu_supports("x86-64-v3") ? "x86-64-v3" : "x86-64";
#if defined(__linux__)
  constexpr long kAsk = 0x1023, kTileData = 18;  // ARCH_REQ_XCOMP_PERM, XFEATURE_XTILEDATA
  const bool tiles = __builtin_cpu_supports("amx-tile") && __builtin_cpu_supports("amx-bf16");
  if (tiles && syscall(SYS_arch_prctl, kAsk, kTileData) == 0) return "x86-64-v4-amx";
#endif
  return "x86-64-v4";
#else
  return "baseline";
#endif
}
