// The LSTM between the convolutions, for several streams in step: the weights, megabytes per frame,
// are read from memory once for all of them. State and gates are floats; with bfloat16, products
// take the input and the previous output rounded to it.
#pragma once

#include <algorithm>
#include <vector>

#include "gemm.h"
#include "interface.h"

constexpr int STREAMS_IN_STEP = 6;
constexpr int STREAMS_AT_ONCE = TILE_ROWS * PANEL_VECTORS / 4;  // four sums each, in registers

// `count` floats as input of the products: unchanged, or in `rounded`.
template <class T>
static const T* as_stored(const float* x, size_t count, Buffer<T>& rounded) {
    if constexpr (std::is_same_v<T, float>) {
        return x;
    } else {
        put(x, count, rounded.get());
        return rounded.get();
    }
}

// A stream's frames on their way through the layers.
template <class T>
class LstmFrames {
  public:
    // Room for `frames` rows of input, `[frames, width]`. `state` `[layers, 2, width]` is the
    // stream's, which the layers update.
    float* input(int frames, int width, float* state) {
        this->frames = frames;
        const size_t rows = static_cast<size_t>(frames) * width;
        for (Floats* floats : {&x_, &out_[0], &out_[1]}) floats->resize(rows);
        gates.resize(4 * rows);
        if (!std::is_same_v<T, float>) rounded.resize(rows);
        state_ = state;
        out = nullptr;
        return x_.get();
    }

    // A state of zeros, for frames that follow none.
    float* new_state(size_t size) {
        own_state_.resize(size);
        std::fill_n(own_state_.get(), size, 0.0f);
        return own_state_.get();
    }

    // Go on to the next layer; returns its input `[frames, width]`.
    const T* enter(int width) {
        const float* in = out ? out : x_.get();
        out = out == out_[0].get() ? out_[1].get() : out_[0].get();
        h = state_;
        c = h + width;
        state_ += 2 * width;
        return as_stored(in, static_cast<size_t>(frames) * width, rounded);
    }

    // The last layer's output y plus the input x: elu(y + x) to rows `[frames, width]`.
    template <class Row>
    void finish(int width, Row* to) const {
        const size_t size = static_cast<size_t>(frames) * width;
        for (size_t i = 0; i < size; i += LANES)
            store(to + i,
                  Stored<Row>::activated((out ? load(out + i) : Vec{}) + load(x_.get() + i)));
    }

    int frames = 0;
    // In the present layer:
    Floats gates;       // the input's part of the gates, `[frames, 4 width]`, in panels
    float* out;         // `[frames, width]`; null before the first layer
    float *h, *c;       // the state before and after, `[width]` each
    Buffer<T> rounded;  // `[frames, width]`, if the products do not take floats

  private:
    Floats x_, out_[2], own_state_;
    float* state_;  // of the layers to come
};

// One layer. Its gates are kept in panels of LANES units: input, forget, cell and output gate of
// those units side by side.
template <class T>
class LstmLayer {
  public:
    LstmLayer(int size, const LstmWeights& weights) : size(size) {
        const int columns = 4 * size;
        const auto row = [size](int n) {
            const int panel = n / (4 * LANES), gate = n / LANES % 4, unit = n % LANES;
            return gate * size + panel * LANES + unit;
        };
        Floats bias(static_cast<size_t>(columns));
        for (int n = 0; n < columns; n++)
            bias.get()[n] = weights.input_bias[row(n)] + weights.recurrent_bias[row(n)];
        input_ = Packed<T>(size, columns, 1, bias.get(), [&](int n, int k) {
            return weights.input[static_cast<size_t>(row(n)) * size + k];
        });
        recurrent_.resize(static_cast<size_t>(columns) * size);
        T* to = recurrent_.get();
        for (int panel = 0; panel < size / LANES; panel++)
            for (int k = 0; k < size; k += TOGETHER)
                for (int n = panel * 4 * LANES; n < (panel + 1) * 4 * LANES; n++)
                    for (int i = 0; i < TOGETHER; i++)
                        *to++ = T(weights.recurrent[static_cast<size_t>(row(n)) * size + k + i]);
    }

    // The stream enters this layer: the input's part of the gates.
    void project(LstmFrames<T>& stream) const {
        const T* x = stream.enter(size);
        product(x, size, stream.frames, input_, Output<float>{{stream.gates.get(), 4 * size}});
    }

    // All frames of the streams, which have equally many.
    void run(LstmFrames<T>* const* streams, int count) const {
        const int frames = streams[0]->frames;
        std::vector<const T*> before(static_cast<size_t>(count));
        for (int t = 0; t < frames; t++) {
            for (int b = 0; b < count; b++) {
                LstmFrames<T>& stream = *streams[b];
                const float* h = t ? stream.out + static_cast<size_t>(t - 1) * size : stream.h;
                before[b] = as_stored(h, static_cast<size_t>(size), stream.rounded);
            }
            step(streams, before.data(), count, t);
        }
        for (int b = 0; b < count; b++)
            std::memcpy(streams[b]->h, streams[b]->out + static_cast<size_t>(frames - 1) * size,
                        sizeof(float) * static_cast<size_t>(size));
    }

    int size = 0;

  private:
    static constexpr int TOGETHER = Stored<T>::TOGETHER;

    // Frame t; `before` is the output of the previous frame. Every other frame reads the weights
    // from the end: those that were read last are still in cache.
    void step(LstmFrames<T>* const* streams, const T* const* before, int count, int t) const {
        // With few streams, several panels: enough sums to hide the latency of each.
        const int at_once = (count == 1 ? 2 : 1) * (count <= 3 && LANES == 16 ? 2 : 1);
        const int panels = size / LANES, turns = (panels + at_once - 1) / at_once;
        for (int i = 0; i < turns; i++) {
            const int panel = (t % 2 ? turns - 1 - i : i) * at_once;
            const int some = std::min(at_once, panels - panel);
            int groups = (count + STREAMS_AT_ONCE - 1) / STREAMS_AT_ONCE;
            for (int first = 0; first < count; groups--) {
                const int group = (count - first + groups - 1) / groups;
                with_constant<STREAMS_AT_ONCE>(group, [&](auto n) {
                    constexpr int MOST = n() == 1 ? 4 : n() <= 3 ? 2 : 1;  // of `at_once`
                    with_constant<MOST>(some, [&](auto p) {
                        some_panels<n(), p()>(streams + first, before + first, t, panel);
                    });
                });
                first += group;
            }
        }
    }

    template <int STREAMS, int PANELS>
    __attribute__((noinline)) void some_panels(LstmFrames<T>* const* streams,
                                               const T* const* before, int t, int panel) const {
        const T *h[STREAMS], *weights[PANELS];
        Vec acc[STREAMS][PANELS][4];
        UNROLL for (int p = 0; p < PANELS; p++)
            weights[p] = recurrent_.get() + static_cast<size_t>(panel + p) * size * 4 * LANES;
        UNROLL for (int b = 0; b < STREAMS; b++) {
            h[b] = before[b];
            const float* gates = streams[b]->gates.get() + static_cast<size_t>(t) * 4 * size +
                                 panel * 4 * LANES;
            UNROLL for (int p = 0; p < PANELS; p++) UNROLL for (int g = 0; g < 4; g++)
                acc[b][p][g] = load(gates + (4 * p + g) * LANES);
        }
        for (int k = 0; k < size; k += TOGETHER) {
            decltype(Stored<T>::places(h[0])) x[STREAMS];
            UNROLL for (int b = 0; b < STREAMS; b++) x[b] = Stored<T>::places(h[b] + k);
            UNROLL for (int p = 0; p < PANELS; p++) {
                UNROLL for (int g = 0; g < 4; g++) {
                    const auto w = Stored<T>::weights(weights[p] + g * LANES * TOGETHER);
                    UNROLL for (int b = 0; b < STREAMS; b++)
                        acc[b][p][g] = Stored<T>::add_product(acc[b][p][g], x[b], w);
                }
                weights[p] += 4 * LANES * TOGETHER;
            }
        }
        Vec sums[STREAMS][PANELS][4];
        UNROLL for (int b = 0; b < STREAMS; b++) UNROLL for (int p = 0; p < PANELS; p++)
            UNROLL for (int g = 0; g < 4; g++) sums[b][p][g] = acc[b][p][g];
        for (int b = 0; b < STREAMS; b++)
            for (int p = 0; p < PANELS; p++) {
                const int unit = (panel + p) * LANES;
                const Vec* gate = sums[b][p];
                Vec c = load(streams[b]->c + unit);
                c = sigmoid(gate[1]) * c + sigmoid(gate[0]) * hyperbolic_tangent(gate[2]);
                store(streams[b]->c + unit, c);
                store(streams[b]->out + static_cast<size_t>(t) * size + unit,
                      sigmoid(gate[3]) * hyperbolic_tangent(c));
            }
    }

    Packed<T> input_;
    Buffer<T> recurrent_;
};

// All layers over several streams; those with the same number of frames run in step.
template <class T>
static void run_lstm(const std::vector<LstmLayer<T>>& layers, std::vector<LstmFrames<T>*> streams) {
    std::stable_sort(streams.begin(), streams.end(),
                     [](const auto* a, const auto* b) { return a->frames > b->frames; });
    for (size_t first = 0, end = 0; first < streams.size(); first = end) {
        const int frames = streams[first]->frames;
        while (end < streams.size() && streams[end]->frames == frames) end++;
        for (const LstmLayer<T>& layer : layers) {
            for (size_t i = first; i < end; i++) layer.project(*streams[i]);
            layer.run(&streams[first], static_cast<int>(end - first));
        }
    }
}
