// The instances of the pointwise kernel and the choice between them.
#include "launch.h"
#include "pointwise.h"

namespace explorer {

template <typename T, bool smooth, bool gradient, int width> int by_size(const PointwiseParams& p, void* stream) {
  if (p.total < narrow_limit) {
    using Kernel = Pointwise<T, smooth, gradient, width, unsigned int>;
    return launch<Kernel>(p, blocks_for<Kernel>(p.total), stream);
  }
  using Kernel = Pointwise<T, smooth, gradient, width, unsigned long long>;
  return launch<Kernel>(p, blocks_for<Kernel>(p.total), stream);
}

template <typename T, bool smooth, bool gradient> int by_width(const PointwiseParams& p, bool vectorised, void* stream) {
  return vectorised ? by_size<T, smooth, gradient, 16 / sizeof(T)>(p, stream) : by_size<T, smooth, gradient, 1>(p, stream);
}

int launch_pointwise(const PointwiseParams& p, Dtype dtype, bool smooth, bool gradient, bool vectorised, void* stream) {
  return with_dtype(dtype, [&](auto* type) {
    using T = std::remove_pointer_t<decltype(type)>;
    if (smooth) return gradient ? by_width<T, true, true>(p, vectorised, stream) : by_width<T, true, false>(p, vectorised, stream);
    return gradient ? by_width<T, false, true>(p, vectorised, stream) : by_width<T, false, false>(p, vectorised, stream);
  });
}

}  // namespace explorer
