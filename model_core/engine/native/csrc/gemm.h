// Products of rows with packed weights. A convolution over channels-last rows is such a product:
// window t is the `kernel * channels` floats from row `t * stride` on, so windows overlap in
// memory and nothing is copied. So is a transposed convolution of kernel 2s: the window is two
// rows, and the product's columns are the s output rows side by side.
//
// Each element is one chain of fused multiply-adds in the order of the window, in any tile: results
// do not depend on how rows are cut into calls. With bfloat16 it is a chain of products of pairs.
#pragma once

#include <algorithm>
#include <vector>

#include "storage.h"

struct Panel {
    int columns;  // at most PANEL
    int group;    // index among the output rows side by side
    int column;   // the first column in the group
    size_t weights, biases;  // where its own begin
};

// Weights `[groups * columns, depth]` and their bias, cut into panels `[depth][PANEL]`, or
// `[depth / 2][PANEL][2]` if places are multiplied in pairs.
template <class T>
struct Packed {
    int depth = 0;
    std::vector<Panel> panels;
    Buffer<T> weights;
    Floats biases;

    Packed() = default;
    // `at(n, k)` gives the weight of column n (over all groups) at place k of the window.
    template <class At>
    Packed(int depth, int columns, int groups, const float* bias, At at) : depth(depth) {
        constexpr int TOGETHER = Stored<T>::TOGETHER;
        const int padded_depth = (depth + TOGETHER - 1) / TOGETHER * TOGETHER;
        const auto padded = [](const Panel& panel) {
            return static_cast<size_t>(panel.columns + LANES - 1) / LANES * LANES;
        };
        size_t size = 0, width = 0;
        for (int g = 0; g < groups; g++)
            for (int c = 0; c < columns; c += PANEL) {
                panels.push_back({std::min(columns - c, PANEL), g, c, size, width});
                size += padded_depth * padded(panels.back());
                width += padded(panels.back());
            }
        weights.resize(size);
        biases.resize(width);
        for (const Panel& panel : panels)
            for (int j = 0; j < panel.columns; j++) {
                const int n = panel.group * columns + panel.column + j;
                biases.get()[panel.biases + j] = bias ? bias[panel.column + j] : 0.0f;
                T* to = weights.get() + panel.weights;
                for (int k = 0; k < depth; k++)
                    to[(k / TOGETHER * padded(panel) + j) * TOGETHER + k % TOGETHER] = T(at(n, k));
            }
    }
};

// Where a product's element of row m, group g and column c goes: data + m row + g group + c.
template <class T>
struct Target {
    T* data = nullptr;
    ptrdiff_t row = 0, group = 0;

    void advance(ptrdiff_t rows) {
        if (data) data += rows * row;
    }
    Target from(const Panel& panel) const {
        return {data ? data + panel.group * group + panel.column : nullptr, row, group};
    }
};

// Sum and sum of squares of everything a product writes, in float for a tile and double beyond.
struct Moments {
    double sum = 0, squares = 0;
};

template <class T>
struct Output {
    Target<T> raw = {};        // unchanged, if data is set
    Target<T> activated = {};  // after ELU, if data is set
    Moments* moments = nullptr;
};

constexpr int PLACES_AHEAD = 512;  // whose weights, of this panel or the next, are fetched early

// The only part that is compiled for each size of a tile: `sums` become `[ROWS][VECTORS]`.
template <int ROWS, int VECTORS, class T>
static __attribute__((noinline)) void tile(const T* __restrict a, ptrdiff_t stride,
                                           const T* __restrict weights,
                                           const float* __restrict bias, int depth,
                                           Vec* __restrict sums) {
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
        if constexpr (VECTORS == PANEL_VECTORS)
            prefetch<sizeof(T) * VECTORS * LANES * TOGETHER>(weights + PLACES_AHEAD * PANEL);
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
    UNROLL for (int r = 0; r < ROWS; r++)
        UNROLL for (int j = 0; j < VECTORS; j++) sums[r * VECTORS + j] = acc[r][j];
}

// Rows by the columns of one panel, in tiles of nearly equal height, so that none has only a few.
template <int VECTORS, class T, class Out>
static void panel_rows(const T* a, ptrdiff_t stride, int rows, const Packed<T>& b,
                       const Panel& panel, const Output<Out>& output) {
    Vec tiled[TILE_ROWS][VECTORS], sums[VECTORS] = {}, squares[VECTORS] = {};
    Target<Out> raw = output.raw.from(panel), activated = output.activated.from(panel);
    const T* weights = b.weights.get() + panel.weights;
    const float* bias = b.biases.get() + panel.biases;
    for (int tiles = (rows + TILE_ROWS - 1) / TILE_ROWS; tiles > 0; tiles--) {
        const int some = (rows + tiles - 1) / tiles;
        with_constant<TILE_ROWS>(some, [&](auto count) {
            tile<count(), VECTORS>(a, stride, weights, bias, b.depth, tiled[0]);
        });
        const auto put_to = [&](const Target<Out>& to, auto map) {
            Out* row = to.data;
            if (panel.columns == VECTORS * LANES)
                for (int r = 0; r < some; r++, row += to.row)
                    UNROLL for (int j = 0; j < VECTORS; j++)
                        store(row + j * LANES, map(tiled[r][j]));
            else
                for (int r = 0; r < some; r++, row += to.row)
                    UNROLL for (int j = 0; j < VECTORS; j++)
                        store_some(row + j * LANES, map(tiled[r][j]), panel.columns - j * LANES);
        };
        if (raw.data) put_to(raw, [](Vec v) { return v; });
        if (activated.data) put_to(activated, [](Vec v) { return Stored<Out>::activated(v); });
        if (output.moments)  // columns beyond the last are 0
            for (int r = 0; r < some; r++) UNROLL for (int j = 0; j < VECTORS; j++) {
                sums[j] += tiled[r][j];
                squares[j] += tiled[r][j] * tiled[r][j];
            }
        a += some * stride;
        rows -= some;
        raw.advance(some);
        activated.advance(some);
    }
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
            with_constant<PANEL_VECTORS>((panel.columns + LANES - 1) / LANES, [&](auto vectors) {
                panel_rows<vectors()>(a, stride, some, b, panel, out);
            });
        }
        a += some * stride;
        rows -= some;
        out.raw.advance(some);
        out.activated.advance(some);
    }
}
