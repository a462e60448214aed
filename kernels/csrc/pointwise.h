// bias_act, its gradient and demod_bias_act: one kernel over a dense tensor, one pass over memory.
//
// The tensor is seen in memory order as [outer, middle, inner]. The channel is the middle axis (planar layouts) or the inner
// one (channels_last, or a bias along the last axis); the other of the two is the position the noise depends on.
#pragma once

#include "common.h"

namespace explorer {

struct PointwiseParams {
  const void* x;      // input, or the incoming gradient
  const void* ref;    // gradient only: the output (piecewise linear) or the input (smooth)
  void* y;
  const void* d;      // [outer, channels] or null; d, noise and b are in the type of the sums
  const void* noise;  // [outer or 1, positions] or null
  const void* b;      // [channels] or null
  double alpha, gain, clamp;  // clamp may be infinite
  unsigned long long total;
  unsigned long long noise_stride;  // 0 for one noise image for all, else positions
  Divider middle, inner;
  int channels_inner;
  int act;            // smooth activations only: the numbers of kernels/reference.py
};

template <typename A> EXPLORER_DEVICE A sigmoid(A u) {
  // exp of minus the magnitude cannot overflow.
  const A e = exp(-fabs(u));
  return (u >= 0 ? A(1) : e) / (A(1) + e);
}

// Value and derivative of the smooth activations.
template <typename A> EXPLORER_DEVICE void activate(int act, A u, A& value, A& slope) {
  const A selu_scale = A(1.0507009873554805), selu_alpha = A(1.6732632423543772);
  const A s = sigmoid(u);
  switch (act) {
    case 3: value = tanh(u); slope = A(1) - value * value; break;
    case 4: value = s; slope = s * (A(1) - s); break;
    case 5: value = u > 0 ? u : expm1(u); slope = u > 0 ? A(1) : exp(u); break;
    case 6:
      value = selu_scale * (u > 0 ? u : selu_alpha * expm1(u));
      slope = selu_scale * (u > 0 ? A(1) : selu_alpha * exp(u));
      break;
    case 7: value = (u > 0 ? u : u != u ? u : A(0)) + log1p(exp(-fabs(u))); slope = s; break;
    default: value = u * s; slope = s + value * (A(1) - s); break;
  }
}

// linear (alpha 1), relu (alpha 0) and lrelu. Comparisons are so ordered that NaN passes through; relu of -inf is 0.
template <typename A> EXPLORER_DEVICE A rectify(A u, A alpha) { return u > 0 ? u : u < 0 && alpha == 0 ? A(0) : alpha * u; }

// A clamp that lets NaN pass, unlike min and max.
template <typename A> EXPLORER_DEVICE A limit(A y, A clamp) { return y > clamp ? clamp : y < -clamp ? -clamp : y; }

// Whether the clamp was in the way. Infinity minus itself is NaN: without a clamp nothing is.
template <typename A> EXPLORER_DEVICE bool limited(A y, A clamp) { return fabs(y) >= clamp && clamp - clamp == A(0); }

template <typename T, bool smooth, bool gradient, int width, typename Index> struct Pointwise {
  using Params = PointwiseParams;
  using Shared = NoShared;
  using A = typename Sum<T>::type;
  static constexpr int threads = 256;
  static constexpr bool shares = false;
  static constexpr int items = width;  // elements a thread handles at a time

  static EXPLORER_DEVICE void run(const Params& p, unsigned int block, unsigned int blocks, unsigned int thread, Shared&) {
    const Index step = static_cast<Index>(blocks) * threads * width;
    for (Index i = (static_cast<Index>(block) * threads + thread) * width; i < p.total; i += step) handle(p, i);
  }

  static EXPLORER_DEVICE void handle(const Params& p, Index i) {
    const Index row = quotient(i, p.inner), outer = quotient(row, p.middle);
    const Index in = i - row * p.inner.divisor, mid = row - outer * p.middle.divisor;
    const Index channel = p.channels_inner ? in : mid, position = p.channels_inner ? mid : in;
    const Index channels = p.channels_inner ? p.inner.divisor : p.middle.divisor;

    const Vector<T, width> x = at<T>(p.x, i);
    Vector<T, width> ref = x, y;
    if constexpr (gradient) ref = at<T>(p.ref, i);
    // Along the inner axis a per-channel value is either the same for the whole vector or a vector itself.
    A d[width], shift[width];
    fill(d, p.d, outer * channels + channel, p.channels_inner, A(1));
    fill(shift, p.b, channel, p.channels_inner, A(0));
    if (p.noise) {
      A noise[width];
      fill(noise, p.noise, static_cast<Index>(outer * p.noise_stride + position), !p.channels_inner, A(0));
      for (int k = 0; k < width; ++k) shift[k] += noise[k];
    }
    for (int k = 0; k < width; ++k) store(y.item[k], one(p, load(x.item[k]), load(ref.item[k]), d[k], shift[k]));
    reinterpret_cast<Vector<T, width>*>(static_cast<T*>(p.y) + i)[0] = y;
  }

  template <typename V> static EXPLORER_DEVICE const Vector<V, width>& at(const void* base, Index i) {
    return *reinterpret_cast<const Vector<V, width>*>(static_cast<const V*>(base) + i);
  }

  static EXPLORER_DEVICE void fill(A (&target)[width], const void* base, Index i, bool along, A none) {
    if (!base) {
      for (int k = 0; k < width; ++k) target[k] = none;
    } else if (along) {
      const Vector<A, width> v = at<A>(base, i);
      for (int k = 0; k < width; ++k) target[k] = v.item[k];
    } else {
      const A value = static_cast<const A*>(base)[i];
      for (int k = 0; k < width; ++k) target[k] = value;
    }
  }

  static EXPLORER_DEVICE A one(const Params& p, A x, A ref, A d, A shift) {
    const A alpha = A(p.alpha), gain = A(p.gain), clamp = A(p.clamp);
    if constexpr (!gradient) {
      const A u = x * d + shift;
      if constexpr (!smooth) return limit(gain * rectify(u, alpha), clamp);
      A value, slope;
      activate(p.act, u, value, slope);
      return limit(gain * value, clamp);
    } else if constexpr (!smooth) {
      // The output has the sign of its input and, where clamped, the magnitude of the clamp.
      return limited(ref, clamp) ? A(0) : x * gain * (ref > 0 ? A(1) : alpha);
    } else {
      A value, slope;
      activate(p.act, ref + shift, value, slope);
      return limited(gain * value, clamp) ? A(0) : x * gain * slope;
    }
  }
};

}  // namespace explorer
