// upfirdn2d: y[o] = gain * sum_k f[k] u[o * down + k - pad], u = x with up - 1 zeros after each sample, on both axes.
//
// Only taps that meet a sample are visited: k with (o * down + k - pad) divisible by up. Three kernels: `General` for any
// setting, one thread an output; `Tile` for planar results and `Strip` for channels_last ones, both for one filter size and
// one (up, down) known at compile time, with everything a thread adds up in registers.
#pragma once

#include "common.h"

namespace explorer {

struct Upfirdn2dParams {
  const void* x;
  const void* f;  // [taps_y, taps_x], in the type of the sums
  void* y;        // dense, planar or channels_last
  double gain;
  long long stride_n, stride_c, stride_h, stride_w;  // of x, in elements
  unsigned long long total;  // threads (General, Strip) or blocks (Tile) with work
  int in_h, in_w, out_h, out_w;
  int taps_x, taps_y, up_x, up_y, down_x, down_y, pad_x, pad_y;
  int flip;           // 1: correlate
  int channels_inner; // layout of y
  Divider channels, rows, columns;  // how a thread's or block's number splits up; see each kernel
};

EXPLORER_DEVICE int floor_div(int a, int b) { return a >= 0 ? a / b : -((b - 1 - a) / b); }

// One thread, one output, in the memory order of y. channels, rows, columns divide by C, out_h, out_w.
template <typename T, typename Index> struct UpfirdnGeneral {
  using Params = Upfirdn2dParams;
  using Shared = NoShared;
  using A = typename Sum<T>::type;
  static constexpr int threads = 256;
  static constexpr bool shares = false;
  static constexpr int items = 1;

  static EXPLORER_DEVICE void run(const Params& p, unsigned int block, unsigned int blocks, unsigned int thread, Shared&) {
    const Index step = static_cast<Index>(blocks) * threads;
    for (Index i = static_cast<Index>(block) * threads + thread; i < p.total; i += step) {
      Index n, c, oy, ox;
      if (p.channels_inner) {
        const Index pixel = quotient(i, p.channels), row = quotient(pixel, p.columns);
        n = quotient(row, p.rows);
        c = i - pixel * p.channels.divisor, ox = pixel - row * p.columns.divisor, oy = row - n * p.rows.divisor;
      } else {
        const Index row = quotient(i, p.columns), plane = quotient(row, p.rows);
        n = quotient(plane, p.channels);
        ox = i - row * p.columns.divisor, oy = row - plane * p.rows.divisor, c = plane - n * p.channels.divisor;
      }
      const T* x = static_cast<const T*>(p.x) + static_cast<long long>(n) * p.stride_n + static_cast<long long>(c) * p.stride_c;
      store(static_cast<T*>(p.y)[i], sum(p, x, static_cast<int>(oy), static_cast<int>(ox)));
    }
  }

  static EXPLORER_DEVICE A sum(const Params& p, const T* x, int oy, int ox) {
    const int ty = oy * p.down_y - p.pad_y, tx = ox * p.down_x - p.pad_x;
    const int y0 = ty > 0 ? (ty + p.up_y - 1) / p.up_y : 0, x0 = tx > 0 ? (tx + p.up_x - 1) / p.up_x : 0;
    const A* f = static_cast<const A*>(p.f);
    A total = 0;
    for (int iy = y0, ky = y0 * p.up_y - ty; ky < p.taps_y && iy < p.in_h; ++iy, ky += p.up_y) {
      const A* f_row = f + (p.flip ? ky : p.taps_y - 1 - ky) * p.taps_x;
      const T* x_row = x + static_cast<long long>(iy) * p.stride_h;
      for (int ix = x0, kx = x0 * p.up_x - tx; kx < p.taps_x && ix < p.in_w; ++ix, kx += p.up_x)
        total += f_row[p.flip ? kx : p.taps_x - 1 - kx] * load(x_row[static_cast<long long>(ix) * p.stride_w]);
    }
    return total * static_cast<A>(p.gain);
  }
};

// What Tile and Strip share: a thread's patch of rows x cols outputs, made from a window of inputs row by row.
// Outputs are counted from a corner whose distance to the padding is a multiple of `up`, so that output j and tap k meet
// input (j * down + k) / up, or nothing where that does not divide: all known to the compiler.
template <typename T, int up, int down, int taps, int patch_rows, int patch_cols, int width> struct Patch {
  using A = typename Sum<T>::type;
  static constexpr int rows = patch_rows, cols = patch_cols;
  static EXPLORER_CONSTANT int window(int outputs) { return ((outputs - 1) * down + taps - 1) / up + 1; }
  static constexpr int window_rows = window(patch_rows), window_cols = window(patch_cols);

  A f[taps][taps];
  A sum[patch_rows][patch_cols][width];

  EXPLORER_DEVICE void start(const Upfirdn2dParams& p) {
    const A* f_in = static_cast<const A*>(p.f);
    for (int i = 0; i < taps; ++i)
      for (int j = 0; j < taps; ++j)
        f[i][j] = f_in[p.flip ? i * taps + j : taps * taps - 1 - (i * taps + j)] * static_cast<A>(p.gain);
    for (int r = 0; r < patch_rows; ++r)
      for (int c = 0; c < patch_cols; ++c)
        for (int k = 0; k < width; ++k) sum[r][c][k] = 0;
  }

  EXPLORER_DEVICE void add(int window_row, const A (&x)[window_cols][width]) {
EXPLORER_UNROLL
    for (int r = 0; r < patch_rows; ++r) {
      const int ky = window_row * up - r * down;
      if (ky < 0 || ky >= taps) continue;
EXPLORER_UNROLL
      for (int c = 0; c < patch_cols; ++c)
EXPLORER_UNROLL
        for (int w = 0; w < window_cols; ++w) {
          const int kx = w * up - c * down;
          if (kx < 0 || kx >= taps) continue;
EXPLORER_UNROLL
          for (int k = 0; k < width; ++k) sum[r][c][k] += f[ky][kx] * x[w][k];
        }
    }
  }
};

// The first output of the grid of patches: 0, or -1 where the padding is odd and every second position is a zero.
template <int up> EXPLORER_DEVICE int first_output(int pad) { return -(((pad % up) + up) % up); }

// Planar results. A block makes a tile of 32 * cols by 8 * rows outputs of one plane from a tile of inputs in shared memory.
// rows and columns divide by the tiles down and across; channels by C.
template <typename T, int up, int down, int taps> struct UpfirdnTile {
  using Params = Upfirdn2dParams;
  using A = typename Sum<T>::type;
  // Two neighbours a thread, so that 16-bit results leave in words; one where down = 2 reads two inputs for it anyway.
  using P = Patch<T, up, down, taps, up == 2 ? 8 : 4, down == 2 ? 1 : 2, 1>;
  static constexpr int threads = 256, across = 32, down_threads = threads / across;
  static constexpr bool shares = true;
  static constexpr int items = 1, steps = 2;
  static constexpr int out_w = across * P::cols, out_h = down_threads * P::rows;
  static constexpr int in_w = P::window(out_w), in_h = P::window(out_h), pitch = in_w + (in_w & 1);
  static constexpr int step_x = P::cols * down / up, step_y = P::rows * down / up;  // inputs between two threads' windows
  struct Shared { alignas(16) A x[in_h][pitch]; };
  struct Corner { long long plane, n, c; int oy, ox; };

  template <int number>
  static EXPLORER_DEVICE void step(const Params& p, unsigned int block, unsigned int thread, Shared& shared) {
    if constexpr (number == 0) load_tile(p, block, thread, shared);
    else make_tile(p, block, thread, shared);
  }

  static EXPLORER_DEVICE Corner corner(const Params& p, unsigned int block) {
    const unsigned int row = quotient(block, p.columns), plane = quotient(row, p.rows), n = quotient(plane, p.channels);
    return {plane, n, plane - n * p.channels.divisor,
            static_cast<int>(row - plane * p.rows.divisor) * out_h + first_output<up>(p.pad_y),
            static_cast<int>(block - row * p.columns.divisor) * out_w + first_output<up>(p.pad_x)};
  }

  static EXPLORER_DEVICE void load_tile(const Params& p, unsigned int block, unsigned int thread, Shared& shared) {
    const Corner at = corner(p, block);
    const T* x = static_cast<const T*>(p.x) + at.n * p.stride_n + at.c * p.stride_c;
    const int y0 = floor_div(at.oy * down - p.pad_y, up), x0 = floor_div(at.ox * down - p.pad_x, up);
    for (int i = static_cast<int>(thread); i < in_h * pitch; i += threads) {
      const int ty = i / pitch, tx = i - ty * pitch, iy = y0 + ty, ix = x0 + tx;
      const bool inside = iy >= 0 && iy < p.in_h && ix >= 0 && ix < p.in_w;
      shared.x[ty][tx] = inside ? load(x[iy * p.stride_h + ix * p.stride_w]) : A(0);
    }
  }

  static EXPLORER_DEVICE void make_tile(const Params& p, unsigned int block, unsigned int thread, Shared& shared) {
    const int tx = static_cast<int>(thread % across), ty = static_cast<int>(thread / across);
    P patch;
    patch.start(p);
EXPLORER_UNROLL
    for (int w = 0; w < P::window_rows; ++w) {
      A x[P::window_cols][1];
      read_row(&shared.x[ty * step_y + w][tx * step_x], x);
      patch.add(w, x);
    }
    write(p, corner(p, block), tx, ty, patch);
  }

  // Windows an even number of inputs apart are read in pairs: no two threads of a warp then wait for the same bank.
  static EXPLORER_DEVICE void read_row(const A* from, A (&x)[P::window_cols][1]) {
    if constexpr (step_x % 2 == 0) {
EXPLORER_UNROLL
      for (int w = 0; w < P::window_cols; w += 2) {
        const Vector<A, 2> pair = *reinterpret_cast<const Vector<A, 2>*>(from + w);
        x[w][0] = pair.item[0];
        if (w + 1 < P::window_cols) x[w + 1][0] = pair.item[1];
      }
    } else {
EXPLORER_UNROLL
      for (int w = 0; w < P::window_cols; ++w) x[w][0] = from[w];
    }
  }

  static EXPLORER_DEVICE void write(const Params& p, const Corner& at, int tx, int ty, const P& patch) {
    const int ox = at.ox + tx * P::cols;
    const bool pairs = P::cols == 2 && ox >= 0 && ox % 2 == 0 && p.out_w % 2 == 0;
EXPLORER_UNROLL
    for (int r = 0; r < P::rows; ++r) {
      const int oy = at.oy + ty * P::rows + r;
      if (oy < 0 || oy >= p.out_h) continue;
      T* y = static_cast<T*>(p.y) + (at.plane * p.out_h + oy) * p.out_w + ox;
      if (pairs && ox < p.out_w) {
        Vector<T, 2> pair;
        store(pair.item[0], patch.sum[r][0][0]);
        store(pair.item[1], patch.sum[r][P::cols - 1][0]);
        *reinterpret_cast<Vector<T, 2>*>(y) = pair;
      } else {
        for (int c = 0; c < P::cols; ++c)
          if (ox + c >= 0 && ox + c < p.out_w) store(y[c], patch.sum[r][c][0]);
      }
    }
  }
};

// channels_last results. A thread makes a patch of `up` columns by 4 rows for 16 bytes of channels; neighbours find each
// other's inputs in the cache. channels divides by vectors a pixel, columns and rows by patches across and down.
template <typename T, int up, int down, int taps> struct UpfirdnStrip {
  using Params = Upfirdn2dParams;
  using Shared = NoShared;
  using A = typename Sum<T>::type;
  static constexpr int width = 16 / sizeof(T);
  using P = Patch<T, up, down, taps, 4, up, width>;
  static constexpr int threads = 128;
  static constexpr bool shares = false;
  static constexpr int items = 1;

  static EXPLORER_DEVICE void run(const Params& p, unsigned int block, unsigned int, unsigned int thread, Shared&) {
    const unsigned int i = block * threads + thread;
    if (i >= p.total) return;
    const unsigned int patch_at = quotient(i, p.channels), row = quotient(patch_at, p.columns), n = quotient(row, p.rows);
    const int c = static_cast<int>(i - patch_at * p.channels.divisor) * width;
    const int ox = static_cast<int>(patch_at - row * p.columns.divisor) * P::cols + first_output<up>(p.pad_x);
    const int oy = static_cast<int>(row - n * p.rows.divisor) * P::rows + first_output<up>(p.pad_y);
    const int x0 = floor_div(ox * down - p.pad_x, up), y0 = floor_div(oy * down - p.pad_y, up);
    const T* x = static_cast<const T*>(p.x) + n * p.stride_n + c;

    P patch;
    patch.start(p);
EXPLORER_UNROLL
    for (int w = 0; w < P::window_rows; ++w) {
      A window[P::window_cols][width];
EXPLORER_UNROLL
      for (int v = 0; v < P::window_cols; ++v) {
        const int iy = y0 + w, ix = x0 + v;
        const bool inside = iy >= 0 && iy < p.in_h && ix >= 0 && ix < p.in_w;
        Vector<T, width> item = {};
        if (inside) item = *reinterpret_cast<const Vector<T, width>*>(x + iy * p.stride_h + ix * p.stride_w);
EXPLORER_UNROLL
        for (int k = 0; k < width; ++k) window[v][k] = load(item.item[k]);
      }
      patch.add(w, window);
    }
    write(p, n, oy, ox, c, patch);
  }

  static EXPLORER_DEVICE void write(const Params& p, long long n, int oy, int ox, int c, const P& patch) {
    const long long channels = static_cast<long long>(p.channels.divisor) * width;
EXPLORER_UNROLL
    for (int r = 0; r < P::rows; ++r)
EXPLORER_UNROLL
      for (int q = 0; q < P::cols; ++q) {
        if (oy + r < 0 || oy + r >= p.out_h || ox + q < 0 || ox + q >= p.out_w) continue;
        Vector<T, width> item;
        for (int k = 0; k < width; ++k) store(item.item[k], patch.sum[r][q][k]);
        T* y = static_cast<T*>(p.y) + ((n * p.out_h + oy + r) * p.out_w + ox + q) * channels + c;
        *reinterpret_cast<Vector<T, width>*>(y) = item;
      }
  }
};

}  // namespace explorer
