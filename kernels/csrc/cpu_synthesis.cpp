// One pass over memory for everything StyleGAN2 does between two convolutions, on a CPU, channels last.
//
//   v   = FIR(raw)                      only after a transposed convolution (h = H + 1): 4-tap low-pass an axis
//   v   = lrelu(v * demod + noise + bias), clamped
//   out = v * scale                     the modulation of the *next* convolution
//   rgb = up(rgb_prev) + clamp(sum_c rgb_weight * v + rgb_bias)
//
// Gains (sqrt(2) of the activation, 2 x 2 of the FIR) are folded into demod, noise, bias and taps by the caller: leaky
// ReLU is positively homogeneous. Arithmetic is float32, storage float32 or bfloat16. Written with the vector types that
// GCC and Clang share, 16 channels at a time, so that one source serves AVX-512, AVX2 and NEON. The threads are torch's
// own: a second OpenMP pool on the same cores costs far more than it gains.

#include <torch/csrc/stable/library.h>
#include <torch/csrc/stable/ops.h>
#include <torch/csrc/stable/tensor.h>

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <optional>
#include <vector>
#ifdef __AVX512BF16__
#include <immintrin.h>
#endif

using torch::stable::Tensor;

namespace {

constexpr int kLanes = 16;
constexpr int kMaxColors = 4;
constexpr int kTile = 32;                // pixels whose colour sums stay in the first-level cache
constexpr int64_t kGrainFloats = 32768;  // less work than this is not worth a second thread

typedef float Vec __attribute__((vector_size(64)));
typedef uint32_t Bits __attribute__((vector_size(64)));
typedef uint16_t Half __attribute__((vector_size(32)));

struct BFloat16 {
  uint16_t bits;
};

inline Vec load(const float* p) {
  Vec v;
  std::memcpy(&v, p, sizeof v);
  return v;
}
inline Vec load(const BFloat16* p) {
  Half h;
  std::memcpy(&h, p, sizeof h);
  return (Vec)(__builtin_convertvector(h, Bits) << 16);
}
inline void store(float* p, Vec v) { std::memcpy(p, &v, sizeof v); }
inline void store(BFloat16* p, Vec v) {  // round to nearest even; NaN stays NaN
#ifdef __AVX512BF16__
  const __m256bh h = _mm512_cvtneps_pbh((__m512)v);
#else
  const Bits b = (Bits)v, rounded = (b + 0x7fffu + ((b >> 16) & 1u)) >> 16;
  const Half h = __builtin_convertvector(v == v ? rounded : (Bits{} + 0x7fc0u), Half);
#endif
  std::memcpy(p, &h, 32);
}

#if defined(__clang__) || __GNUC__ >= 12
#define SHUFFLE(a, b, ...) __builtin_shufflevector(a, b, __VA_ARGS__)
#else
typedef int32_t Lanes __attribute__((vector_size(64)));
#define SHUFFLE(a, b, ...) __builtin_shuffle(a, b, (Lanes){__VA_ARGS__})
#endif

// Sums of 16 vectors as one vector: four rounds of additions, each interleaving pairs in runs of 1, 2, 4, 8 lanes.
inline Vec sums(Vec* v) {
  for (int i = 0; i < 8; ++i) {
    const Vec a = v[2 * i], b = v[2 * i + 1];
    v[i] = SHUFFLE(a, b, 0, 16, 2, 18, 4, 20, 6, 22, 8, 24, 10, 26, 12, 28, 14, 30) +
           SHUFFLE(a, b, 1, 17, 3, 19, 5, 21, 7, 23, 9, 25, 11, 27, 13, 29, 15, 31);
  }
  for (int i = 0; i < 4; ++i) {
    const Vec a = v[2 * i], b = v[2 * i + 1];
    v[i] = SHUFFLE(a, b, 0, 1, 16, 17, 4, 5, 20, 21, 8, 9, 24, 25, 12, 13, 28, 29) +
           SHUFFLE(a, b, 2, 3, 18, 19, 6, 7, 22, 23, 10, 11, 26, 27, 14, 15, 30, 31);
  }
  for (int i = 0; i < 2; ++i) {
    const Vec a = v[2 * i], b = v[2 * i + 1];
    v[i] = SHUFFLE(a, b, 0, 1, 2, 3, 16, 17, 18, 19, 8, 9, 10, 11, 24, 25, 26, 27) +
           SHUFFLE(a, b, 4, 5, 6, 7, 20, 21, 22, 23, 12, 13, 14, 15, 28, 29, 30, 31);
  }
  const Vec a = v[0], b = v[1];
  return SHUFFLE(a, b, 0, 1, 2, 3, 4, 5, 6, 7, 16, 17, 18, 19, 20, 21, 22, 23) +
         SHUFFLE(a, b, 8, 9, 10, 11, 12, 13, 14, 15, 24, 25, 26, 27, 28, 29, 30, 31);
}

struct Args {
  const void* raw;
  void* out;
  float* rgb;
  const float *demod, *bias, *noise, *scale, *rgb_prev, *rgb_weight, *rgb_bias, *taps;
  int64_t N, C, H, W, colors;
  int64_t noise_stride;  // 0 where one noise image serves the whole batch
  bool fir;
  float slope, clamp;
};

// One row of one image, by tiles of pixels and 16 channels of them at a time.
template <class T>
struct Row {
  const Args& a;
  int64_t n, row;
  const T* lines[4];  // with `fir` the four input rows under the filter, else the row itself
  const float* noise;
  Vec partial[kMaxColors][kTile];

  // The filter's column sum at input column x, channels c and on. A convolution, so the taps are flipped.
  Vec column(int64_t x, int64_t c) const {
    if (x < 0 || x > a.W) return Vec{};
    const int64_t at = x * a.C + c;
    return a.taps[3] * load(lines[0] + at) + a.taps[2] * load(lines[1] + at) + a.taps[1] * load(lines[2] + at) +
           a.taps[0] * load(lines[3] + at);
  }

  template <bool kFir, int kColors>
  void channels(int64_t c, int64_t x0, int64_t width) {
    const Vec demod = load(a.demod + n * a.C + c), scale = load(a.scale + n * a.C + c), bias = load(a.bias + c);
    Vec weight[kMaxColors];
    for (int k = 0; k < kColors; ++k) weight[k] = load(a.rgb_weight + (n * kColors + k) * a.C + c);
    T* out = a.out ? static_cast<T*>(a.out) + ((n * a.H + row) * a.W + x0) * a.C + c : nullptr;
    Vec c0, c1, c2;
    if (kFir) c0 = column(x0 - 1, c), c1 = column(x0, c), c2 = column(x0 + 1, c);
    for (int64_t x = 0; x < width; ++x) {
      Vec v;
      if (kFir) {
        const Vec c3 = column(x0 + x + 2, c);
        v = a.taps[3] * c0 + a.taps[2] * c1 + a.taps[1] * c2 + a.taps[0] * c3;
        c0 = c1, c1 = c2, c2 = c3;
      } else {
        v = load(lines[0] + (x0 + x) * a.C + c);
      }
      v = v * demod + (bias + (noise ? noise[x0 + x] : 0.f));
      const Vec low = v * a.slope;  // slope <= 1, so the larger one is the leaky ReLU
      v = v > low ? v : low;
      v = v > a.clamp ? Vec{} + a.clamp : v;
      v = v < -a.clamp ? Vec{} - a.clamp : v;
      if (out) store(out + x * a.C, v * scale);
      for (int k = 0; k < kColors; ++k) partial[k][x] += weight[k] * v;
    }
  }

  template <bool kFir, int kColors>
  void run() {
    for (int64_t x0 = 0; x0 < a.W; x0 += kTile) {
      const int64_t width = std::min<int64_t>(kTile, a.W - x0);
      for (int k = 0; k < kColors; ++k) std::fill_n(partial[k], kTile, Vec{});
      for (int64_t c = 0; c < a.C; c += kLanes) channels<kFir, kColors>(c, x0, width);
      for (int k = 0; k < kColors; ++k)
        for (int64_t x = 0; x < width; x += kLanes) {
          Vec v = sums(partial[k] + x) + a.rgb_bias[k];
          v = v > a.clamp ? Vec{} + a.clamp : v;
          v = v < -a.clamp ? Vec{} - a.clamp : v;
          float* line = a.rgb + ((n * kColors + k) * a.H + row) * a.W + x0 + x;
          std::memcpy(line, &v, sizeof(float) * size_t(std::min<int64_t>(kLanes, width - x)));
        }
    }
  }

  template <bool kFir>
  void run_colors() {
    switch (a.rgb ? a.colors : 0) {
      case 0: return run<kFir, 0>();
      case 1: return run<kFir, 1>();
      case 2: return run<kFir, 2>();
      case 3: return run<kFir, 3>();
      case 4: return run<kFir, 4>();
    }
  }
};

// One row of the up-sampled picture so far: zero-insertion x2 and the 4-tap FIR, that is two taps per axis and phase.
// Output 2i takes pixels i-1 and i with taps 3 and 1, output 2i+1 takes i and i+1 with taps 2 and 0.
void add_upsampled(const Args& a, int64_t n, int64_t k, int64_t row) {
  const int64_t h = a.H / 2, w = a.W / 2, y0 = (row + 1) / 2 - 1;
  float* line = a.rgb + ((n * a.colors + k) * a.H + row) * a.W;
  const float* image = a.rgb_prev + (n * a.colors + k) * h * w;
  for (int dy = 0; dy < 2; ++dy) {
    const int64_t y = y0 + dy;
    if (y < 0 || y >= h) continue;
    const float* src = image + y * w;
    const float ty = a.taps[(row & 1 ? 2 : 3) - 2 * dy];
    const float t0 = ty * a.taps[0], t1 = ty * a.taps[1], t2 = ty * a.taps[2], t3 = ty * a.taps[3];
    line[0] += t1 * src[0];
    for (int64_t x = 1; x < w; ++x) {
      line[2 * x - 1] += t2 * src[x - 1] + t0 * src[x];
      line[2 * x] += t3 * src[x - 1] + t1 * src[x];
    }
    line[2 * w - 1] += t2 * src[w - 1];
  }
}

template <class T>
void rows(const Args& a, int64_t begin, int64_t end) {
  const int64_t w = a.W + a.fir, h = a.H + a.fir;
  const std::vector<T> zeros(a.fir ? size_t(w * a.C) : 0);
  for (int64_t i = begin; i < end; ++i) {
    const int64_t n = i / a.H, row = i % a.H;
    const T* image = static_cast<const T*>(a.raw) + n * h * w * a.C;
    Row<T> r{a, n, row, {}, a.noise ? a.noise + n * a.noise_stride + row * a.W : nullptr, {}};
    if (a.fir) {
      for (int64_t j = 0, y = row - 1; j < 4; ++j, ++y) r.lines[j] = y < 0 || y >= h ? zeros.data() : image + y * w * a.C;
      r.template run_colors<true>();
    } else {
      r.lines[0] = image + row * w * a.C;
      r.template run_colors<false>();
    }
    if (a.rgb && a.rgb_prev)
      for (int64_t k = 0; k < a.colors; ++k) add_upsampled(a, n, k, row);
  }
}

const float* floats(const std::optional<Tensor>& tensor) {
  return tensor ? static_cast<const float*>(tensor->const_data_ptr()) : nullptr;
}

// Shapes, types and layouts are checked by the Python caller (kernels/synthesis.py).
void synthesis_epilogue(
    const Tensor raw,                        // [N, C, h, w] channels last, C a multiple of 16; h = H + 1 with `fir`
    const Tensor demod,                      // [N, C]
    const Tensor bias,                       // [C]
    const std::optional<Tensor> noise,       // [1 or N, H, W]
    const std::optional<Tensor> out,         // [N, C, H, W] channels last, written
    const Tensor scale,                      // [N, C]
    const std::optional<Tensor> rgb,         // [N, K, H, W] contiguous, written
    const std::optional<Tensor> rgb_prev,    // [N, K, H / 2, W / 2]
    const std::optional<Tensor> rgb_weight,  // [N, K, C]
    const std::optional<Tensor> rgb_bias,    // [K]
    const Tensor taps,                       // [4]
    bool fir, double slope, double clamp) {
  Args a{};
  a.raw = raw.const_data_ptr();
  a.out = out ? out->mutable_data_ptr() : nullptr;
  a.rgb = rgb ? static_cast<float*>(rgb->mutable_data_ptr()) : nullptr;
  a.demod = floats(demod), a.bias = floats(bias), a.noise = floats(noise), a.scale = floats(scale);
  a.rgb_prev = floats(rgb_prev), a.rgb_weight = floats(rgb_weight), a.rgb_bias = floats(rgb_bias), a.taps = floats(taps);
  a.N = raw.size(0), a.C = raw.size(1), a.H = raw.size(2) - fir, a.W = raw.size(3) - fir;
  a.colors = rgb ? rgb->size(1) : 0;
  a.noise_stride = noise && noise->size(0) > 1 ? a.H * a.W : 0;
  a.fir = fir, a.slope = float(slope), a.clamp = float(clamp);
  const int64_t grain = std::max<int64_t>(kGrainFloats / std::max<int64_t>(a.W * a.C, 1), 1);
  const bool half = raw.element_size() == 2;
  torch::stable::parallel_for(0, a.N * a.H, grain, [&](int64_t begin, int64_t end) {
    half ? rows<BFloat16>(a, begin, end) : rows<float>(a, begin, end);
  });
}

}  // namespace

STABLE_TORCH_LIBRARY_FRAGMENT(explorer_cpu, m) {
  m.def(
      "synthesis_epilogue(Tensor raw, Tensor demod, Tensor bias, Tensor? noise, Tensor(a!)? out, Tensor scale, "
      "Tensor(b!)? rgb, Tensor? rgb_prev, Tensor? rgb_weight, Tensor? rgb_bias, Tensor taps, bool fir, float slope, "
      "float clamp) -> ()");
}

STABLE_TORCH_LIBRARY_IMPL(explorer_cpu, CPU, m) { m.impl("synthesis_epilogue", TORCH_BOX(&synthesis_epilogue)); }
