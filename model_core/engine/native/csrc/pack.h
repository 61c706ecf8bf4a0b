// A model's convolutions as matrix products.
#pragma once

#include <vector>

#include "gemm.h"
#include "lstm.h"
#include "weights.h"

template <class T>
static Packed<T> pack_conv(const ConvWeights& conv) {
    return Packed<T>(conv.in * conv.kernel, conv.out, 1, conv.bias,
                     [&](int n, int k) { return conv.window(n, k); });
}

// A transposed convolution with kernel 2 stride: the window is the previous row and the row itself,
// group j is output row `stride t + j`.
template <class T>
static Packed<T> pack_transposed(const ConvWeights& conv) {
    const int stride = conv.kernel / 2;
    return Packed<T>(2 * conv.in, conv.out, stride, conv.bias, [&](int n, int k) {
        const int j = n / conv.out, tap = k < conv.in ? j + stride : j;
        return conv.weight[(static_cast<size_t>(k % conv.in) * conv.out + n % conv.out) *
                               conv.kernel + tap];
    });
}

template <class T>
static std::vector<LstmLayer<T>> pack_lstm(const NetworkWeights& net) {
    std::vector<LstmLayer<T>> layers;
    for (const LstmWeights& w : net.lstm)
        layers.emplace_back(net.width, w.input, w.recurrent, w.input_bias, w.recurrent_bias);
    return layers;
}
