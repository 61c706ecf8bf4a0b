// The causal networks as two chains with the LSTM between them.
#pragma once

#include "chain.h"
#include "pack.h"
#include "rvq.h"

template <class T>
struct CausalNetwork {
    Chain<T> front, back;
    std::vector<LstmLayer<T>> lstm;
    int width = 0;  // of the LSTM

    size_t lstm_state() const { return 2 * lstm.size() * static_cast<size_t>(width); }
    size_t state_size() const { return front.state_size + lstm_state() + back.state_size; }
    // The parts that a block passes in order; a block may enter a part when the block before it
    // has left it.
    size_t units() const { return front.groups.size() + lstm.size() + back.groups.size(); }
};

// Rows per chunk in the shallow layers, in samples: about half a megabyte between the steps.
constexpr int CHUNK_SAMPLES = 640;
constexpr int WHOLE = 1 << 30;

// The residual unit from rows `x | hidden` and the activated x, to the activated sum in `to`.
template <class T>
static void add_residual(Chain<T>& chain, const ResidualWeights& w, int wide, int active, int to) {
    const int width = w.skip.in, hidden = w.wide.out;
    Step<T> into;
    into.in = active;
    into.activated = wide;
    into.activated_column = width;
    into.aside = true;
    into.weights = pack_conv<T>(w.wide);
    chain.steps.push_back(std::move(into));
    Floats bias(static_cast<size_t>(width));
    for (int c = 0; c < width; c++) bias.get()[c] = w.skip.bias[c] + w.back.bias[c];
    Step<T> back;
    back.in = wide;
    back.activated = to;
    back.weights = Packed<T>(width + hidden, width, 1, bias.get(), [&](int n, int k) {
        return k < width ? w.skip.window(n, k) : w.back.window(n, k - width);
    });
    chain.steps.push_back(std::move(back));
}

// Always in floats: rounding would choose other codes.
// The `context` rows before a stream's first row are its reflection, as many as the kernel needs; a
// stream's first chunk has more rows than that, or is the whole stream.
static CausalNetwork<float> causal_encoder(const NetworkWeights& net, const EncodecSpec& spec) {
    CausalNetwork<float> made;
    Chain<float>& front = made.front;
    int width = spec.filters;
    const int input = front.add(spec.channels, 6);
    int wide = front.add(width + width / 2, 0), active = front.add(width, 2);
    Step<float> first;
    first.in = input;
    first.raw = wide;
    first.activated = active;
    first.weights = pack_conv<float>(net.first[0]);
    front.steps.push_back(std::move(first));
    const int strides = net.ratios[0] * net.ratios[1];
    const int chunk = std::max(2, (CHUNK_SAMPLES + strides - 1) / strides) * strides;
    std::vector<std::pair<int, int>> starts{{0, chunk}};
    for (size_t i = 0; i < net.ratios.size(); i++) {
        const int ratio = net.ratios[i];
        if (i >= 2) starts.emplace_back(static_cast<int>(front.steps.size()), WHOLE);
        const int down = front.add(width, ratio);
        add_residual(front, net.residual[i], wide, active, down);
        width *= 2;
        const bool deepest = i + 1 == net.ratios.size();
        if (deepest) starts.emplace_back(static_cast<int>(front.steps.size()), WHOLE);
        Step<float> step;
        step.in = down;
        step.stride = ratio;
        step.weights = pack_conv<float>(net.scaling[i]);
        if (deepest) {
            step.raw = front.add(width, 0);
        } else {
            step.raw = wide = front.add(width + width / 2, 0);
            step.activated = active = front.add(width, 2);
        }
        front.steps.push_back(std::move(step));
    }
    int hop = 1;
    for (int ratio : net.ratios) hop *= ratio;
    front.lay_out(starts, static_cast<size_t>(spec.block_frames) * hop);
    made.width = width;
    made.lstm = pack_lstm<float>(net);
    Step<float> last;
    last.in = made.back.add(width, 6);
    last.raw = made.back.add(spec.dimension, 0);
    last.weights = pack_conv<float>(net.last[0]);
    made.back.steps.push_back(std::move(last));
    made.back.lay_out({{0, WHOLE}}, static_cast<size_t>(spec.block_frames));
    return made;
}

template <class T>
static CausalNetwork<T> causal_decoder(const NetworkWeights& net, const EncodecSpec& spec) {
    CausalNetwork<T> made;
    int width = made.width = net.width;
    Step<T> first;
    first.in = made.front.add(spec.dimension, 6);
    first.raw = made.front.add(width, 0);
    first.weights = pack_conv<T>(net.first[0]);
    made.front.steps.push_back(std::move(first));
    made.front.lay_out({{0, WHOLE}}, static_cast<size_t>(spec.block_frames));
    made.lstm = pack_lstm<T>(net);
    Chain<T>& back = made.back;
    std::vector<std::pair<int, int>> starts;
    int rate = 1, up = back.add(width, 1, true);
    for (size_t i = 0; i < net.ratios.size(); i++) {
        const int ratio = net.ratios[i];
        int hop = 1;
        for (size_t j = i; j < net.ratios.size(); j++) hop *= net.ratios[j];
        const bool shallow = i + 2 >= net.ratios.size();
        if (!shallow || i + 2 == net.ratios.size())
            starts.emplace_back(static_cast<int>(back.steps.size()),
                                shallow ? std::max(2, CHUNK_SAMPLES / hop) : WHOLE);
        width /= 2;
        rate *= ratio;
        const int wide = back.add(width + width / 2, 0), active = back.add(width, 2);
        Step<T> step;
        step.in = up;
        step.raw = wide;
        step.activated = active;
        step.rows_out = ratio;
        step.weights = pack_transposed<T>(net.scaling[i]);
        back.steps.push_back(std::move(step));
        const bool final = i + 1 == net.ratios.size();
        up = final ? back.add(width, 6) : back.add(width, 1, true);
        add_residual(back, net.residual[i], wide, active, up);
    }
    Step<T> last;
    last.in = up;
    last.raw = back.add(spec.channels, 0);
    const ConvWeights& conv = net.last[0];
    last.narrow = NarrowConv(conv.in * conv.kernel, conv.out, conv.bias,
                             [&](int n, int k) { return conv.window(n, k); });
    back.steps.push_back(std::move(last));
    back.lay_out(starts, static_cast<size_t>(spec.block_frames));
    return made;
}
