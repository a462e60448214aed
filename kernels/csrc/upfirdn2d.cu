// The instances of the resampling kernels: the 4-tap filter at (up, down) = (1, 1), (2, 1), (1, 2), and the general one.
#include "launch.h"
#include "upfirdn2d.h"

namespace explorer {

template <typename T, int up, int down> int by_layout(const Upfirdn2dParams& p, Resampler kernel, void* stream) {
  if (kernel == Resampler::tile) return launch<UpfirdnTile<T, up, down, 4>>(p, static_cast<unsigned int>(p.total), stream);
  using Kernel = UpfirdnStrip<T, up, down, 4>;
  return launch<Kernel>(p, blocks_for<Kernel>(p.total), stream);
}

int launch_upfirdn2d(const Upfirdn2dParams& p, Dtype dtype, Resampler kernel, void* stream) {
  return with_dtype(dtype, [&](auto* type) {
    using T = std::remove_pointer_t<decltype(type)>;
    if (kernel != Resampler::general) {
      if (p.up_x == 2) return by_layout<T, 2, 1>(p, kernel, stream);
      return p.down_x == 2 ? by_layout<T, 1, 2>(p, kernel, stream) : by_layout<T, 1, 1>(p, kernel, stream);
    }
    if (p.total < narrow_limit) {
      using Kernel = UpfirdnGeneral<T, unsigned int>;
      return launch<Kernel>(p, blocks_for<Kernel>(p.total), stream);
    }
    using Kernel = UpfirdnGeneral<T, unsigned long long>;
    return launch<Kernel>(p, blocks_for<Kernel>(p.total), stream);
  });
}

}  // namespace explorer
