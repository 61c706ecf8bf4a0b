// A model's description, as Python passes it, and its weights in the order of the layers.
#pragma once

#include <cstdint>
#include <stdexcept>
#include <vector>

extern "C" {
struct EncodecSpec {
    int32_t causal;
    int32_t channels, dimension, filters, lstm_layers;
    int32_t codebooks, bins;
    int32_t block_frames;  // frames of a full block
    int32_t ratio_count;
    int32_t ratios[8];  // in the decoder's order
    int32_t decode_bfloat16;  // allowed only if `encodec_bfloat16` returns 1
};
}

// Gives the parts of one array of floats in order.
class WeightReader {
  public:
    WeightReader(const float* data, size_t size) : data_(data), left_(size) {}
    const float* take(size_t count) {
        if (count > left_) throw std::invalid_argument("the weights are shorter than the model");
        const float* part = data_;
        data_ += count;
        left_ -= count;
        return part;
    }
    void finish() const {
        if (left_) throw std::invalid_argument("the weights are longer than the model");
    }

  private:
    const float* data_;
    size_t left_;
};

// A convolution's weight `[out, in, kernel]` and bias `[out]`; if the output is normalised, the
// norm's scale and offset, `[out]` each.
struct ConvWeights {
    int in, out, kernel;
    const float *weight, *bias, *norm_scale, *norm_offset;
    bool transposed;  // then the weight is `[in, out, kernel]`

    ConvWeights(WeightReader& reader, bool norm, int in, int out, int kernel,
                bool transposed = false)
        : in(in),
          out(out),
          kernel(kernel),
          weight(reader.take(static_cast<size_t>(in) * out * kernel)),
          bias(reader.take(static_cast<size_t>(out))),
          norm_scale(norm ? reader.take(static_cast<size_t>(out)) : nullptr),
          norm_offset(norm ? reader.take(static_cast<size_t>(out)) : nullptr),
          transposed(transposed) {}

    // Place k of the window is row k / in, channel k % in.
    float window(int n, int k) const {
        return weight[(static_cast<size_t>(n) * in + k % in) * kernel + k / in];
    }
};

// The weights of encoder or decoder, in the order of the layers in `nn.seanet`.
struct ResidualWeights {
    ConvWeights wide, back, skip;
    ResidualWeights(WeightReader& reader, bool norm, int width)
        : wide(reader, norm, width, width / 2, 3),
          back(reader, norm, width / 2, width, 1),
          skip(reader, norm, width, width, 1) {}
};

struct LstmWeights {
    const float *input, *recurrent, *input_bias, *recurrent_bias;
    LstmWeights(WeightReader& reader, int size)
        : input(reader.take(4 * static_cast<size_t>(size) * size)),
          recurrent(reader.take(4 * static_cast<size_t>(size) * size)),
          input_bias(reader.take(4 * static_cast<size_t>(size))),
          recurrent_bias(reader.take(4 * static_cast<size_t>(size))) {}
};

struct NetworkWeights {
    std::vector<ConvWeights> first, last, scaling;  // one, one, one per ratio
    std::vector<ResidualWeights> residual;
    std::vector<LstmWeights> lstm;
    std::vector<int> ratios;  // in the order of the layers
    int width;                // of the LSTM between the convolutions
};

static NetworkWeights read_encoder(WeightReader& reader, const EncodecSpec& spec) {
    NetworkWeights net;
    const bool norm = !spec.causal;
    int width = spec.filters;
    net.first.emplace_back(reader, norm, spec.channels, width, 7);
    for (int i = spec.ratio_count - 1; i >= 0; i--) {
        const int ratio = spec.ratios[i];
        net.ratios.push_back(ratio);
        net.residual.emplace_back(reader, norm, width);
        net.scaling.emplace_back(reader, norm, width, 2 * width, 2 * ratio);
        width *= 2;
    }
    for (int i = 0; i < spec.lstm_layers; i++) net.lstm.emplace_back(reader, width);
    net.last.emplace_back(reader, norm, width, spec.dimension, 7);
    net.width = width;
    return net;
}

static NetworkWeights read_decoder(WeightReader& reader, const EncodecSpec& spec) {
    NetworkWeights net;
    const bool norm = !spec.causal;
    int width = spec.filters << spec.ratio_count;
    net.width = width;
    net.first.emplace_back(reader, norm, spec.dimension, width, 7);
    for (int i = 0; i < spec.lstm_layers; i++) net.lstm.emplace_back(reader, width);
    for (int i = 0; i < spec.ratio_count; i++) {
        const int ratio = spec.ratios[i];
        net.ratios.push_back(ratio);
        net.scaling.emplace_back(reader, norm, width, width / 2, 2 * ratio, true);
        width /= 2;
        net.residual.emplace_back(reader, norm, width);
    }
    net.last.emplace_back(reader, norm, width, spec.channels, 7);
    return net;
}
