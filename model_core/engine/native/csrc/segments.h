// Segments of the normalised, non-causal networks. Each is independent of the others.
#pragma once

#include <cmath>

#include "convolution.h"
#include "network.h"

constexpr int SCRATCH_ROWS = 16 * TILE_ROWS;

// A convolution and the norm of its output. Activations are floats; the windows gathered from them,
// and the weights, are stored as T.
template <class T>
struct NormedConv {
    int in, out;
    int kernel, stride;  // of the windows; two rows, one by one, if transposed
    int rows_out;        // of each window
    bool transposed;
    const std::vector<float> scale, offset;
    Packed<T> weights;
    NarrowConv narrow;  // instead, for few output channels

    explicit NormedConv(const ConvWeights& w)
        : in(w.in), out(w.out), kernel(w.transposed ? 2 : w.kernel),
          stride(w.transposed ? 1 : w.stride), rows_out(w.transposed ? w.stride : 1),
          transposed(w.transposed), scale(w.norm_scale, w.norm_scale + w.out),
          offset(w.norm_offset, w.norm_offset + w.out) {
        if (w.transposed)
            weights = pack_transposed<T>(w);
        else if (w.out < LANES / 2 && w.out <= 2)
            narrow = NarrowConv(w);
        else
            weights = pack_conv<T>(w);
    }
    int windows(int rows) const { return (rows + stride - 1) / stride + transposed; }
    int windows_at_once() const {  // weights larger than the cache are read only once
        return static_cast<size_t>(weights.depth) * out > 1 << 17 ? 1 << 30 : SCRATCH_ROWS;
    }
};

template <class T>
struct NormedResidual {
    NormedConv<T> wide, back, skip;
    explicit NormedResidual(const ResidualWeights& w) : wide(w.wide), back(w.back), skip(w.skip) {}
};

template <class T>
class SegmentWorker;

template <class T>
class NormedNetwork : public BlockNetwork<T> {
  public:
    const NormedConv<T> first, last;
    const std::vector<NormedConv<T>> scaling;
    const std::vector<NormedResidual<T>> residual;

    NormedNetwork(const NetworkWeights& net, const Quantizer& quantizer, const EncodecSpec& spec,
                  bool encoder)
        : BlockNetwork<T>(net, quantizer, spec, encoder), first(net.first), last(net.last),
          scaling(net.scaling.begin(), net.scaling.end()),
          residual(net.residual.begin(), net.residual.end()) {}

  protected:
    std::unique_ptr<BlockWorker<T>> make_worker() const override {
        return std::make_unique<SegmentWorker<T>>(*this);
    }
};

// A layer's output. It is normalised over the whole segment, so it cannot be read until it is
// complete. It is stored before the norm; a reader applies the norm as a factor and an offset for
// each channel.
class Activations {
  public:
    // Make room for `rows` rows.
    void begin(int rows, int channels) {
        this->rows = rows;
        this->channels = channels;
        skipped_ = 0;
        moments = {};
        data_.resize(static_cast<size_t>(rows) * channels + LANES);
    }

    // All rows are complete: compute factors and offsets. Source: torch's GroupNorm of one group.
    void normalise(const std::vector<float>& scale, const std::vector<float>& offset) {
        const double count = static_cast<double>(rows) * channels;
        const double mean = moments.sum / count;
        const double variance = std::max(0.0, moments.squares / count - mean * mean);
        const double inverse = 1 / std::sqrt(variance + 1e-5);
        period_ = channels;
        while (period_ % LANES) period_ += channels;  // a whole number of vectors
        factors_.resize(2 * static_cast<size_t>(period_));
        for (int i = 0; i < period_; i++) {
            const double factor = scale[i % channels] * inverse;
            factors_.get()[i] = static_cast<float>(factor);
            factors_.get()[period_ + i] =
                static_cast<float>(offset[i % channels] - factor * mean);
        }
    }

    // Drop rows on both sides, which are part of the norm's statistics.
    void trim(int left, int right) {
        skipped_ = left;
        rows -= left + right;
    }

    float* row(int i) { return data_.get() + static_cast<size_t>(skipped_ + i) * channels; }
    const float* row(int i) const {
        return data_.get() + static_cast<size_t>(skipped_ + i) * channels;
    }

    // Rows from `first` on to `to`, as made by map(value, i, place) from vectors of normalised
    // values; i and place are where in the rows and in the factors.
    template <class Row, class Map>
    INLINE void copy(int first, int count, Row* to, Map map) const {
        const int size = count * channels;
        for (int i = 0, place = 0; i < size; i += LANES, place += LANES) {
            if (place == period_) place = 0;
            store_some(to + i, map(value(first, i, place), i, place), size - i);
        }
    }
    template <class Row>
    void copy(int first, int count, Row* to) const {
        copy(first, count, to, [](Vec v, int, int) { return v; });
    }
    INLINE Vec value(int first, int i, int place) const {
        const float* factors = factors_.get() + place;
        return load(row(first) + i) * load(factors) + load(factors + period_);
    }

    int rows = 0, channels = 0;
    Moments moments;

  private:
    Floats data_, factors_;
    int skipped_ = 0, period_ = 0;
};

template <class T>
class SegmentWorker : public BlockWorker<T> {
  public:
    explicit SegmentWorker(const NormedNetwork<T>& network)
        : BlockWorker<T>(network), net_(network) {}

  protected:
    void front(const EncodecJob& job, const Block& block, LstmFrames<T>& frames, Turn&) override {
        const int channels = net_.first.in;
        const int count = net_.encoder ? static_cast<int>(job.sample_count) : block.frames;
        rows_.resize(static_cast<size_t>(count) * channels + LANES);
        if (net_.encoder)
            to_rows(job, 0, count, channels, rows_.get());
        else
            net_.quantizer.decode(job.codes, count, count, job.books, rows_.get());
        convolve(net_.first, count, plain(channels), x_);
        if (net_.encoder)
            for (size_t i = 0; i < net_.scaling.size(); i++) {
                residual(net_.residual[i]);
                convolve(net_.scaling[i], back_.rows, residual_sum(), x_);
            }
        float* state = frames.new_state(net_.lstm_state);
        x_.copy(0, x_.rows, frames.input(x_.rows, net_.width, state));
    }

    void back(const EncodecJob& job, const Block& block, const LstmFrames<T>& frames,
              Turn&) override {
        rows_.resize(static_cast<size_t>(block.frames) * net_.width + LANES);
        frames.finish(net_.width, rows_.get());
        if (net_.encoder) {
            convolve(net_.last, block.frames, plain(net_.width), x_);
        } else {
            for (size_t i = 0; i < net_.scaling.size(); i++) {
                const NormedConv<T>& up = net_.scaling[i];
                if (i == 0)
                    convolve(up, block.frames, plain(net_.width), x_);
                else
                    convolve(up, back_.rows, residual_sum(), x_);
                x_.trim(up.rows_out - up.rows_out / 2, up.rows_out / 2);
                residual(net_.residual[i]);
            }
            convolve(net_.last, back_.rows, residual_sum(), x_);
        }
        rows_.resize(static_cast<size_t>(x_.rows) * x_.channels + LANES);
        x_.copy(0, x_.rows, rows_.get());
        if (net_.encoder)
            give(net_.quantizer, rows_.get(), x_.rows, 0, job, search_);
        else
            from_rows(job, x_.rows, 0, x_.rows, x_.channels, rows_.get());
    }

  private:
    // Sources of rows to be convolved, source(first, count, to): those in `rows_`, unchanged;
    auto plain(int channels) const {
        return [this, channels](int first, int count, T* to) {
            put(rows_.get() + static_cast<size_t>(first) * channels,
                static_cast<size_t>(count) * channels, to);
        };
    }
    // the output of a layer after ELU; the residual unit's two branches, their sum after ELU.
    static auto activated(const Activations& x) {
        return [&x](int first, int count, T* to) {
            x.copy(first, count, to, [](Vec v, int, int) { return Stored<T>::activated(v); });
        };
    }
    auto residual_sum() const {
        return [this](int first, int count, T* to) {
            back_.copy(first, count, to, [&](Vec v, int i, int place) {
                return Stored<T>::activated(skip_.value(first, i, place) + v);
            });
        };
    }

    template <class Source>
    void convolve(const NormedConv<T>& conv, int rows, Source source, Activations& out) {
        const int some = conv.windows_at_once();
        out.begin(conv.windows(rows) * conv.rows_out, conv.out);
        for (int first = 0; first < conv.windows(rows); first += some)
            convolve_some(conv, rows, source, first, some, out);
        out.normalise(conv.scale, conv.offset);
    }

    // At most `most` windows. Padding by reflection: the larger part of the fixed padding is on the
    // left, the padding that fills the last window is on the right (`nn.conv.SConv1d`). Around the
    // rows of a transposed convolution are zeros.
    template <class Source>
    void convolve_some(const NormedConv<T>& conv, int rows, Source source, int first, int most,
                       Activations& out) {
        const int windows = conv.windows(rows), some = std::min(windows - first, most);
        const int total = conv.kernel - conv.stride, left = total - total / 2;
        const int right = total / 2 + windows * conv.stride - rows;
        gather(first * conv.stride - left, (some - 1) * conv.stride + conv.kernel, rows,
               conv.transposed ? 0 : std::max(left, right), conv.in, source);
        const ptrdiff_t stride = static_cast<ptrdiff_t>(conv.stride) * conv.in;
        const Target<float> target{out.row(first * conv.rows_out),
                                   static_cast<ptrdiff_t>(conv.rows_out) * conv.out, conv.out};
        if (conv.narrow.channels)
            conv.narrow.run(scratch_.get(), stride, some, {target, {}, &out.moments});
        else
            product(scratch_.get(), stride, some, conv.weights,
                    Output<float>{target, {}, &out.moments});
    }

    // Rows `begin` to `begin + count` of a source of `rows` rows, padded by reflection (by zeros if
    // `reach` is 0), to scratch.
    template <class Source>
    void gather(int begin, int count, int rows, int reach, int channels, Source source) {
        scratch_.resize(static_cast<size_t>(count) * channels + LANES);
        row_.resize(static_cast<size_t>(channels) + LANES);
        const auto place = [&](int at) {
            return scratch_.get() + static_cast<ptrdiff_t>(at - begin) * channels;
        };
        const int inner = std::max(begin, 0), inner_end = std::min(begin + count, rows);
        source(inner, inner_end - inner, place(inner));
        const auto pad = [&](int at) {
            const size_t size = sizeof(T) * static_cast<size_t>(channels);
            const int from = reach ? reflected(at, rows, reach) : ZERO_ROW;
            if (from == ZERO_ROW) {
                std::memset(static_cast<void*>(place(at)), 0, size);
            } else {
                source(from, 1, row_.get());
                std::memcpy(static_cast<void*>(place(at)), row_.get(), size);
            }
        };
        for (int at = begin; at < inner; at++) pad(at);
        for (int at = inner_end; at < begin + count; at++) pad(at);
    }

    // From `x_` to the two terms of the sum: `back_` and `skip_`.
    void residual(const NormedResidual<T>& unit) {
        const auto unchanged = [this](int first, int count, T* to) { x_.copy(first, count, to); };
        const int rows = x_.rows;
        hidden_.begin(rows, unit.wide.out);
        skip_.begin(rows, unit.skip.out);
        for (int first = 0; first < rows; first += SCRATCH_ROWS) {  // both while `x_` is in cache
            convolve_some(unit.wide, rows, activated(x_), first, SCRATCH_ROWS, hidden_);
            convolve_some(unit.skip, rows, unchanged, first, SCRATCH_ROWS, skip_);
        }
        hidden_.normalise(unit.wide.scale, unit.wide.offset);
        skip_.normalise(unit.skip.scale, unit.skip.offset);
        convolve(unit.back, rows, activated(hidden_), back_);
    }

    const NormedNetwork<T>& net_;
    Activations x_, hidden_, skip_, back_;
    Buffer<T> scratch_, row_;
    Floats rows_;
    PathSearch search_;
};
