// Running a kernel struct, and the entry points through which bindings reach the kernels. No PyTorch, no CUDA headers.
//
// With nvcc `launch` starts a grid on a stream; with g++ it runs the same code over a loop of blocks and threads, which is
// how the tests reach every line of arithmetic without a GPU.
#pragma once

#include <type_traits>

#include "common.h"

namespace explorer {

enum class Dtype : int { float64 = 0, float32 = 1, float16 = 2, bfloat16 = 3 };

constexpr unsigned long long narrow_limit = 1ull << 31;  // from here on indices take 64 bits

struct PointwiseParams;
struct Upfirdn2dParams;
struct FilteredLreluParams;
enum class Resampler : int { general = 0, tile = 1, strip = 2 };

// 0, or the CUDA error of the launch. `vectorised`: 16 bytes at a time.
int launch_pointwise(const PointwiseParams& p, Dtype dtype, bool smooth, bool gradient, bool vectorised, void* stream);
int launch_upfirdn2d(const Upfirdn2dParams& p, Dtype dtype, Resampler kernel, void* stream);
// `known`: the filters and factors are those that have an instance of their own.
int launch_filtered_lrelu(const FilteredLreluParams& p, Dtype dtype, bool known, void* stream);

#ifndef __CUDACC__
template <typename Kernel, int number>
void steps_of_block(const typename Kernel::Params& p, unsigned int block, typename Kernel::Shared& shared) {
  for (unsigned int thread = 0; thread < Kernel::threads; ++thread) Kernel::template step<number>(p, block, thread, shared);
  if constexpr (number + 1 < Kernel::steps) steps_of_block<Kernel, number + 1>(p, block, shared);
}
#endif

// Enough blocks for `total` items. Kernels loop when there are more items than a grid covers.
template <typename Kernel> unsigned int blocks_for(unsigned long long total) {
  const unsigned long long per_block = static_cast<unsigned long long>(Kernel::threads) * Kernel::items;
  const unsigned long long blocks = (total + per_block - 1) / per_block, most = (narrow_limit - 1) / per_block;
  return static_cast<unsigned int>(blocks < most ? blocks : most);
}

template <typename Kernel> int launch(const typename Kernel::Params& p, unsigned int blocks, void* stream) {
#ifdef __CUDACC__
  entry<Kernel><<<blocks, Kernel::threads, 0, static_cast<cudaStream_t>(stream)>>>(p);
  return static_cast<int>(cudaGetLastError());
#else
  (void)stream;
  for (unsigned int block = 0; block < blocks; ++block) {
    typename Kernel::Shared shared{};
    if constexpr (Kernel::shares)
      steps_of_block<Kernel, 0>(p, block, shared);
    else
      for (unsigned int thread = 0; thread < Kernel::threads; ++thread) Kernel::run(p, block, blocks, thread, shared);
  }
  return 0;
#endif
}

// Call `body` with a null pointer of the type that stands for `dtype`.
template <typename Body> int with_dtype(Dtype dtype, const Body& body) {
  switch (dtype) {
    case Dtype::float64: return body(static_cast<double*>(nullptr));
    case Dtype::float32: return body(static_cast<float*>(nullptr));
    case Dtype::float16: return body(static_cast<Half*>(nullptr));
    default: return body(static_cast<BFloat*>(nullptr));
  }
}

}  // namespace explorer
