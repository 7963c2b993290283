// Memory that stays.
#pragma once

#include <sys/mman.h>

#include <cstdlib>
#include <memory>
#include <new>

#include "simd.h"

namespace mf {

// What a thread keeps for all calls to come, in large pages where there are such.
class Room {
 public:
  template <typename Cell>
  Cell* of(int64_t cells) {
    constexpr size_t kPage = 2 << 20;
    const size_t bytes = padded(cells * sizeof(Cell), kPage);
    if (bytes > size_) {
      size_ = 0;
      room_.reset(std::aligned_alloc(kPage, bytes));
      if (!room_) throw std::bad_alloc();
      size_ = bytes;
#if defined(MADV_HUGEPAGE)
      madvise(room_.get(), bytes, MADV_HUGEPAGE);
#endif
    }
    return static_cast<Cell*>(room_.get());
  }

 private:
  struct Free {
    void operator()(void* room) const { std::free(room); }
  };
  std::unique_ptr<void, Free> room_;
  size_t size_ = 0;
};

}  // namespace mf
