// The residual vector quantiser: nearest entries of one codebook after the other, and their sum.
#pragma once

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
        std::memcpy(entries_.get(), entries, sizeof(float) * size * codebooks);
        Floats half(static_cast<size_t>(bins));
        for (int q = 0; q < codebooks; q++) {
            const float* book = entries + q * size;
            for (int n = 0; n < bins; n++) {
                double squares = 0;
                for (int k = 0; k < dimension; k++) {
                    const double e = book[static_cast<size_t>(n) * dimension + k];
                    squares += e * e;
                }
                half.get()[n] = static_cast<float>(-squares / 2);
            }
            scores_.emplace_back(dimension, bins, 1, half.get(), [&](int n, int k) {
                return book[static_cast<size_t>(n) * dimension + k];
            });
        }
    }

    int codebooks() const { return static_cast<int>(scores_.size()); }

    // Latent `[frames, dimension]`, which is used up, to codes: book q's of frame t goes to
    // `codes[q stride + t]`. The nearest entry has the largest x e - e e / 2; the first of equals.
    void encode(float* latent, int frames, int books, int64_t* codes, ptrdiff_t stride,
                Floats& scratch) const {
        scratch.resize(static_cast<size_t>(ROWS_AT_ONCE) * bins_);
        for (int first = 0; first < frames; first += ROWS_AT_ONCE) {
            const int rows = frames - first < ROWS_AT_ONCE ? frames - first : ROWS_AT_ONCE;
            float* x = latent + static_cast<size_t>(first) * dimension_;
            for (int q = 0; q < books; q++) {
                Output out;
                out.raw = {scratch.get(), bins_, 0};
                product(x, dimension_, rows, scores_[q], out);
                for (int t = 0; t < rows; t++) {
                    const int best = largest(scratch.get() + static_cast<size_t>(t) * bins_);
                    codes[q * stride + first + t] = best;
                    subtract(x + static_cast<size_t>(t) * dimension_, entry(q, best));
                }
            }
        }
    }

    // Codes as above to rows `[frames, dimension]`, each `row` floats after the one before.
    void decode(const int64_t* codes, ptrdiff_t stride, int frames, int books, float* latent,
                ptrdiff_t row) const {
        for (int t = 0; t < frames; t++) {
            float* x = latent + t * row;
            for (int k = 0; k < dimension_; k++) x[k] = 0;
            for (int q = 0; q < books; q++) {
                const float* e = entry(q, static_cast<int>(codes[q * stride + t]));
                for (int k = 0; k < dimension_; k++) x[k] += e[k];
            }
        }
    }

  private:
    const float* entry(int book, int index) const {
        return entries_.get() + (static_cast<size_t>(book) * bins_ + index) * dimension_;
    }

    void subtract(float* x, const float* e) const {
        for (int k = 0; k < dimension_; k++) x[k] -= e[k];
    }

    int largest(const float* scores) const {
        int index = 0, n = 0;
        float value = scores[0];
        if (bins_ >= LANES) {
            Vec best = load(scores);
            IntVec where = {}, here = {};
            for (int i = 0; i < LANES; i++) where[i] = here[i] = i;
            for (n = LANES; n + LANES <= bins_; n += LANES) {
                const Vec v = load(scores + n);
                here += LANES;
                const IntVec more = v > best;
                best = choose(more, v, best);
                where = (more & here) | (~more & where);
            }
            value = best[0];
            index = where[0];
            for (int i = 1; i < LANES; i++)
                if (best[i] > value || (best[i] == value && where[i] < index)) {
                    value = best[i];
                    index = where[i];
                }
        }
        for (; n < bins_; n++)
            if (scores[n] > value) {
                value = scores[n];
                index = n;
            }
        return index;
    }

    int bins_ = 0, dimension_ = 0;
    Floats entries_;
    std::vector<Packed> scores_;
};
