// The kernels' thread pool. OpenMP's spin for long after each region, on the cores that MindSpore's own
// threads need between two kernels; these spin for as long as a short operator takes, and then sleep.
#include "operator.h"

#include <pthread.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <mutex>
#include <thread>

namespace {

using Work = std::function<void(int64_t)>;

std::atomic<int> wanted{1};

inline void relax() {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  asm volatile("yield");
#endif
}

// Spins until `done()`, for a limited time; returns whether it was.
template <typename Done>
bool soon(Done done) {
  const auto limit = std::chrono::steady_clock::now() + std::chrono::microseconds(40);
  do {
    for (int i = 0; i < 32; i++) {
      if (done()) return true;
      relax();
    }
  } while (std::chrono::steady_clock::now() < limit);
  return false;
}

class Pool {
 public:
  // Calls work(0) … work(pieces - 1), the first here and the others in threads; false if another thread is at it.
  bool run(int pieces, const Work& work) {
    std::unique_lock<std::mutex> turn(turn_, std::try_to_lock);
    if (!turn.owns_lock()) return false;
    for (; started_ < pieces - 1; started_++) std::thread(&Pool::serve, this, started_ + 1, round_.load()).detach();
    work_ = &work;
    pieces_ = pieces;
    pending_.store(started_, std::memory_order_relaxed);
    {
      std::lock_guard<std::mutex> lock(sleep_);
      round_.fetch_add(1, std::memory_order_release);
    }
    wake_.notify_all();
    work(0);
    while (!soon([&] { return pending_.load(std::memory_order_acquire) == 0; })) std::this_thread::yield();
    return true;
  }

 private:
  void serve(int number, uint32_t seen) {
    for (;;) {
      const auto called = [&] { return round_.load(std::memory_order_acquire) != seen; };
      if (!soon(called)) {
        std::unique_lock<std::mutex> lock(sleep_);
        wake_.wait(lock, called);
      }
      seen++;
      if (number < pieces_) (*work_)(number);
      pending_.fetch_sub(1, std::memory_order_release);
    }
  }

  std::mutex turn_, sleep_;
  std::condition_variable wake_;
  std::atomic<uint32_t> round_{0};
  std::atomic<int> pending_{0};
  int started_ = 0, pieces_ = 0;
  const Work* work_ = nullptr;
};

// Never destroyed: its threads sleep on it until the process has ended. A forked process has none of them, and gets a
// separate pool.
Pool* pool = new Pool;
const int registered = pthread_atfork(nullptr, nullptr, [] { pool = new Pool; });

}  // namespace

// How many threads work, the calling one included.
MF_EXPORT void mf_set_threads(int count) { wanted = std::clamp(count, 1, 256); }

namespace mf {

void share(int64_t count, int64_t step, int64_t least, const std::function<void(int64_t, int64_t)>& work) {
  const int64_t pieces = count < least ? 1 : std::min<int64_t>(wanted, (count + step - 1) / step);
  const int64_t size = ((count + pieces - 1) / pieces + step - 1) / step * step;
  const Work piece = [&](int64_t i) {
    const int64_t begin = std::min(i * size, count);
    work(begin, std::min(begin + size, count));
  };
  if (pieces <= 1 || !pool->run(int(pieces), piece)) work(0, count);
}

void take_turns(int64_t count, int64_t size, int64_t least, const std::function<void(int64_t, int64_t)>& work) {
  const int64_t threads = count < least ? 1 : std::min<int64_t>(wanted, (count + size - 1) / size);
  std::atomic<int64_t> next{0};
  const Work pieces = [&](int64_t) {
    for (int64_t begin; (begin = next.fetch_add(size, std::memory_order_relaxed)) < count;)
      work(begin, std::min(begin + size, count));
  };
  if (threads <= 1 || !pool->run(int(threads), pieces)) work(0, count);
}

}  // namespace mf
