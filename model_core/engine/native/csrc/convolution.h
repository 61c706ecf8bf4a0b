// Convolutions over rows, channels last: their weights as those of a product, the few that are no
// product, and their padding.
#pragma once

#include <limits>

#include "gemm.h"
#include "interface.h"

template <class T>
static Packed<T> pack_conv(const ConvWeights& conv) {
    return Packed<T>(conv.in * conv.kernel, conv.out, 1, conv.bias,
                     [&](int n, int k) { return conv.window(n, k); });
}

// A transposed convolution with kernel 2 stride: the window is the previous row and the row itself,
// group j is output row `stride t + j`.
template <class T>
static Packed<T> pack_transposed(const ConvWeights& conv) {
    return Packed<T>(2 * conv.in, conv.out, conv.stride, conv.bias, [&](int n, int k) {
        const int j = n / conv.out, tap = k < conv.in ? j + conv.stride : j;
        return conv.weight[(static_cast<size_t>(k % conv.in) * conv.out + n % conv.out) *
                               conv.kernel + tap];
    });
}

// A convolution to one or two channels, too few for the columns of a product: each output is a
// sum over lanes along the window.
class NarrowConv {
  public:
    NarrowConv() = default;
    explicit NarrowConv(const ConvWeights& conv)
        : channels(conv.out), depth_(conv.in * conv.kernel),
          weights_(static_cast<size_t>(padded()) * channels),
          bias_(conv.bias, conv.bias + channels) {
        for (int c = 0; c < channels; c++)
            for (int k = 0; k < depth_; k++)
                weights_.get()[c * padded() + k] = conv.window(c, k);
    }

    // As `product`, to `out.raw`.
    template <class T>
    void run(const T* a, ptrdiff_t stride, int rows, const Output<float>& out) const {
        int t = 0;
        for (; t + 4 <= rows; t += 4) some<4>(a + t * stride, stride, out.raw, t);
        for (; t < rows; t++) some<1>(a + t * stride, stride, out.raw, t);
        if (out.moments)
            for (t = 0; t < rows; t++)
                for (int c = 0; c < channels; c++) {
                    const double y = out.raw.data[t * out.raw.row + c];
                    out.moments->sum += y;
                    out.moments->squares += y * y;
                }
    }

    int channels = 0;

  private:
    int padded() const { return (depth_ + LANES - 1) / LANES * LANES; }

    template <int ROWS, class T>
    void some(const T* a, ptrdiff_t stride, const Target<float>& out, int row) const {
        for (int c = 0; c < channels; c++) {
            const float* w = weights_.get() + c * padded();
            Vec acc[ROWS] = {};
            int k = 0;
            for (; k + LANES <= depth_; k += LANES) UNROLL for (int r = 0; r < ROWS; r++)
                acc[r] += load(a + r * stride + k) * load(w + k);
            if (k < depth_) UNROLL for (int r = 0; r < ROWS; r++)
                acc[r] += load_some(a + r * stride + k, depth_ - k) * load(w + k);
            for (int r = 0; r < ROWS; r++)
                out.data[(row + r) * out.row + c] = sum(acc[r]) + bias_[c];
        }
    }

    int depth_ = 0;
    Floats weights_;
    std::vector<float> bias_;
};

constexpr int ZERO_ROW = std::numeric_limits<int>::min();

// The index, among `rows` rows, of the padded row `at`, or ZERO_ROW, if padding is by reflection.
// `reach` is the size of the padding, or of its larger side; too few rows are first extended by
// zeros. Source: `nn.conv.reflect_pad`.
//
//     reach 4, rows a b c         0 0 c b [a b c] 0 0 0 c
//                                 reflected at a   and at the second 0
static inline int reflected(int at, int rows, int reach) {
    const int end = std::max(rows - 1, reach);
    const int from = at < 0 ? -at : at > end ? 2 * end - at : at;
    return from < rows ? from : ZERO_ROW;
}
