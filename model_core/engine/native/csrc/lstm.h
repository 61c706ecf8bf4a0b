// The LSTM between the convolutions, for several streams in step: the weights, megabytes per frame,
// are read once for all of them. State and gates are floats; with bfloat16, the products take the
// input and the previous output rounded to it.
#pragma once

#include <type_traits>
#include <vector>

#include "gemm.h"

#if defined(__AVX512F__)
constexpr int STREAMS_IN_STEP = 6;
#else
constexpr int STREAMS_IN_STEP = 2;
#endif

// A stream's frames in one layer. `h` and `c` are the state before and after.
template <class T>
struct LstmLane {
    const float* gates;  // the input's part of the gates, [T, 4 size], in panels
    float* out;          // [T, size]
    float *h, *c;        // [size] each
    T* scratch;          // [size] if the products do not take floats
};

// `count` floats as input of the products: unchanged, or rounded into `scratch`.
template <class T>
static const T* as_stored(const float* x, size_t count, T* scratch) {
    if constexpr (std::is_same_v<T, float>) {
        return x;
    } else {
        put(x, count, scratch);
        return scratch;
    }
}

// One layer. Its gates are kept in panels of LANES units: input, forget, cell and output gate of
// those units side by side.
template <class T>
class LstmLayer {
  public:
    LstmLayer() = default;
    // The weights in torch's layout: `[4 size, size]` twice, `[4 size]` twice.
    LstmLayer(int size, const float* input, const float* recurrent, const float* input_bias,
              const float* recurrent_bias)
        : size(size) {
        const int columns = 4 * size;
        const auto row = [size](int n) {
            const int panel = n / (4 * LANES), gate = n / LANES % 4, unit = n % LANES;
            return gate * size + panel * LANES + unit;
        };
        Floats bias(static_cast<size_t>(columns));
        for (int n = 0; n < columns; n++)
            bias.get()[n] = input_bias[row(n)] + recurrent_bias[row(n)];
        input_ = Packed<T>(size, columns, 1, bias.get(), [&](int n, int k) {
            return input[static_cast<size_t>(row(n)) * size + k];
        });
        recurrent_.resize(static_cast<size_t>(columns) * size);
        T* to = recurrent_.get();
        for (int panel = 0; panel < size / LANES; panel++)
            for (int k = 0; k < size; k += TOGETHER)
                for (int j = 0; j < 4 * LANES; j++)
                    for (int i = 0; i < TOGETHER; i++)
                        *to++ = T(recurrent[static_cast<size_t>(row(panel * 4 * LANES + j)) * size +
                                            k + i]);
    }

    // `x` `[frames, size]` to `gates` `[frames, 4 size]`.
    void project(const T* x, int frames, float* gates) const {
        Output<float> out;
        out.raw = {gates, 4 * size, 0};
        product(x, size, frames, input_, out);
    }

    // All frames of the lanes, which have equally many.
    void run(const LstmLane<T>* lanes, int count, int frames) const {
        for (int first = 0; first < count; first += STREAMS_IN_STEP) {
            const int some = count - first < STREAMS_IN_STEP ? count - first : STREAMS_IN_STEP;
            for (int t = 0; t < frames; t++) {
                const T* before[STREAMS_IN_STEP];
                for (int b = 0; b < some; b++) {
                    const LstmLane<T>& lane = lanes[first + b];
                    const float* h = t ? lane.out + static_cast<size_t>(t - 1) * size : lane.h;
                    before[b] = as_stored(h, static_cast<size_t>(size), lane.scratch);
                }
                step<STREAMS_IN_STEP>(lanes + first, before, some, t);
            }
        }
        for (int b = 0; b < count; b++)
            std::memcpy(lanes[b].h, lanes[b].out + static_cast<size_t>(frames - 1) * size,
                        sizeof(float) * static_cast<size_t>(size));
    }

    int size = 0;

  private:
    static constexpr int TOGETHER = Stored<T>::TOGETHER;

    // Frame t; `before` is the output of the previous frame.
    template <int MOST>
    void step(const LstmLane<T>* lanes, const T* const* before, int count, int t) const {
        if (count == MOST) {
            // About sixteen sums: enough to hide the latency of each.
            constexpr int PANELS = MOST == 1 ? (LANES == 16 ? 4 : 2)
                                   : MOST <= 3 ? (LANES == 16 ? 2 : 1)
                                               : 1;
            int panel = 0;
            const int panels = size / LANES;
            for (; panel + PANELS <= panels; panel += PANELS)
                some_panels<MOST, PANELS>(lanes, before, t, panel);
            for (; panel < panels; panel++) some_panels<MOST, 1>(lanes, before, t, panel);
        } else if constexpr (MOST > 1) {
            step<MOST - 1>(lanes, before, count, t);
        }
    }

    template <int STREAMS, int PANELS>
    __attribute__((noinline)) void some_panels(const LstmLane<T>* lanes, const T* const* before,
                                               int t, int panel) const {
        const T *h[STREAMS], *weights[PANELS];
        Vec acc[STREAMS][PANELS][4];
        UNROLL for (int p = 0; p < PANELS; p++)
            weights[p] = recurrent_.get() + static_cast<size_t>(panel + p) * size * 4 * LANES;
        UNROLL for (int b = 0; b < STREAMS; b++) {
            h[b] = before[b];
            const float* gates =
                lanes[b].gates + static_cast<size_t>(t) * 4 * size + panel * 4 * LANES;
            UNROLL for (int p = 0; p < PANELS; p++) UNROLL for (int g = 0; g < 4; g++)
                acc[b][p][g] = load(gates + (4 * p + g) * LANES);
        }
        for (int k = 0; k < size; k += TOGETHER) {
            UNROLL for (int p = 0; p < PANELS; p++) {
                typename Stored<T>::Weights w[4];
                UNROLL for (int g = 0; g < 4; g++)
                    w[g] = Stored<T>::weights(weights[p] + g * LANES * TOGETHER);
                weights[p] += 4 * LANES * TOGETHER;
                UNROLL for (int b = 0; b < STREAMS; b++) {
                    const auto x = Stored<T>::places(h[b] + k);
                    UNROLL for (int g = 0; g < 4; g++)
                        acc[b][p][g] = Stored<T>::add_product(acc[b][p][g], x, w[g]);
                }
            }
        }
        UNROLL for (int b = 0; b < STREAMS; b++) UNROLL for (int p = 0; p < PANELS; p++) {
            const int unit = (panel + p) * LANES;
            const Vec* gate = acc[b][p];
            Vec c = load(lanes[b].c + unit);
            c = sigmoid(gate[1]) * c + sigmoid(gate[0]) * hyperbolic_tangent(gate[2]);
            store(lanes[b].c + unit, c);
            store(lanes[b].out + static_cast<size_t>(t) * size + unit,
                  sigmoid(gate[3]) * hyperbolic_tangent(c));
        }
    }

    Packed<T> input_;
    Buffer<T> recurrent_;
};
