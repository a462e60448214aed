// The instances of the rectifier between two samplings: those of StyleGAN3's layers, and the general one.
#include "filtered_lrelu.h"
#include "launch.h"

namespace explorer {

int launch_filtered_lrelu(const FilteredLreluParams& p, Dtype dtype, bool known, void* stream) {
  return with_dtype(dtype, [&](auto* type) {
    using T = std::remove_pointer_t<decltype(type)>;
    const unsigned int blocks = static_cast<unsigned int>(p.total);
    if (!known) return launch<FilteredLrelu<T, 0, 0>>(p, blocks, stream);
    return p.rise_x.factor == 2 ? launch<FilteredLrelu<T, 2, 2>>(p, blocks, stream)
                                : launch<FilteredLrelu<T, 4, 2>>(p, blocks, stream);
  });
}

}  // namespace explorer
