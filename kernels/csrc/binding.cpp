// The one file that knows PyTorch: unpacks tensors into the kernels' parameters, through the libtorch stable ABI only, so
// that one build serves every PyTorch from 2.10 on. It adds kernels to schemas that kernels/ops.py defines, nothing else.
//
// EXPLORER_NAMESPACE and EXPLORER_KEY say where: the tests put g++'s build of the kernels beside the schemas in use.
#include <torch/csrc/stable/accelerator.h>
#include <torch/csrc/stable/library.h>
#include <torch/csrc/stable/ops.h>
#include <torch/csrc/stable/tensor.h>

#include "filtered_lrelu.h"
#include "launch.h"
#include "pointwise.h"
#include "upfirdn2d.h"

#ifndef EXPLORER_NAMESPACE
#define EXPLORER_NAMESPACE explorer
#define EXPLORER_KEY CUDA
#endif

namespace {

using explorer::Divider;
using explorer::Dtype;
using explorer::Resampler;
using torch::stable::Tensor;
using MaybeTensor = std::optional<Tensor>;

// Makes the tensor's device current for as long as it lives, and knows its current stream.
struct OnDevice {
#ifdef USE_CUDA
  explicit OnDevice(const Tensor& x) : guard(x.get_device_index()) {
    STABLE_TORCH_ERROR_CODE_CHECK(aoti_torch_get_current_cuda_stream(x.get_device_index(), &stream));
  }
  torch::stable::accelerator::DeviceGuard guard;
#else
  explicit OnDevice(const Tensor&) {}
#endif
  void* stream = nullptr;
};

void check_launch(int error) { STD_TORCH_CHECK(error == 0, "the kernel did not start: CUDA error ", error); }

Dtype dtype_of(const Tensor& x) {
  using torch::headeronly::ScalarType;
  switch (x.scalar_type()) {
    case ScalarType::Double: return Dtype::float64;
    case ScalarType::Float: return Dtype::float32;
    case ScalarType::Half: return Dtype::float16;
    case ScalarType::BFloat16: return Dtype::bfloat16;
    default: STD_TORCH_CHECK(false, "x must be float64, float32, float16 or bfloat16"); return Dtype::float32;
  }
}

int vector_width(const Tensor& x) { return static_cast<int>(16 / x.element_size()); }

// What the kernels add up in; filters and per-channel values are brought to it.
Tensor in_sum_type(const Tensor& t, const Tensor& x) {
  using torch::headeronly::ScalarType;
  const auto wanted = x.scalar_type() == ScalarType::Double ? ScalarType::Double : ScalarType::Float;
  return torch::stable::contiguous(t.scalar_type() == wanted ? t : torch::stable::to(t, wanted));
}

bool aligned(const void* pointer) { return reinterpret_cast<uintptr_t>(pointer) % 16 == 0; }

Divider divider(int64_t divisor) {
  STD_TORCH_CHECK(divisor > 0 && divisor < (int64_t{1} << 31), "an axis of ", divisor, " entries is too long for the kernels");
  unsigned int log = 0;
  while ((int64_t{1} << log) < divisor) ++log;
  const unsigned int shift = 31 + log;
  return {static_cast<unsigned int>(divisor), static_cast<unsigned int>((1ull << shift) / divisor + 1), shift};
}

bool channels_last(const Tensor& x) {  // and not contiguous as well
  return x.dim() == 4 && !x.is_contiguous() && torch::stable::permute(x, {0, 2, 3, 1}).is_contiguous();
}

// --- Pointwise: x is brought into a dense layout first, which costs a copy only where it has none.

struct Layout {
  int64_t middle, inner;
  bool channels_inner;
};

Layout layout_of(const Tensor& x, int64_t dim, bool last) {
  if (last) return {x.size(2) * x.size(3), x.size(1), true};
  int64_t inner = 1;
  for (int64_t i = dim + 1; i < x.dim(); ++i) inner *= x.size(i);
  const int64_t channels = x.dim() ? x.size(dim) : 1;
  return inner == 1 ? Layout{1, channels, true} : Layout{channels, inner, false};
}

struct Pointwise {
  Tensor x;
  MaybeTensor ref, d, noise, b;
  double alpha, gain, clamp;
  int64_t dim = 1, act = 2;
  bool gradient = false;
};

const void* data(const MaybeTensor& t) { return t ? t->const_data_ptr() : nullptr; }

Tensor run_pointwise(Pointwise call) {
  const Tensor like = call.gradient ? *call.ref : call.x;
  Tensor y = torch::stable::empty_like(like);
  if (like.numel() == 0) return y;
  const bool last = channels_last(like) && call.dim == 1;
  const auto dense = [&](const Tensor& t) {
    if (last ? channels_last(t) : t.is_contiguous()) return t;
    if (!last) return torch::stable::contiguous(t);
    Tensor copy = torch::stable::empty_like(like);
    torch::stable::copy_(copy, t);
    return copy;
  };
  call.x = dense(call.x);
  if (call.ref) call.ref = dense(*call.ref);
  Tensor out = last || y.is_contiguous() ? y : torch::stable::contiguous(y);
  for (MaybeTensor* side : {&call.d, &call.noise, &call.b})
    if (*side) *side = in_sum_type(**side, like);

  const Layout layout = layout_of(call.x, call.dim, last);
  const int64_t positions = layout.channels_inner ? layout.middle : layout.inner;
  explorer::PointwiseParams p{};
  p.x = call.x.const_data_ptr(), p.ref = data(call.ref), p.y = out.mutable_data_ptr();
  p.d = data(call.d), p.noise = data(call.noise), p.b = data(call.b);
  p.alpha = call.alpha, p.gain = call.gain, p.clamp = call.clamp;
  p.total = static_cast<unsigned long long>(like.numel());
  p.noise_stride = call.noise && call.noise->size(0) > 1 ? static_cast<unsigned long long>(positions) : 0;
  const bool plain = !p.d && !p.noise && !p.b;  // nothing depends on the place: one long row
  p.middle = divider(plain ? 1 : layout.middle), p.inner = divider(plain ? 1 : layout.inner);
  p.channels_inner = layout.channels_inner;
  const bool smooth = call.act > 2;
  if (!smooth) p.alpha = call.act == 0 ? 1 : call.act == 1 ? 0 : call.alpha;
  p.act = static_cast<int>(call.act);
  const int64_t row = plain ? like.numel() : layout.inner;
  const bool vectorised = row % vector_width(like) == 0 && aligned(p.x) && aligned(p.ref) && aligned(p.y) && aligned(p.d) &&
                          aligned(p.noise) && aligned(p.b);
  const OnDevice on(like);
  check_launch(explorer::launch_pointwise(p, dtype_of(like), smooth, call.gradient, vectorised, on.stream));
  if (out.const_data_ptr() != y.const_data_ptr()) torch::stable::copy_(y, out);
  return y;
}

Tensor bias_act(Tensor x, MaybeTensor b, int64_t dim, int64_t act, double alpha, double gain, double clamp) {
  return run_pointwise({x, {}, {}, {}, b, alpha, gain, clamp, dim, act, false});
}

Tensor bias_act_grad(
    Tensor dy, Tensor ref, MaybeTensor b, int64_t dim, int64_t act, double alpha, double gain, double clamp) {
  return run_pointwise({dy, ref, {}, {}, b, alpha, gain, clamp, dim, act, true});
}

Tensor demod_bias_act(
    Tensor x, MaybeTensor d, MaybeTensor noise, MaybeTensor b, double alpha, double gain, double clamp) {
  return run_pointwise({x, {}, d, noise, b, alpha, gain, clamp});
}

// --- upfirdn2d

int64_t out_size(int64_t size, int taps, int64_t up, int64_t down, int64_t before, int64_t after) {
  const int64_t padded = size * up + before + after;
  STD_TORCH_CHECK(padded >= taps, size, " samples up ", up, ", padding (", before, ", ", after, "): too few for ", taps, " taps");
  return (padded - taps) / down + 1;
}

// Outputs of the patches start up to one before the image: see first_output in upfirdn2d.h.
int64_t patches(int64_t size, int64_t pad, int up, int64_t patch) { return (size + (pad % up ? 1 : 0) + patch - 1) / patch; }

// Chooses the kernel and cuts the work into its pieces.
Resampler plan(explorer::Upfirdn2dParams& p, const Tensor& x, int64_t n, int64_t c) {
  const int up = p.up_x, down = p.down_x, width = vector_width(x);
  const bool known = p.taps_x == 4 && p.taps_y == 4 && p.up_y == up && p.down_y == down && up <= 2 && down <= 2 && up * down <= 2;
  const bool vectors = c % width == 0 && p.stride_c == 1 && p.stride_n % width == 0 && p.stride_h % width == 0 &&
                       p.stride_w % width == 0 && aligned(p.x) && aligned(p.y);
  if (known && p.channels_inner && vectors) {
    const int64_t across = patches(p.out_w, p.pad_x, up, up), rows = patches(p.out_h, p.pad_y, up, 4);
    p.total = static_cast<unsigned long long>(n * (c / width) * across * rows);
    p.channels = divider(c / width), p.columns = divider(across), p.rows = divider(rows);
    if (p.total < explorer::narrow_limit) return Resampler::strip;
  }
  if (known && !p.channels_inner) {
    const int64_t across = patches(p.out_w, p.pad_x, up, down == 2 ? 32 : 64);
    const int64_t rows = patches(p.out_h, p.pad_y, up, up == 2 ? 64 : 32);
    p.total = static_cast<unsigned long long>(n * c * across * rows);
    p.channels = divider(c), p.columns = divider(across), p.rows = divider(rows);
    if (p.total < explorer::narrow_limit) return Resampler::tile;
  }
  p.total = static_cast<unsigned long long>(n * c) * p.out_h * p.out_w;
  p.channels = divider(c), p.columns = divider(p.out_w), p.rows = divider(p.out_h);
  return Resampler::general;
}

Tensor upfirdn2d(
    Tensor x, Tensor f, int64_t up_x, int64_t up_y, int64_t down_x, int64_t down_y, int64_t pad_x0, int64_t pad_x1,
    int64_t pad_y0, int64_t pad_y1, bool flip, double gain) {
  STD_TORCH_CHECK(x.dim() == 4 && f.dim() == 2, "x must be [N, C, H, W] and f [taps_y, taps_x]");
  f = in_sum_type(f, x);
  const int64_t n = x.size(0), c = x.size(1);
  const int taps_x = static_cast<int>(f.size(1)), taps_y = static_cast<int>(f.size(0));
  const int64_t out_h = out_size(x.size(2), taps_y, up_y, down_y, pad_y0, pad_y1);
  const int64_t out_w = out_size(x.size(3), taps_x, up_x, down_x, pad_x0, pad_x1);
  const bool last = channels_last(x);
  Tensor y = last ? torch::stable::permute(torch::stable::new_empty(x, {n, out_h, out_w, c}), {0, 3, 1, 2})
                  : torch::stable::new_empty(x, {n, c, out_h, out_w});
  if (y.numel() == 0) return y;

  explorer::Upfirdn2dParams p{};
  p.x = x.const_data_ptr(), p.f = f.const_data_ptr(), p.y = y.mutable_data_ptr(), p.gain = gain;
  p.stride_n = x.stride(0), p.stride_c = x.stride(1), p.stride_h = x.stride(2), p.stride_w = x.stride(3);
  p.in_h = static_cast<int>(x.size(2)), p.in_w = static_cast<int>(x.size(3));
  p.out_h = static_cast<int>(out_h), p.out_w = static_cast<int>(out_w);
  p.taps_x = taps_x, p.taps_y = taps_y;
  p.up_x = static_cast<int>(up_x), p.up_y = static_cast<int>(up_y);
  p.down_x = static_cast<int>(down_x), p.down_y = static_cast<int>(down_y);
  p.pad_x = static_cast<int>(pad_x0), p.pad_y = static_cast<int>(pad_y0);
  p.flip = flip, p.channels_inner = last;
  const Resampler kernel = plan(p, x, n, c);
  const OnDevice on(x);
  check_launch(explorer::launch_upfirdn2d(p, dtype_of(x), kernel, on.stream));
  return y;
}

// --- filtered_lrelu: the tiles were cut in kernels/tiles.py.

explorer::Picture picture(const Tensor& t, void* at) {
  return {at, t.stride(0), t.stride(1), t.stride(2), t.stride(3), static_cast<int>(t.size(2)), static_cast<int>(t.size(3))};
}

explorer::Sampling sampling(const Tensor& f, int64_t factor, int64_t left, int64_t top, bool flip, double gain) {
  const bool separable = f.dim() == 1;
  return {f.const_data_ptr(), gain, static_cast<int>(f.size(separable ? 0 : 1)), static_cast<int>(f.size(0)),
          static_cast<int>(factor), static_cast<int>(left), static_cast<int>(top), separable, flip};
}

bool designed(const explorer::Sampling& s) { return s.separable && s.taps_x == 6 * s.factor; }

Tensor filtered_lrelu_tiles(
    Tensor x, MaybeTensor v, MaybeTensor b, Tensor f_x, MaybeTensor f_v, Tensor f_y, int64_t up_x, int64_t left_x,
    int64_t top_x, bool flip_x, double gain_x, int64_t up_v, int64_t left_v, int64_t top_v, bool flip_v, double gain_v,
    int64_t down, int64_t left_y, int64_t top_y, bool flip_y, double gain_y, int64_t mid_h, int64_t mid_w, int64_t out_h,
    int64_t out_w, int64_t tile_h, int64_t tile_w, int64_t inputs_at, int64_t lines_at, double gain, double slope,
    double clamp) {
  const int64_t n = x.size(0), c = x.size(1);
  Tensor y = channels_last(x) ? torch::stable::permute(torch::stable::new_empty(x, {n, out_h, out_w, c}), {0, 3, 1, 2})
                              : torch::stable::new_empty(x, {n, c, out_h, out_w});
  if (y.numel() == 0) return y;
  f_x = in_sum_type(f_x, x), f_y = in_sum_type(f_y, x);
  if (f_v) f_v = in_sum_type(*f_v, x);
  if (b) b = in_sum_type(*b, x);

  explorer::FilteredLreluParams p{};
  p.x = picture(x, const_cast<void*>(x.const_data_ptr())), p.y = picture(y, y.mutable_data_ptr());
  p.rise_x = sampling(f_x, up_x, left_x, top_x, flip_x, gain_x), p.fall = sampling(f_y, down, left_y, top_y, flip_y, gain_y);
  if (v && f_v) {
    p.v = picture(*v, const_cast<void*>(v->const_data_ptr()));
    p.rise_v = sampling(*f_v, up_v, left_v, top_v, flip_v, gain_v);
  }
  p.b = data(b), p.alpha = slope, p.gain = gain, p.clamp = clamp;
  p.mid_h = static_cast<int>(mid_h), p.mid_w = static_cast<int>(mid_w);
  p.tile_h = static_cast<int>(tile_h), p.tile_w = static_cast<int>(tile_w);
  p.inputs_at = static_cast<int>(inputs_at), p.lines_at = static_cast<int>(lines_at);
  const int64_t rows = (out_h + tile_h - 1) / tile_h, columns = (out_w + tile_w - 1) / tile_w;
  p.total = static_cast<unsigned long long>(n * c * rows * columns);
  STD_TORCH_CHECK(p.total < explorer::narrow_limit, p.total, " tiles are too many for one launch: take smaller batches");
  p.channels = divider(c), p.rows = divider(rows), p.columns = divider(columns);
  const bool known = designed(p.rise_x) && designed(p.fall) && (up_x == 2 || up_x == 4) && down == 2;
  const OnDevice on(x);
  check_launch(explorer::launch_filtered_lrelu(p, dtype_of(x), known, on.stream));
  return y;
}

}  // namespace

STABLE_TORCH_LIBRARY_IMPL(EXPLORER_NAMESPACE, EXPLORER_KEY, m) {
  m.impl("upfirdn2d", TORCH_BOX(&upfirdn2d));
  m.impl("bias_act", TORCH_BOX(&bias_act));
  m.impl("bias_act_grad", TORCH_BOX(&bias_act_grad));
  m.impl("demod_bias_act", TORCH_BOX(&demod_bias_act));
  m.impl("filtered_lrelu_tiles", TORCH_BOX(&filtered_lrelu_tiles));
}
