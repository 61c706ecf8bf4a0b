// A convolution to one or two channels, too few for the columns of a product: each output is a
// sum over lanes along the window.
#pragma once

#include "buffer.h"
#include "gemm.h"

struct NarrowConv {
    int channels = 0, depth = 0;
    Floats weights, bias;

    NarrowConv() = default;
    template <class At>
    NarrowConv(int depth, int channels, const float* bias, At at)
        : channels(channels), depth(depth), weights(static_cast<size_t>(padded()) * channels),
          bias(static_cast<size_t>(channels)) {
        for (int c = 0; c < channels; c++) {
            this->bias.get()[c] = bias[c];
            for (int k = 0; k < depth; k++) weights.get()[c * padded() + k] = at(c, k);
        }
    }

    template <class T>
    void run(const T* a, ptrdiff_t stride, int rows, float* out, ptrdiff_t out_row,
             Moments* moments = nullptr) const {
        int t = 0;
        for (; t + 4 <= rows; t += 4) some<4>(a + t * stride, stride, out + t * out_row, out_row);
        for (; t < rows; t++) some<1>(a + t * stride, stride, out + t * out_row, out_row);
        if (moments)
            for (t = 0; t < rows; t++)
                for (int c = 0; c < channels; c++) {
                    const double y = out[t * out_row + c];
                    moments->sum += y;
                    moments->squares += y * y;
                }
    }

  private:
    int padded() const { return (depth + LANES - 1) / LANES * LANES; }

    template <int ROWS, class T>
    void some(const T* a, ptrdiff_t stride, float* out, ptrdiff_t out_row) const {
        for (int c = 0; c < channels; c++) {
            const float* w = weights.get() + c * padded();
            Vec acc[ROWS] = {};
            int k = 0;
            for (; k + LANES <= depth; k += LANES) UNROLL for (int r = 0; r < ROWS; r++)
                acc[r] += load(a + r * stride + k) * load(w + k);
            if (k < depth) UNROLL for (int r = 0; r < ROWS; r++)
                acc[r] += load_some(a + r * stride + k, depth - k) * load(w + k);
            for (int r = 0; r < ROWS; r++) out[r * out_row + c] = sum(acc[r]) + bias.get()[c];
        }
    }
};
