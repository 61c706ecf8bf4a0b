// Frames of one or several streams on their way through all layers of the LSTM and its skip.
#pragma once

#include <vector>

#include "lstm.h"

// One stream's frames: what goes in, and what the layers make of it.
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
        return x_.get();
    }

    // Project what layer `index` reads; returns the lane it runs in.
    LstmLane lane(const LstmLayer& layer, size_t index, float* state) {
        layer.project(index ? out_[(index + 1) % 2].get() : x_.get(), frames, gates_.get());
        float* h = state + 2 * index * layer.size;
        return {gates_.get(), out_[index % 2].get(), h, h + layer.size};
    }

    // Of the last layer's output and the input: elu(y + x) to rows `[frames, width]`.
    void finish(size_t layers, int width, float* to) const {
        const float* y = out_[(layers + 1) % 2].get();
        const size_t size = static_cast<size_t>(frames) * width;
        for (size_t i = 0; i < size; i += LANES)
            store(to + i, elu((layers ? load(y + i) : Vec{}) + load(x_.get() + i)));
    }

    int frames = 0;

  private:
    Floats x_, gates_, out_[2];
};

// All layers over several streams of the same number of frames. `states[i]` `[layers, 2, width]`.
static void lstm_in_step(const std::vector<LstmLayer>& layers, LstmFrames* const* frames,
                         float* const* states, int count) {
    std::vector<LstmLane> lanes(static_cast<size_t>(count));
    for (size_t l = 0; l < layers.size(); l++) {
        for (int i = 0; i < count; i++) lanes[i] = frames[i]->lane(layers[l], l, states[i]);
        layers[l].run(lanes.data(), count, frames[0]->frames);
    }
}
