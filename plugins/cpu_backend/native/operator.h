// The arguments that MindSpore passes to a custom operator, and the division of work among threads.
#pragma once

#include <cstdint>
#include <cstring>
#include <functional>
#include <initializer_list>

namespace mf {

// One tensor.
struct Array {
  void* data;
  const int64_t* shape;
  int rank;
  const char* dtype;

  template <typename T>
  T* as() const {
    return static_cast<T*>(data);
  }
  bool is(const char* name) const { return strcmp(dtype, name) == 0; }
  int64_t axis(int i) const { return shape[i < 0 ? rank + i : i]; }
  int64_t size() const { return rows(0); }
  // The product of all axes but the last `inner`.
  int64_t rows(int inner) const {
    int64_t n = 1;
    for (int i = 0; i + inner < rank; i++) n *= shape[i];
    return n;
  }
};

// The inputs, in order, and then the outputs.
struct Arrays {
  int count;
  void** params;
  int* ranks;
  int64_t** shapes;
  const char** dtypes;

  Array operator[](int i) const { return {params[i], shapes[i], ranks[i], dtypes[i]}; }
};

// Whether all have the named type.
inline bool are(const char* dtype, std::initializer_list<Array> arrays) {
  for (const Array& array : arrays)
    if (!array.is(dtype)) return false;
  return true;
}

// Calls work(begin, end) for pieces of 0 … count, one a thread; their bounds are multiples of `step`. In the calling
// thread alone where the whole is less than `least`.
void share(int64_t count, int64_t step, int64_t least, const std::function<void(int64_t, int64_t)>& work);

// The same for pieces of `size`, of which each thread takes the next when it has done one: a processor's cores are seldom
// of one speed. Where the work is reading memory, long pieces beside each other are read faster: see share.
void take_turns(int64_t count, int64_t size, int64_t least, const std::function<void(int64_t, int64_t)>& work);

}  // namespace mf

// A function that is called from outside the library.
#define MF_EXPORT extern "C" __attribute__((visibility("default")))

// Defines the function that MindSpore calls. The body sees `in`, and returns 0, or 1 where the arguments do not fit.
#define MF_OPERATOR(NAME)                                                                                        \
  static int NAME##_of(const mf::Arrays& in);                                                                    \
  MF_EXPORT int NAME(int count, void** params, int* ranks, int64_t** shapes, const char** dtypes, void*, void*) { \
    return NAME##_of({count, params, ranks, shapes, dtypes});                                                    \
  }                                                                                                              \
  static int NAME##_of(const mf::Arrays& in)
