// Products of rows with packed weights. A convolution over channels-last rows is such a product:
// window t is the `kernel * channels` floats from row `t * stride` on, so windows overlap in
// memory and nothing is copied. So is a transposed convolution of kernel 2s: the window is two
// rows, and the product's columns are the s output rows side by side.
//
// Each element is one chain of fused multiply-adds in the order of the window, in any tile: results
// do not depend on how rows are cut into calls. With bfloat16 it is a chain of products of pairs.
#pragma once

#include <vector>

#include "buffer.h"
#include "stored.h"

struct Panel {
    int columns;  // at most PANEL
    int group;    // index among the output rows side by side
    int column;   // the first column in the group
    size_t weights, biases;
};

// Weights `[groups * columns, depth]` and their bias, cut into panels `[depth][PANEL]`, or
// `[depth / 2][PANEL][2]` if places are multiplied in pairs.
template <class T>
class Packed {
  public:
    Packed() = default;
    // `at(n, k)` gives the weight of column n (over all groups) at place k of the window.
    template <class At>
    Packed(int depth, int columns, int groups, const float* bias, At at) : depth(depth) {
        constexpr int TOGETHER = Stored<T>::TOGETHER;
        const int padded_depth = (depth + TOGETHER - 1) / TOGETHER * TOGETHER;
        size_t weights = 0, biases = 0;
        for (int g = 0; g < groups; g++)
            for (int c = 0; c < columns; c += PANEL) {
                const int width = columns - c < PANEL ? columns - c : PANEL;
                panels.push_back({width, g, c, weights, biases});
                const int vectors = (width + LANES - 1) / LANES;
                weights += static_cast<size_t>(padded_depth) * vectors * LANES;
                biases += vectors * LANES;
            }
        weights_.resize(weights);
        biases_.resize(biases);
        for (const Panel& panel : panels) {
            const int padded = (panel.columns + LANES - 1) / LANES * LANES;
            for (int j = 0; j < panel.columns; j++) {
                const int n = panel.group * columns + panel.column + j;
                biases_.get()[panel.biases + j] = bias ? bias[panel.column + j] : 0.0f;
                T* to = weights_.get() + panel.weights;
                for (int k = 0; k < depth; k++)
                    to[(static_cast<size_t>(k / TOGETHER) * padded + j) * TOGETHER +
                       k % TOGETHER] = T(at(n, k));
            }
        }
    }
    const T* weights(const Panel& panel) const { return weights_.get() + panel.weights; }
    const float* biases(const Panel& panel) const { return biases_.get() + panel.biases; }

    int depth = 0;
    std::vector<Panel> panels;

  private:
    Buffer<T> weights_;
    Floats biases_;
};

// Where a product's element of row m, group g and column c goes: data + m row + g group + c.
template <class T>
struct Target {
    T* data = nullptr;
    ptrdiff_t row = 0, group = 0;
};

// Sum and sum of squares of everything a product writes, in float for a tile and double beyond.
struct Moments {
    double sum = 0, squares = 0;
};

template <class T>
struct Output {
    Target<T> raw;        // unchanged, if data is set
    Target<T> activated;  // after ELU, if data is set
    Moments* moments = nullptr;
};

template <class Out, int VECTORS>
struct TileTarget {
    Out *raw, *activated;
    ptrdiff_t raw_row, activated_row;
    int columns;
    Vec *sums, *squares;
};

template <bool FULL, class Out, int VECTORS>
static INLINE void finish_row(const TileTarget<Out, VECTORS>& out, int row, const Vec* values) {
    UNROLL for (int j = 0; j < VECTORS; j++) {
        const int count = FULL ? LANES : out.columns - j * LANES;
        Vec v = values[j];
        if (out.raw) store_some(out.raw + row * out.raw_row + j * LANES, v, count);
        if (out.sums) {  // columns beyond the last are 0
            out.sums[j] += v;
            out.squares[j] += v * v;
        }
        if (out.activated)
            store_some(out.activated + row * out.activated_row + j * LANES,
                       Stored<Out>::activated(v), count);
    }
}

template <int ROWS, bool FULL, class T, class Out, int VECTORS>
static __attribute__((noinline)) void tile(const T* __restrict a, ptrdiff_t stride,
                                           const T* __restrict weights,
                                           const float* __restrict bias, int depth,
                                           const TileTarget<Out, VECTORS>& out) {
    constexpr int TOGETHER = Stored<T>::TOGETHER;
    Vec acc[ROWS][VECTORS];
    UNROLL for (int j = 0; j < VECTORS; j++) {
        const Vec start = load(bias + j * LANES);
        UNROLL for (int r = 0; r < ROWS; r++) acc[r][j] = start;
    }
    for (int k = 0; k + TOGETHER <= depth; k += TOGETHER) {
        typename Stored<T>::Weights w[VECTORS];
        UNROLL for (int j = 0; j < VECTORS; j++)
            w[j] = Stored<T>::weights(weights + j * LANES * TOGETHER);
        weights += VECTORS * LANES * TOGETHER;
        UNROLL for (int r = 0; r < ROWS; r++) {
            const auto x = Stored<T>::places(a + r * stride + k);
            UNROLL for (int j = 0; j < VECTORS; j++)
                acc[r][j] = Stored<T>::add_product(acc[r][j], x, w[j]);
        }
    }
    if constexpr (TOGETHER > 1)
        if (depth % TOGETHER)
            UNROLL for (int r = 0; r < ROWS; r++) {
                const auto x = Stored<T>::places(a + r * stride + depth - 1, 1);
                UNROLL for (int j = 0; j < VECTORS; j++)
                    acc[r][j] = Stored<T>::add_product(
                        acc[r][j], x, Stored<T>::weights(weights + j * LANES * TOGETHER));
            }
    UNROLL for (int r = 0; r < ROWS; r++) finish_row<FULL>(out, r, acc[r]);
}

template <int ROWS, bool FULL, class T, class Out, int VECTORS>
static INLINE void tile_of(int rows, const T* a, ptrdiff_t stride, const T* weights,
                           const float* bias, int depth, const TileTarget<Out, VECTORS>& out) {
    if (rows == ROWS)
        tile<ROWS, FULL>(a, stride, weights, bias, depth, out);
    else if constexpr (ROWS > 1)
        tile_of<ROWS - 1, FULL>(rows, a, stride, weights, bias, depth, out);
}

// In tiles of nearly equal height, so that no tile has only a few rows.
template <bool FULL, class T, class Out, int VECTORS>
static void panel_rows(const T* a, ptrdiff_t stride, int rows, const Packed<T>& b,
                       const Panel& panel, TileTarget<Out, VECTORS> out) {
    const T* weights = b.weights(panel);
    const float* bias = b.biases(panel);
    for (int tiles = (rows + TILE_ROWS - 1) / TILE_ROWS; tiles > 0; tiles--) {
        const int some = (rows + tiles - 1) / tiles;
        tile_of<TILE_ROWS, FULL>(some, a, stride, weights, bias, b.depth, out);
        a += some * stride;
        rows -= some;
        if (out.raw) out.raw += some * out.raw_row;
        if (out.activated) out.activated += some * out.activated_row;
    }
}

template <int VECTORS, class T, class Out>
static void panel_columns(const T* a, ptrdiff_t stride, int rows, const Packed<T>& b,
                          const Panel& panel, const Output<Out>& output) {
    const auto at = [&](const Target<Out>& t) {
        return t.data ? t.data + panel.group * t.group + panel.column : nullptr;
    };
    Vec sums[VECTORS] = {}, squares[VECTORS] = {};
    const TileTarget<Out, VECTORS> out{at(output.raw),
                                       at(output.activated),
                                       output.raw.row,
                                       output.activated.row,
                                       panel.columns,
                                       output.moments ? sums : nullptr,
                                       output.moments ? squares : nullptr};
    if (panel.columns == VECTORS * LANES)
        panel_rows<true>(a, stride, rows, b, panel, out);
    else
        panel_rows<false>(a, stride, rows, b, panel, out);
    if (output.moments)
        for (int j = 0; j < VECTORS; j++) {
            output.moments->sum += sum(sums[j]);
            output.moments->squares += sum(squares[j]);
        }
}

constexpr int ROWS_AT_ONCE = 8 * TILE_ROWS;  // their windows stay in cache from panel to panel

// `rows` windows, the first at `a`, each `stride` elements after the one before.
template <class T, class Out>
static void product(const T* a, ptrdiff_t stride, int rows, const Packed<T>& b, Output<Out> out) {
    while (rows > 0) {
        const int some = rows < 2 * ROWS_AT_ONCE ? rows : ROWS_AT_ONCE;
        for (const Panel& panel : b.panels) {
            const int vectors = (panel.columns + LANES - 1) / LANES;
            if (vectors == 1)
                panel_columns<1>(a, stride, some, b, panel, out);
            else if (vectors == 2)
                panel_columns<2>(a, stride, some, b, panel, out);
#if defined(__aarch64__)
            else if (vectors == 3)
                panel_columns<3>(a, stride, some, b, panel, out);
            else
                panel_columns<4>(a, stride, some, b, panel, out);
#endif
        }
        a += some * stride;
        rows -= some;
        if (out.raw.data) out.raw.data += some * out.raw.row;
        if (out.activated.data) out.activated.data += some * out.activated.row;
    }
}
