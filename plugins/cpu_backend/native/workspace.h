// A per-thread buffer that is kept between calls.
#pragma once

#include <sys/mman.h>

#include <cstdlib>
#include <memory>
#include <new>

#include "simd.h"

namespace mf {

// A buffer that grows to the largest size asked for and is reused, in huge pages where the system has them.
class Workspace {
 public:
  template <typename Cell>
  Cell* of(int64_t cells) {
    constexpr size_t kPage = 2 << 20;
    const size_t bytes = padded(cells * sizeof(Cell), kPage);
    if (bytes > size_) {
      size_ = 0;
      memory_.reset(std::aligned_alloc(kPage, bytes));
      if (!memory_) throw std::bad_alloc();
      size_ = bytes;
#if defined(MADV_HUGEPAGE)
      madvise(memory_.get(), bytes, MADV_HUGEPAGE);
#endif
    }
    return static_cast<Cell*>(memory_.get());
  }

 private:
  struct Free {
    void operator()(void* memory) const { std::free(memory); }
  };
  std::unique_ptr<void, Free> memory_;
  size_t size_ = 0;
};

}  // namespace mf
