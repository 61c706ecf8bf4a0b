// The residual vector quantiser: the nearest entry of each codebook in turn, and the sum of the
// entries. `path_search.h` looks at more than the nearest.
#pragma once

#include <cmath>
#include <cstdint>
#include <vector>

#include "gemm.h"

class Quantizer {
  public:
    Quantizer() = default;
    // `entries` `[codebooks, bins, dimension]`.
    Quantizer(int codebooks, int bins, int dimension, const float* entries)
        : bins_(bins), dimension_(dimension) {
        const size_t size = static_cast<size_t>(bins) * dimension;
        entries_.resize(size * codebooks);
        if (codebooks) std::memcpy(entries_.get(), entries, sizeof(float) * size * codebooks);
        padded_ = (bins + LANES - 1) / LANES * LANES;
        squares_.assign(static_cast<size_t>(padded_) * codebooks, INFINITY);
        for (int q = 0; q < codebooks; q++) {
            for (int n = 0; n < bins; n++) squares_[q * padded_ + n] = squared(entry(q, n));
            products_.emplace_back(dimension, bins, 1, nullptr,
                                   [&](int n, int k) { return -2 * entry(q, n)[k]; });
        }
    }

    int bins() const { return bins_; }
    int dimension() const { return dimension_; }
    const float* entry(int book, int index) const {
        return entries_.get() + (static_cast<size_t>(book) * bins_ + index) * dimension_;
    }
    // The squares of a book's entries, in whole vectors; infinite where there are none.
    const float* squares(int book) const {
        return squares_.data() + static_cast<size_t>(book) * padded_;
    }
    // -2 x e for rows of x, `[rows, bins]`.
    void multiply(const float* x, int rows, int book, float* to) const {
        product(x, dimension_, rows, products_[book], Output<float>{{to, bins_}});
    }

    // Codes, frame t's of book q at `codes[q stride + t]`, to rows `[frames, dimension]`.
    template <class Row>
    void decode(const int64_t* codes, ptrdiff_t stride, int frames, int books, Row* latent) const {
        for (int t = 0; t < frames; t++)
            for (int k = 0; k < dimension_; k += LANES) {
                const int some = std::min(dimension_ - k, LANES);
                Vec x = {};
                for (int q = 0; q < books; q++)
                    x += load_some(entry(q, static_cast<int>(codes[q * stride + t])) + k, some);
                store_some(latent + static_cast<ptrdiff_t>(t) * dimension_ + k, x, some);
            }
    }

    // Latent `[frames, dimension]`, of which the error is left, to codes, placed as above: the
    // first of the nearest entries. The terms of the distance are added in the reference's order,
    // so that ties are the same.
    void choose_nearest(float* latent, int frames, int books, int64_t* codes, ptrdiff_t stride,
                        Floats& scratch) const {
        scratch.resize(static_cast<size_t>(ROWS_AT_ONCE) * bins_ + LANES);
        for (int first = 0; first < frames; first += ROWS_AT_ONCE) {
            const int rows = std::min(frames - first, ROWS_AT_ONCE);
            float* x = latent + static_cast<size_t>(first) * dimension_;
            for (int q = 0; q < books; q++) {
                multiply(x, rows, q, scratch.get());
                for (int t = 0; t < rows; t++) {
                    float* rest = x + static_cast<size_t>(t) * dimension_;
                    const float* products = scratch.get() + static_cast<size_t>(t) * bins_;
                    const int best = nearest(products, squared(rest), squares(q));
                    codes[q * stride + first + t] = best;
                    const float* chosen = entry(q, best);
                    for (int k = 0; k < dimension_; k++) rest[k] -= chosen[k];
                }
            }
        }
    }

  private:
    float squared(const float* x) const {
        float total = 0;
        for (int k = 0; k < dimension_; k++) total += x[k] * x[k];
        return total;
    }

    // `products` is -2 x e, `x` the square of x, `squares` the squares of the entries,
    // infinite where there are none.
    int nearest(const float* products, float x, const float* squares) const {
        Vec best = fill(INFINITY);
        IntVec where = {}, here = {};
        for (int i = 0; i < LANES; i++) where[i] = here[i] = i;
        for (int n = 0; n < bins_; n += LANES, here += LANES) {
            const Vec v = (x + load(products + n)) + load(squares + n);
            const IntVec less = v < best;
            best = choose(less, v, best);
            where = (less & here) | (~less & where);
        }
        int lane = 0;
        for (int i = 1; i < LANES; i++)
            if (best[i] < best[lane] || (best[i] == best[lane] && where[i] < where[lane])) lane = i;
        return where[lane];
    }

    int bins_ = 0, dimension_ = 0, padded_ = 0;
    Floats entries_;
    std::vector<float> squares_;  // `[codebooks, padded]`
    std::vector<Packed<float>> products_;
};
