// What the device code stands on: number formats, vectors of 16 bytes, and division by numbers known at launch.
//
// Compiles with nvcc, with NVRTC (hence no system header on that side) and with g++, where the tests run it over a loop of
// thread indices. Knows no PyTorch.
#pragma once

#ifdef __CUDACC__
#define EXPLORER_DEVICE __device__ __forceinline__
#define EXPLORER_CONSTANT __host__ __device__ constexpr
#define EXPLORER_UNROLL _Pragma("unroll")
#else
#include <cmath>
#include <cstring>
#define EXPLORER_DEVICE inline
#define EXPLORER_CONSTANT constexpr
#define EXPLORER_UNROLL
#endif

namespace explorer {

#ifndef __CUDACC__  // the overloads for float, as on the GPU: the global ones compute in double
using std::exp;
using std::expm1;
using std::fabs;
using std::log1p;
using std::tanh;
#endif

// 16-bit storage formats. Arithmetic is never done in them.
struct Half { unsigned short bits; };
struct BFloat { unsigned short bits; };

// The type arithmetic is done in: float64 for float64, otherwise float32.
template <typename T> struct Sum { using type = float; };
template <> struct Sum<double> { using type = double; };

EXPLORER_DEVICE float bits_to_float(unsigned int bits) {
#ifdef __CUDACC__
  return __uint_as_float(bits);
#else
  float value;
  std::memcpy(&value, &bits, sizeof value);
  return value;
#endif
}

EXPLORER_DEVICE unsigned int float_to_bits(float value) {
#ifdef __CUDACC__
  return __float_as_uint(value);
#else
  unsigned int bits;
  std::memcpy(&bits, &value, sizeof bits);
  return bits;
#endif
}

EXPLORER_DEVICE double load(double value) { return value; }
EXPLORER_DEVICE float load(float value) { return value; }
EXPLORER_DEVICE float load(BFloat value) { return bits_to_float(static_cast<unsigned int>(value.bits) << 16); }
EXPLORER_DEVICE float load(Half value) {
#ifdef __CUDACC__
  float result;
  asm("cvt.f32.f16 %0, %1;" : "=f"(result) : "h"(value.bits));
  return result;
#else
  _Float16 half;
  std::memcpy(&half, &value, sizeof half);
  return static_cast<float>(half);
#endif
}

EXPLORER_DEVICE void store(double& target, double value) { target = value; }
EXPLORER_DEVICE void store(float& target, float value) { target = value; }
EXPLORER_DEVICE void store(BFloat& target, float value) {
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 800
  asm("cvt.rn.bf16.f32 %0, %1;" : "=h"(target.bits) : "f"(value));
#else
  // Round to nearest even: add half a unit, or a hair less where the last kept bit is 0. NaN keeps its top bits, made quiet.
  const unsigned int bits = float_to_bits(value);
  const unsigned int rounded = value != value ? (bits | 0x400000u) : bits + 0x7fffu + ((bits >> 16) & 1u);
  target.bits = static_cast<unsigned short>(rounded >> 16);
#endif
}
EXPLORER_DEVICE void store(Half& target, float value) {
#ifdef __CUDACC__
  asm("cvt.rn.f16.f32 %0, %1;" : "=h"(target.bits) : "f"(value));
#else
  const _Float16 half = static_cast<_Float16>(value);
  std::memcpy(&target, &half, sizeof half);
#endif
}

// `count` neighbours in memory, moved in pieces of at most 16 bytes. `source` must be aligned to a piece.
template <typename T, int count> struct alignas(sizeof(T) * count < 16 ? sizeof(T) * count : 16) Vector {
  T item[count];
};

// The quotient by a fixed divisor: one multiplication and a shift (Granlund and Montgomery, PLDI 1994). Exact for
// numerators below 2^31 with shift = 31 + ceil(log2 divisor) and factor = floor(2^shift / divisor) + 1.
struct Divider {
  unsigned int divisor, factor, shift;
};

EXPLORER_DEVICE unsigned int quotient(unsigned int n, const Divider& d) {
  return static_cast<unsigned int>((static_cast<unsigned long long>(n) * d.factor) >> d.shift);
}
// Beyond 2^31 the processor divides: rare, and right.
EXPLORER_DEVICE unsigned long long quotient(unsigned long long n, const Divider& d) { return n / d.divisor; }

// A kernel is a struct with Params, Shared, `threads` and `run`; or, where `shares`, with `steps` of `step` through shared
// memory. Between two of these the block waits.
struct NoShared {};

#ifdef __CUDACC__
template <typename Kernel, int number>
__device__ __forceinline__ void steps_from(const typename Kernel::Params& p, typename Kernel::Shared& shared) {
  Kernel::template step<number>(p, blockIdx.x, threadIdx.x, shared);
  if constexpr (number + 1 < Kernel::steps) {
    __syncthreads();
    steps_from<Kernel, number + 1>(p, shared);
  }
}

template <typename Kernel>
__global__ void __launch_bounds__(Kernel::threads) entry(const __grid_constant__ typename Kernel::Params p) {
  if constexpr (Kernel::shares) {
    __shared__ typename Kernel::Shared shared;
    steps_from<Kernel, 0>(p, shared);
  } else {
    NoShared none;
    Kernel::run(p, blockIdx.x, gridDim.x, threadIdx.x, none);
  }
}
#endif

}  // namespace explorer
