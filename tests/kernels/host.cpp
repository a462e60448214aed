// The kernels on the CPU, for tests: entry points that take the parameters which Python prepared for a launch.
#include <cstddef>

#include "filtered_lrelu.h"
#include "launch.h"
#include "pointwise.h"
#include "upfirdn2d.h"

using namespace explorer;

extern "C" {

size_t host_sizeof_pointwise() { return sizeof(PointwiseParams); }
size_t host_sizeof_upfirdn2d() { return sizeof(Upfirdn2dParams); }
size_t host_sizeof_filtered_lrelu() { return sizeof(FilteredLreluParams); }
unsigned int host_quotient(unsigned int n, const Divider* d) { return quotient(n, *d); }

unsigned short host_to_bfloat(float value) {
  BFloat result;
  store(result, value);
  return result.bits;
}

int host_pointwise(const PointwiseParams* p, int dtype, int smooth, int gradient, int vectorised) {
  return launch_pointwise(*p, static_cast<Dtype>(dtype), smooth, gradient, vectorised, nullptr);
}

int host_upfirdn2d(const Upfirdn2dParams* p, int dtype, int kernel) {
  return launch_upfirdn2d(*p, static_cast<Dtype>(dtype), static_cast<Resampler>(kernel), nullptr);
}

int host_filtered_lrelu(const FilteredLreluParams* p, int dtype, int known) {
  return launch_filtered_lrelu(*p, static_cast<Dtype>(dtype), known, nullptr);
}

// One vector, or one block, of a tensor too large to walk through.
void host_pointwise_at(const PointwiseParams* p, unsigned long long i) {
  Pointwise<Half, false, false, 8, unsigned long long>::handle(*p, i);
}
void host_upfirdn2d_general_block(const Upfirdn2dParams* p, unsigned int block) {
  NoShared none;
  using Kernel = UpfirdnGeneral<Half, unsigned long long>;
  for (unsigned int thread = 0; thread < Kernel::threads; ++thread) Kernel::run(*p, block, 1u << 23, thread, none);
}
void host_upfirdn2d_tile_block(const Upfirdn2dParams* p, unsigned int block) {
  using Kernel = UpfirdnTile<Half, 1, 1, 4>;
  Kernel::Shared shared;
  steps_of_block<Kernel, 0>(*p, block, shared);
}

}  // extern "C"
