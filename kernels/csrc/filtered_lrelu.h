// filtered_lrelu and its gradient: a block makes a tile of outputs of one plane, and all between stays in shared memory.
//
// Every case is y = fall(s(rise_x(x + b)) * rise_v(v)): forward there is no v and s is the rectifier with gain and clamp; for
// the derivative and its adjoint s are the slopes, which are found anew from x, since storing them would cost more memory
// traffic than the few sums that they take. In the adjoint rise_v is the adjoint of the down-sampling and fall that of the
// up-sampling. Filters are separable or of two dimensions.
#pragma once

#include "common.h"
#include "pointwise.h"

namespace explorer {

// Up-sampling (rise) or down-sampling (fall) by `factor` on both axes: u[i] = gain * sum_k f[k] z[i + k - pad].
struct Sampling {
  const void* f;  // [taps_y, taps_x], or [taps] for both axes; in the type of the sums
  double gain;
  int taps_x, taps_y, factor, pad_x, pad_y;
  int separable;
  int flip;  // 1: correlate
};

struct Picture {
  void* data;
  long long stride_n, stride_c, stride_h, stride_w;  // in elements
  int height, width;
};

struct FilteredLreluParams {
  Picture x, v, y;  // v without data: forward
  const void* b;    // [channels] or null
  Sampling rise_x, rise_v, fall;
  double alpha, gain, clamp;
  unsigned long long total;  // blocks
  int mid_h, mid_w;          // of the up-sampled plane
  int tile_h, tile_w;        // outputs of a block
  int inputs_at, lines_at;   // where in shared memory the input and the half-sampled tile lie, after the up-sampled one
  Divider channels, rows, columns;  // C, tiles down and across
};

// `up` and `down` are known at compile time together with 6 taps a step, as StyleGAN3 designs them, or 0: any.
template <typename T, int up, int down> struct FilteredLrelu {
  using Params = FilteredLreluParams;
  using A = typename Sum<T>::type;
  static constexpr int threads = 256, across = 32, along = threads / across;
  static constexpr bool shares = true;
  static constexpr int items = 1, steps = 8;
  static constexpr int capacity = 49152 / sizeof(A);
  struct Shared { A pool[capacity]; };
  // Where a block is: its plane, its first output, and the up-sampled region that its outputs look at.
  struct Place { long long n, c; int out_y, out_x, mid_y, mid_x, mid_h, mid_w; };
  // The samples along one axis that a region of the up-sampled plane looks at.
  struct Reads { int first, count; };

  static EXPLORER_DEVICE Place place(const Params& p, unsigned int block) {
    const unsigned int row = quotient(block, p.columns), plane = quotient(row, p.rows), n = quotient(plane, p.channels);
    const int factor = down ? down : p.fall.factor;
    const int taps_x = down ? 6 * down : p.fall.taps_x, taps_y = down ? 6 * down : p.fall.taps_y;
    const int oy = static_cast<int>(row - plane * p.rows.divisor) * p.tile_h;
    const int ox = static_cast<int>(block - row * p.columns.divisor) * p.tile_w;
    return {n, plane - n * p.channels.divisor, oy, ox, oy * factor - p.fall.pad_y, ox * factor - p.fall.pad_x,
            (p.tile_h - 1) * factor + taps_y, (p.tile_w - 1) * factor + taps_x};
  }

  static EXPLORER_DEVICE int ceil_div(int a, int b) { return a >= 0 ? (a + b - 1) / b : -(-a / b); }

  static EXPLORER_DEVICE Reads reads(int start, int size, int taps, int factor, int pad) {
    return {ceil_div(start - pad, factor), (size + taps - 2) / factor + 1};
  }

  template <int known> static EXPLORER_DEVICE int factor_of(const Sampling& s) { return known ? known : s.factor; }
  template <int known> static EXPLORER_DEVICE int taps_x_of(const Sampling& s) { return known ? 6 * known : s.taps_x; }
  template <int known> static EXPLORER_DEVICE int taps_y_of(const Sampling& s) { return known ? 6 * known : s.taps_y; }
  template <int known> static EXPLORER_DEVICE bool separable(const Sampling& s) { return known || s.separable; }

  template <int number>
  static EXPLORER_DEVICE void step(const Params& p, unsigned int block, unsigned int thread, Shared& shared) {
    const int tx = static_cast<int>(thread % across), ty = static_cast<int>(thread / across);
    const Place at = place(p, block);
    A* mid = shared.pool;
    A* inputs = shared.pool + p.inputs_at;
    A* lines = shared.pool + p.lines_at;
    if constexpr (number == 0) load_tile<up>(p, p.x, p.rise_x, static_cast<const A*>(p.b), at, tx, ty, inputs);
    if constexpr (number == 1) rise_lines<up>(p.rise_x, at, tx, ty, inputs, lines);
    if constexpr (number == 2) rise_mid<up, true>(p, p.rise_x, at, tx, ty, inputs, lines, mid);
    if (p.v.data) {
      if constexpr (number == 3) load_tile<0>(p, p.v, p.rise_v, nullptr, at, tx, ty, inputs);
      if constexpr (number == 4) rise_lines<0>(p.rise_v, at, tx, ty, inputs, lines);
      if constexpr (number == 5) rise_mid<0, false>(p, p.rise_v, at, tx, ty, inputs, lines, mid);
    }
    if constexpr (number == 6) fall_lines(p, at, tx, ty, mid, lines);
    if constexpr (number == 7) fall(p, at, tx, ty, mid, lines);
  }

  template <int known>
  static EXPLORER_DEVICE void load_tile(
      const Params&, const Picture& from, const Sampling& s, const A* b, const Place& at, int tx, int ty, A* to) {
    const Reads x = reads(at.mid_x, at.mid_w, taps_x_of<known>(s), factor_of<known>(s), s.pad_x);
    const Reads y = reads(at.mid_y, at.mid_h, taps_y_of<known>(s), factor_of<known>(s), s.pad_y);
    const T* plane = static_cast<const T*>(from.data) + at.n * from.stride_n + at.c * from.stride_c;
    const A shift = b ? b[at.c] : A(0);
    for (int r = ty; r < y.count; r += along)
      for (int c = tx; c < x.count; c += across) {
        const int iy = y.first + r, ix = x.first + c;
        const bool inside = iy >= 0 && iy < from.height && ix >= 0 && ix < from.width;
        to[r * x.count + c] = inside ? load(plane[iy * from.stride_h + ix * from.stride_w]) + shift : A(0);
      }
  }

  // One sample of the finer grid from a line of samples `pitch` apart, of which the first is number `first`.
  static EXPLORER_DEVICE A rise(
      const A* from, int pitch, int first, const A* f, int taps, int factor, int pad, bool flip, int i) {
    int k = (pad - i) % factor;
    if (k < 0) k += factor;
    const A* sample = from + ((i + k - pad) / factor - first) * pitch;
    A total = 0;
    for (; k < taps; k += factor, sample += pitch) total += f[flip ? k : taps - 1 - k] * *sample;
    return total;
  }

  template <int known>
  static EXPLORER_DEVICE void rise_lines(const Sampling& s, const Place& at, int tx, int ty, const A* inputs, A* lines) {
    if (!separable<known>(s)) return;
    const Reads x = reads(at.mid_x, at.mid_w, taps_x_of<known>(s), factor_of<known>(s), s.pad_x);
    const Reads y = reads(at.mid_y, at.mid_h, taps_y_of<known>(s), factor_of<known>(s), s.pad_y);
    const A* f = static_cast<const A*>(s.f);
    for (int r = ty; r < y.count; r += along)
      for (int c = tx; c < at.mid_w; c += across)
        lines[r * at.mid_w + c] = rise(
            inputs + r * x.count, 1, x.first, f, taps_x_of<known>(s), factor_of<known>(s), s.pad_x, s.flip, at.mid_x + c);
  }

  // The up-sampled tile: rectified, or the slopes; or what is there already times this. Beyond the plane it is not needed.
  template <int known, bool first_time>
  static EXPLORER_DEVICE void rise_mid(
      const Params& p, const Sampling& s, const Place& at, int tx, int ty, const A* inputs, const A* lines, A* mid) {
    const Reads x = reads(at.mid_x, at.mid_w, taps_x_of<known>(s), factor_of<known>(s), s.pad_x);
    const Reads y = reads(at.mid_y, at.mid_h, taps_y_of<known>(s), factor_of<known>(s), s.pad_y);
    const A* f = static_cast<const A*>(s.f);
    for (int r = ty; r < at.mid_h; r += along)
      for (int c = tx; c < at.mid_w; c += across) {
        const int iy = at.mid_y + r, ix = at.mid_x + c;
        A u = 0;
        if (iy >= 0 && iy < p.mid_h && ix >= 0 && ix < p.mid_w) {
          if (separable<known>(s))
            u = rise(lines + c, at.mid_w, y.first, f, taps_y_of<known>(s), factor_of<known>(s), s.pad_y, s.flip, iy);
          else
            u = rise_both(inputs, x, y, f, s, iy, ix);
          u *= static_cast<A>(s.gain);
          if constexpr (first_time) u = p.v.data ? slope(p, u) : limit(A(p.gain) * rectify(u, A(p.alpha)), A(p.clamp));
        }
        A& target = mid[r * at.mid_w + c];
        target = first_time ? u : target * u;
      }
  }

  static EXPLORER_DEVICE A rise_both(
      const A* inputs, const Reads& x, const Reads& y, const A* f, const Sampling& s, int iy, int ix) {
    int k = (s.pad_y - iy) % s.factor;
    if (k < 0) k += s.factor;
    const A* line = inputs + ((iy + k - s.pad_y) / s.factor - y.first) * x.count;
    A total = 0;
    for (; k < s.taps_y; k += s.factor, line += x.count)
      total += rise(line, 1, x.first, f + (s.flip ? k : s.taps_y - 1 - k) * s.taps_x, s.taps_x, s.factor, s.pad_x, s.flip, ix);
    return total;
  }

  static EXPLORER_DEVICE A slope(const Params& p, A u) {
    const A slope = A(p.gain) * (u > 0 ? A(1) : A(p.alpha));
    return limited(u * slope, A(p.clamp)) ? A(0) : slope;
  }

  static EXPLORER_DEVICE void fall_lines(const Params& p, const Place& at, int tx, int ty, const A* mid, A* lines) {
    if (!separable<down>(p.fall)) return;
    const int taps = taps_x_of<down>(p.fall), factor = factor_of<down>(p.fall);
    for (int r = ty; r < at.mid_h; r += along)
      for (int c = tx; c < p.tile_w; c += across)
        lines[r * p.tile_w + c] = sum(mid + r * at.mid_w + c * factor, 1, static_cast<const A*>(p.fall.f), taps, p.fall.flip);
  }

  static EXPLORER_DEVICE A sum(const A* from, int pitch, const A* f, int taps, bool flip) {
    A total = 0;
EXPLORER_UNROLL
    for (int k = 0; k < taps; ++k) total += f[flip ? k : taps - 1 - k] * from[k * pitch];
    return total;
  }

  static EXPLORER_DEVICE void fall(const Params& p, const Place& at, int tx, int ty, const A* mid, const A* lines) {
    const int taps = taps_y_of<down>(p.fall), factor = factor_of<down>(p.fall);
    const A* f = static_cast<const A*>(p.fall.f);
    T* plane = static_cast<T*>(p.y.data) + at.n * p.y.stride_n + at.c * p.y.stride_c;
    for (int r = ty; r < p.tile_h && at.out_y + r < p.y.height; r += along)
      for (int c = tx; c < p.tile_w && at.out_x + c < p.y.width; c += across) {
        A total = 0;
        if (separable<down>(p.fall)) {
          total = sum(lines + r * factor * p.tile_w + c, p.tile_w, f, taps, p.fall.flip);
        } else {
          for (int k = 0; k < taps; ++k)
            total += sum(mid + (r * factor + k) * at.mid_w + c * factor, 1,
                         f + (p.fall.flip ? k : taps - 1 - k) * p.fall.taps_x, p.fall.taps_x, p.fall.flip);
        }
        store(plane[(at.out_y + r) * p.y.stride_h + (at.out_x + c) * p.y.stride_w], total * static_cast<A>(p.fall.gain));
      }
  }
};

}  // namespace explorer
