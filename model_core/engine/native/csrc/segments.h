// Runs segments of the normalised, non-causal networks. Segments are independent; several go
// through the LSTM in step.
#pragma once

#include <algorithm>
#include <memory>
#include <vector>

#include "normalized_activations.h"
#include "jobs.h"
#include "lstm_pass.h"
#include "narrow.h"
#include "pack.h"
#include "reflect.h"
#include "rvq.h"

constexpr int SCRATCH_ROWS = 16 * TILE_ROWS;

// A convolution and the norm of its output. Activations are floats; the windows gathered from them,
// and the weights, are stored as T.
template <class T>
struct NormedConv {
    int in, out, kernel, stride;
    Packed<T> weights;
    NarrowConv narrow;  // instead, for few output channels
    std::vector<float> scale, offset;
    bool transposed;

    NormedConv(const ConvWeights& w, int stride)
        : in(w.in), out(w.out), kernel(w.kernel), stride(stride),
          scale(w.norm_scale, w.norm_scale + w.out),
          offset(w.norm_offset, w.norm_offset + w.out), transposed(w.transposed) {
        if (w.transposed)
            weights = pack_transposed<T>(w);
        else if (w.out < LANES / 2 && w.out <= 2)
            narrow = NarrowConv(w.in * w.kernel, w.out, w.bias,
                                [&](int n, int k) { return w.window(n, k); });
        else
            weights = pack_conv<T>(w);
    }
    int rows_at_once() const {  // weights larger than the cache are read only once
        return static_cast<size_t>(weights.depth) * out > 1 << 17 ? 1 << 30 : SCRATCH_ROWS;
    }
};

template <class T>
struct NormedResidual {
    NormedConv<T> wide, back, skip;
    explicit NormedResidual(const ResidualWeights& w)
        : wide(w.wide, 1), back(w.back, 1), skip(w.skip, 1) {}
};

template <class T>
struct NormedNetwork {
    std::vector<NormedConv<T>> first, last, scaling;
    std::vector<NormedResidual<T>> residual;
    std::vector<LstmLayer<T>> lstm;
    int width;

    explicit NormedNetwork(const NetworkWeights& net) : lstm(pack_lstm<T>(net)), width(net.width) {
        first.emplace_back(net.first[0], 1);
        last.emplace_back(net.last[0], 1);
        for (size_t i = 0; i < net.ratios.size(); i++) {
            scaling.emplace_back(net.scaling[i], net.ratios[i]);
            residual.emplace_back(net.residual[i]);
        }
    }
};

// The memory of one thread.
template <class T>
class SegmentWorker {
  public:
    SegmentWorker(const NormedNetwork<T>& net, const Quantizer& quantizer, const EncodecSpec& spec,
                  bool encoder)
        : net_(net), quantizer_(quantizer), spec_(spec), encoder_(encoder) {}

    void run_in_step(EncodecJob* const* jobs, int count) {
        std::vector<LstmStream<T>> streams;
        const size_t state = 2 * net_.lstm.size() * static_cast<size_t>(net_.width);
        states_.resize(state * static_cast<size_t>(count));
        if (state) std::memset(states_.get(), 0, sizeof(float) * state * static_cast<size_t>(count));
        while (frames_.size() < static_cast<size_t>(count))
            frames_.push_back(std::make_unique<LstmFrames<T>>());
        for (int i = 0; i < count; i++) {
            if (encoder_)
                encode_front(*jobs[i]);
            else
                decode_front(*jobs[i]);
            copy_rows(*current_, 0, current_->rows,
                      frames_[i]->input(current_->rows, net_.width));
            streams.push_back(
                {frames_[i].get(), states_.get() + state * static_cast<size_t>(i)});
        }
        run_lstm(net_.lstm, std::move(streams));
        for (int i = 0; i < count; i++) {
            const int frames = frames_[i]->frames;
            rows_.resize(static_cast<size_t>(frames) * net_.width + LANES);
            frames_[i]->finish(net_.lstm.size(), net_.width, rows_.get());
            if (encoder_)
                encode_back(*jobs[i], frames);
            else
                decode_back(*jobs[i], frames);
        }
    }

  private:
    // Calls source(first, count, to) for parts of the `rows` input rows.
    template <class Source>
    NormalizedActivations& convolve(const NormedConv<T>& conv, int rows, Source source) {
        NormalizedActivations& out = other();
        if (conv.transposed)
            scale_up(conv, rows, source, out);
        else
            scale_down(conv, rows, source, out);
        out.normalise(conv.scale.data(), conv.offset.data());
        current_ = &out;
        return out;
    }

    // Padding by reflection: the larger part of the fixed padding is on the left, the padding
    // that fills the last window is on the right (`nn.conv.SConv1d`).
    template <class Source>
    void scale_down(const NormedConv<T>& conv, int rows, Source source, NormalizedActivations& out) {
        const int total = conv.kernel - conv.stride, left = total - total / 2;
        const int windows = (rows + conv.stride - 1) / conv.stride;
        const int right = total / 2 + windows * conv.stride - rows;
        out.begin(windows, conv.out);
        for (int first = 0; first < windows; first += conv.rows_at_once()) {
            const int some = std::min(windows - first, conv.rows_at_once());
            const int begin = first * conv.stride - left;
            const int needed = (some - 1) * conv.stride + conv.kernel;
            gather(begin, needed, rows, std::max(left, right), conv.in, source);
            run(conv, scratch_.get(), some, first, out);
        }
    }

    // Rows -1 and `rows` are zeros; the trimmed rows are part of the norm's statistics.
    template <class Source>
    void scale_up(const NormedConv<T>& conv, int rows, Source source, NormalizedActivations& out) {
        out.begin((rows + 1) * conv.stride, conv.out);
        for (int first = 0; first < rows + 1; first += conv.rows_at_once()) {
            const int some = std::min(rows + 1 - first, conv.rows_at_once());
            scratch_.resize(static_cast<size_t>(some + 1) * conv.in + LANES);
            T* to = scratch_.get();
            const int begin = std::max(0, first - 1), end = std::min(rows, first + some);
            if (first == 0) zero(to, conv.in);
            source(begin, end - begin, to + static_cast<ptrdiff_t>(begin - first + 1) * conv.in);
            if (end < first + some)
                zero(to + static_cast<ptrdiff_t>(some) * conv.in, conv.in);
            Output<float> result;
            result.raw = {out.row(first * conv.stride),
                          static_cast<ptrdiff_t>(conv.stride) * conv.out, conv.out};
            result.moments = &out.moments;
            product(to, conv.in, some, conv.weights, result);
        }
    }

    static void run(const NormedConv<T>& conv, const T* windows, int count, int first,
                    NormalizedActivations& out) {
        const ptrdiff_t stride = static_cast<ptrdiff_t>(conv.stride) * conv.in;
        if (conv.narrow.channels) {
            conv.narrow.run(windows, stride, count, out.row(first), conv.out, &out.moments);
            return;
        }
        Output<float> result;
        result.raw = {out.row(first), conv.out, 0};
        result.moments = &out.moments;
        product(windows, stride, count, conv.weights, result);
    }

    // Rows `begin` to `begin + count` of a source of `rows` rows, padded by reflection, to scratch.
    template <class Source>
    void gather(int begin, int count, int rows, int reach, int width, Source source) {
        scratch_.resize(static_cast<size_t>(count) * width + LANES);
        one_.resize(static_cast<size_t>(width) + LANES);
        const auto place = [&](int at) {
            return scratch_.get() + static_cast<ptrdiff_t>(at - begin) * width;
        };
        const int inner = std::max(begin, 0), inner_end = std::min(begin + count, rows);
        source(inner, inner_end - inner, place(inner));
        const auto pad = [&](int at) {
            const int from = reflected(at, rows, reach);
            if (from == ZERO_ROW) return zero(place(at), width);
            source(from, 1, one_.get());
            std::memcpy(static_cast<void*>(place(at)), one_.get(), sizeof(T) * width);
        };
        for (int at = begin; at < inner; at++) pad(at);
        for (int at = inner_end; at < begin + count; at++) pad(at);
    }

    // From normalised activations to the two terms of the sum: `back_` and `skip_`.
    void residual(const NormedResidual<T>& unit, const NormalizedActivations& x) {
        hidden_.begin(x.rows, unit.wide.out);
        skip_.begin(x.rows, unit.skip.out);
        back_.begin(x.rows, unit.back.out);
        for (int first = 0; first < x.rows; first += SCRATCH_ROWS) {
            const int some = std::min(x.rows - first, SCRATCH_ROWS);
            gather(first - 1, some + 2, x.rows, 1, x.channels,
                   [&](int from, int count, T* to) { copy_activated(x, from, count, to); });
            run(unit.wide, scratch_.get(), some, first, hidden_);
            copy_rows(x, first, some, scratch_.get());
            run(unit.skip, scratch_.get(), some, first, skip_);
        }
        hidden_.normalise(unit.wide.scale.data(), unit.wide.offset.data());
        skip_.normalise(unit.skip.scale.data(), unit.skip.offset.data());
        for (int first = 0; first < x.rows; first += SCRATCH_ROWS) {
            const int some = std::min(x.rows - first, SCRATCH_ROWS);
            scratch_.resize(static_cast<size_t>(some) * hidden_.channels + LANES);
            copy_activated(hidden_, first, some, scratch_.get());
            run(unit.back, scratch_.get(), some, first, back_);
        }
        back_.normalise(unit.back.scale.data(), unit.back.offset.data());
    }

    // The activated sum of `residual`'s outputs, into the next convolution.
    NormalizedActivations& after_residual(const NormedConv<T>& conv) {
        return convolve(conv, back_.rows, [this](int first, int count, T* to) {
            copy_activated_sum(back_, skip_, first, count, to);
        });
    }

    static void zero(T* to, int count) {
        std::memset(static_cast<void*>(to), 0, sizeof(T) * static_cast<size_t>(count));
    }

    // Rows of `width` floats, used unchanged.
    static auto plain(const float* rows, int width) {
        return [rows, width](int first, int count, T* to) {
            put(rows + static_cast<size_t>(first) * width, static_cast<size_t>(count) * width, to);
        };
    }

    void encode_front(const EncodecJob& job) {
        const int samples = static_cast<int>(job.sample_count);
        rows_.resize(static_cast<size_t>(samples) * spec_.channels + LANES);
        to_rows(job, samples, 0, samples, spec_.channels, rows_.get());
        convolve(net_.first[0], samples, plain(rows_.get(), spec_.channels));
        for (size_t i = 0; i < net_.scaling.size(); i++) {
            residual(net_.residual[i], *current_);
            after_residual(net_.scaling[i]);
        }
    }

    void encode_back(const EncodecJob& job, int frames) {
        const NormalizedActivations& latent = convolve(net_.last[0], frames, plain(rows_.get(), net_.width));
        latent_.resize(static_cast<size_t>(frames) * spec_.dimension + LANES);
        copy_rows(latent, 0, frames, latent_.get());
        quantizer_.encode(latent_.get(), frames, job.books, job.codes, job.frames, scores_);
    }

    void decode_front(const EncodecJob& job) {
        const int frames = static_cast<int>(job.frames);
        latent_.resize(static_cast<size_t>(frames) * spec_.dimension + LANES);
        quantizer_.decode(job.codes, frames, frames, job.books, latent_.get(), spec_.dimension);
        convolve(net_.first[0], frames, plain(latent_.get(), spec_.dimension));
    }

    void decode_back(const EncodecJob& job, int frames) {
        int rows = frames;
        for (size_t i = 0; i < net_.scaling.size(); i++) {
            const NormedConv<T>& up = net_.scaling[i];
            NormalizedActivations& y = i == 0 ? convolve(up, rows, plain(rows_.get(), net_.width))
                              : after_residual(up);
            y.trim(up.stride - up.stride / 2, up.stride / 2);
            rows = y.rows;
            residual(net_.residual[i], y);
        }
        const NormalizedActivations& y = after_residual(net_.last[0]);
        rows_.resize(static_cast<size_t>(rows) * spec_.channels + LANES);
        copy_rows(y, 0, rows, rows_.get());
        for (size_t i = 0; i < static_cast<size_t>(rows) * spec_.channels; i++)
            rows_.get()[i] *= job.scale;
        from_rows(job, rows, 0, rows, spec_.channels, rows_.get());
    }

    NormalizedActivations& other() { return current_ == &activations_[0] ? activations_[1] : activations_[0]; }

    const NormedNetwork<T>& net_;
    const Quantizer& quantizer_;
    const EncodecSpec& spec_;
    bool encoder_;
    NormalizedActivations activations_[2], hidden_, skip_, back_;
    NormalizedActivations* current_ = &activations_[0];
    Buffer<T> scratch_, one_;
    Floats rows_, latent_, states_, scores_;
    std::vector<std::unique_ptr<LstmFrames<T>>> frames_;
};
