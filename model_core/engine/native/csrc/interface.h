// What Python passes: a model's description, its weights in the order of the layers, and jobs.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <stdexcept>
#include <vector>

#if defined(_WIN32)
#define EXPORT extern "C" __declspec(dllexport)
#else
#define EXPORT extern "C" __attribute__((visibility("default")))
#endif

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

// Part of a stream's audio or codes. For a causal stream, `state` `[state_size]` comes from the
// blocks before and is updated (not read if `first`); the other model's segments have none.
struct EncodecJob {
    float* samples;        // [channels, samples], to read or to write
    int64_t* codes;        // [books, frames], to write or to read
    float* state;
    float scale;           // factor of the samples at the end (decode)
    int32_t books;
    int32_t beam;          // paths that the search keeps (encode)
    int32_t first, last;
    int64_t sample_count;  // encode
    int64_t frames;
    float* latent;         // [frames, dimension], to write in place of the codes, or null (encode)
};
}

// Planar samples `[channels, n]` from `begin` on to rows, and back.
template <class Row>
static inline void to_rows(const EncodecJob& job, int64_t begin, int count, int channels,
                           Row* rows) {
    for (int c = 0; c < channels; c++) {
        const float* from = job.samples + c * job.sample_count + begin;
        for (int t = 0; t < count; t++) rows[t * channels + c] = Row(from[t]);
    }
}
static inline void from_rows(const EncodecJob& job, int64_t n, int64_t begin, int count,
                             int channels, const float* rows) {
    for (int c = 0; c < channels; c++) {
        float* to = job.samples + c * n + begin;
        for (int t = 0; t < count; t++) to[t] = rows[t * channels + c] * job.scale;
    }
}

// Gives the parts of one array in order.
template <class T>
class Reader {
  public:
    Reader(const T* data, size_t size) : data_(data), left_(size) {}
    const T* take(size_t count) {
        if (count > left_) throw std::invalid_argument("the weights are shorter than the model");
        const T* part = data_;
        data_ += count;
        left_ -= count;
        return part;
    }
    T next() { return *take(1); }
    void finish() const {
        if (left_) throw std::invalid_argument("the weights are longer than the model");
    }

  private:
    const T* data_;
    size_t left_;
};

using WeightReader = Reader<float>;

// A convolution's weight `[out, in, kernel]` (`[in, out, kernel]` if transposed) and bias `[out]`;
// if the output is normalised, the norm's scale and offset, `[out]` each.
struct ConvWeights {
    int in, out, kernel, stride;
    bool transposed;
    const float *weight, *bias, *norm_scale, *norm_offset;

    ConvWeights() = default;
    ConvWeights(WeightReader& reader, bool norm, int in, int out, int kernel, int stride = 1,
                bool transposed = false)
        : in(in), out(out), kernel(kernel), stride(stride), transposed(transposed),
          weight(reader.take(static_cast<size_t>(in) * out * kernel)),
          bias(reader.take(static_cast<size_t>(out))),
          norm_scale(norm ? reader.take(static_cast<size_t>(out)) : nullptr),
          norm_offset(norm ? reader.take(static_cast<size_t>(out)) : nullptr) {}

    // Place k of the window is row k / in, channel k % in.
    float window(int n, int k) const {
        return weight[(static_cast<size_t>(n) * in + k % in) * kernel + k / in];
    }
};

struct ResidualWeights {
    ConvWeights wide, back, skip;

    ResidualWeights(WeightReader& reader, bool norm, int width)
        : wide(reader, norm, width, width / 2, 3), back(reader, norm, width / 2, width, 1),
          skip(reader, norm, width, width, 1) {}
};

// In torch's layout: `[4 width, width]` twice, `[4 width]` twice.
struct LstmWeights {
    const float *input, *recurrent, *input_bias, *recurrent_bias;

    LstmWeights(WeightReader& reader, size_t width)
        : input(reader.take(4 * width * width)), recurrent(reader.take(4 * width * width)),
          input_bias(reader.take(4 * width)), recurrent_bias(reader.take(4 * width)) {}
};

// The weights of encoder or decoder, in the order of the layers in `nn.seanet`.
struct NetworkWeights {
    int width;  // of the LSTM between the convolutions
    ConvWeights first, last;
    std::vector<ConvWeights> scaling;  // one per ratio, as the residual units
    std::vector<ResidualWeights> residual;
    std::vector<LstmWeights> lstm;

    NetworkWeights(WeightReader& reader, const EncodecSpec& spec, bool encoder)
        : width(spec.filters << spec.ratio_count) {
        const bool norm = !spec.causal;
        const auto read_lstm = [&] {
            for (int i = 0; i < spec.lstm_layers; i++) lstm.emplace_back(reader, width);
        };
        if (encoder) {
            int now = spec.filters;
            first = ConvWeights(reader, norm, spec.channels, now, 7);
            for (int i = spec.ratio_count - 1; i >= 0; i--, now *= 2) {
                const int ratio = spec.ratios[i];
                residual.emplace_back(reader, norm, now);
                scaling.emplace_back(reader, norm, now, 2 * now, 2 * ratio, ratio);
            }
            read_lstm();
            last = ConvWeights(reader, norm, width, spec.dimension, 7);
        } else {
            int now = width;
            first = ConvWeights(reader, norm, spec.dimension, width, 7);
            read_lstm();
            for (int i = 0; i < spec.ratio_count; i++, now /= 2) {
                const int ratio = spec.ratios[i];
                scaling.emplace_back(reader, norm, now, now / 2, 2 * ratio, ratio, true);
                residual.emplace_back(reader, norm, now / 2);
            }
            last = ConvWeights(reader, norm, spec.filters, spec.channels, 7);
        }
    }
};
