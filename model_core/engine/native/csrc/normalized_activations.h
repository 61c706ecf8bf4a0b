// Activations between the layers of the 48 kHz networks. A layer's output is normalised over the
// whole segment, so it cannot be read until it is complete. It is stored before the norm; a reader
// applies the norm as a factor and an offset for each channel.
#pragma once

#include <cmath>
#include <vector>

#include "buffer.h"
#include "gemm.h"

class NormalizedActivations {
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
    void normalise(const float* scale, const float* offset) {
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

    // Calls use(i, vector, count) for the normalised values of rows from `first` on.
    template <class Use>
    INLINE void each(int first, int count, Use use) const {
        each_place(count, [&](int i, int place, int some) {
            use(i, value(first, i, place), some);
        });
    }

    // The same, together with the values of other activations with equally many channels.
    template <class Use>
    INLINE void each_with(const NormalizedActivations& other, int first, int count, Use use) const {
        each_place(count, [&](int i, int place, int some) {
            use(i, value(first, i, place), other.value(first, i, place), some);
        });
    }

    int rows = 0, channels = 0;
    Moments moments;

  private:
    // In vectors: where in the rows, where in the factors, and how many values.
    template <class Use>
    INLINE void each_place(int count, Use use) const {
        const int size = count * channels;
        int place = 0;
        for (int i = 0; i < size; i += LANES, place += LANES) {
            if (place == period_) place = 0;
            const int some = size - i;
            use(i, place, some < LANES ? some : LANES);
        }
    }
    INLINE Vec value(int first, int i, int place) const {
        const float* factors = factors_.get() + place;
        return load(row(first) + i) * load(factors) + load(factors + period_);
    }

    Floats data_, factors_;
    int skipped_ = 0, period_ = 0;
};

// The normalised rows themselves.
template <class Row>
static void copy_rows(const NormalizedActivations& x, int first, int count, Row* to) {
    x.each(first, count, [&](int i, Vec v, int some) { store_some(to + i, v, some); });
}

template <class Row>
static void copy_activated(const NormalizedActivations& x, int first, int count, Row* to) {
    x.each(first, count, [&](int i, Vec v, int some) {
        store_some(to + i, Stored<Row>::activated(v), some);
    });
}

// elu(a + b), normalised each.
template <class Row>
static void copy_activated_sum(const NormalizedActivations& a, const NormalizedActivations& b, int first, int count, Row* to) {
    a.each_with(b, first, count, [&](int i, Vec v, Vec w, int some) {
        store_some(to + i, Stored<Row>::activated(w + v), some);
    });
}
