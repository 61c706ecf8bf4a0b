// Runs frames of one or several streams through all layers of the LSTM and its skip.
#pragma once

#include <algorithm>
#include <vector>

#include "lstm.h"

// One stream's frames: the input and the outputs of the layers.
template <class T>
class LstmFrames {
  public:
    // Room for `frames` rows of input, `[frames, width]`.
    float* input(int frames, int width) {
        this->frames = frames;
        const size_t rows = static_cast<size_t>(frames) * width;
        x_.resize(rows);
        gates_.resize(4 * rows);
        out_[0].resize(rows);
        out_[1].resize(rows);
        if (!std::is_same_v<T, float>) rounded_.resize(rows);
        return x_.get();
    }

    // Project the input of layer `index`; returns the lane that the layer runs in.
    LstmLane<T> lane(const LstmLayer<T>& layer, size_t index, float* state) {
        const float* x = index ? out_[(index + 1) % 2].get() : x_.get();
        const size_t size = static_cast<size_t>(frames) * layer.size;
        layer.project(as_stored(x, size, rounded_.get()), frames, gates_.get());
        float* h = state + 2 * index * layer.size;
        return {gates_.get(), out_[index % 2].get(), h, h + layer.size, rounded_.get()};
    }

    // The last layer's output y plus the input x: elu(y + x) to rows `[frames, width]`.
    template <class Row>
    void finish(size_t layers, int width, Row* to) const {
        const float* y = out_[(layers + 1) % 2].get();
        const size_t size = static_cast<size_t>(frames) * width;
        for (size_t i = 0; i < size; i += LANES)
            store(to + i,
                  Stored<Row>::activated((layers ? load(y + i) : Vec{}) + load(x_.get() + i)));
    }

    int frames = 0;

  private:
    Floats x_, gates_, out_[2];
    Buffer<T> rounded_;
};

// A stream's frames and its state `[layers, 2, width]`.
template <class T>
struct LstmStream {
    LstmFrames<T>* frames;
    float* state;
};

// All layers over several streams; those with the same number of frames run in step.
template <class T>
static void run_lstm(const std::vector<LstmLayer<T>>& layers, std::vector<LstmStream<T>> streams) {
    std::stable_sort(streams.begin(), streams.end(),
                     [](const LstmStream<T>& a, const LstmStream<T>& b) {
                         return a.frames->frames > b.frames->frames;
                     });
    std::vector<LstmLane<T>> lanes;
    for (size_t first = 0, end = 0; first < streams.size(); first = end) {
        const int length = streams[first].frames->frames;
        while (end < streams.size() && streams[end].frames->frames == length) end++;
        for (size_t l = 0; l < layers.size(); l++) {
            lanes.clear();
            for (size_t i = first; i < end; i++)
                lanes.push_back(streams[i].frames->lane(layers[l], l, streams[i].state));
            layers[l].run(lanes.data(), static_cast<int>(lanes.size()), length);
        }
    }
}
