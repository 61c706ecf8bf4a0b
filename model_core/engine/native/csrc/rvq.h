// The residual vector quantiser: the nearest entry of each codebook in turn, or the best of several
// paths through the codebooks; and the sum of the entries.
#pragma once

#include <cmath>
#include <cstdint>
#include <vector>

#include "gemm.h"

// A path through the codebooks: that of rank `parent` in the book before, and an entry of this one.
struct Extension {
    float error;  // squared, of what the path leaves
    int parent, code;
};

// What a search writes to, for one thread.
struct SearchMemory {
    Floats scores, rests, next_rests;
    std::vector<Extension> paths;
};

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

    // Latent `[frames, dimension]`, which is overwritten, to codes: frame t's code of book q goes
    // to `codes[q stride + t]`. After each book the `beam` best paths are kept.
    void encode(float* latent, int frames, int books, int beam, int64_t* codes, ptrdiff_t stride,
                SearchMemory& memory) const {
        if (beam > 1)
            search(latent, frames, books, beam, codes, stride, memory);
        else
            choose_nearest(latent, frames, books, codes, stride, memory.scores);
    }

    // Codes as above to rows `[frames, dimension]`.
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

  private:
    // The first of the nearest entries; the terms of the distance are added in the reference's
    // order, so that ties are the same.
    void choose_nearest(float* latent, int frames, int books, int64_t* codes, ptrdiff_t stride,
                        Floats& scratch) const {
        scratch.resize(static_cast<size_t>(ROWS_AT_ONCE) * bins_ + LANES);
        for (int first = 0; first < frames; first += ROWS_AT_ONCE) {
            const int rows = std::min(frames - first, ROWS_AT_ONCE);
            float* x = latent + static_cast<size_t>(first) * dimension_;
            for (int q = 0; q < books; q++) {
                product(x, dimension_, rows, products_[q], Output<float>{{scratch.get(), bins_}});
                for (int t = 0; t < rows; t++) {
                    float* rest = x + static_cast<size_t>(t) * dimension_;
                    const int best =
                        nearest(scratch.get() + static_cast<size_t>(t) * bins_, squared(rest),
                                squares_.data() + static_cast<size_t>(q) * padded_);
                    codes[q * stride + first + t] = best;
                    const float* chosen = entry(q, best);
                    for (int k = 0; k < dimension_; k++) rest[k] -= chosen[k];
                }
            }
        }
    }

    // The best of the paths of each frame, some frames at a time.
    void search(const float* latent, int frames, int books, int beam, int64_t* codes,
                ptrdiff_t stride, SearchMemory& memory) const {
        const int at_once = std::max(1, ROWS_AT_ONCE / beam);
        const size_t rows = static_cast<size_t>(at_once) * beam;
        memory.scores.resize(rows * bins_ + LANES);
        memory.rests.resize(rows * dimension_);
        memory.next_rests.resize(rows * dimension_);
        memory.paths.resize(rows * books);
        for (int first = 0; first < frames; first += at_once) {
            const int some = std::min(frames - first, at_once);
            float *rests = memory.rests.get(), *next = memory.next_rests.get();
            std::memcpy(rests, latent + static_cast<size_t>(first) * dimension_,
                        sizeof(float) * some * dimension_);
            int paths = 1;
            for (int q = 0; q < books; q++) {
                const int kept = q + 1 < books ? std::min(beam, paths * bins_) : 1;
                product(rests, dimension_, some * paths, products_[q],
                        Output<float>{{memory.scores.get(), bins_}});
                for (int t = 0; t < some; t++) {
                    Extension* best = memory.paths.data() + q * rows + t * beam;
                    const float* from = rests + static_cast<size_t>(t) * paths * dimension_;
                    extend(memory.scores.get() + static_cast<size_t>(t) * paths * bins_, from,
                           paths, q, kept, best);
                    float* to = next + static_cast<size_t>(t) * kept * dimension_;
                    for (int i = 0; i < kept; i++)
                        subtract(from + best[i].parent * dimension_, entry(q, best[i].code),
                                 to + i * dimension_);
                }
                std::swap(rests, next);
                paths = kept;
            }
            for (int t = 0; t < some; t++)
                for (int q = books - 1, rank = 0; q >= 0; q--) {
                    const Extension& path = memory.paths[q * rows + t * beam + rank];
                    codes[q * stride + first + t] = path.code;
                    rank = path.parent;
                }
        }
    }

    // The `kept` best extensions of the `paths` paths of a frame, best first, of equal ones the
    // first. `products` is -2 x e for each path and entry, `rests` what each path leaves.
    void extend(const float* products, const float* rests, int paths, int book, int kept,
                Extension* best) const {
        const float* squares = squares_.data() + static_cast<size_t>(book) * padded_;
        int found = 0;
        float limit = INFINITY;
        for (int p = 0; p < paths; p++, products += bins_, rests += dimension_) {
            const float x = squared_by_lanes(rests);
            for (int n = 0; n < bins_; n += LANES) {
                const Vec v = (x + load(products + n)) + load(squares + n);
                if (!any(v < limit)) continue;
                float errors[LANES];
                store(errors, v);
                for (int i = 0; i < LANES; i++) {
                    if (!(errors[i] < limit)) continue;
                    int at = found < kept ? found++ : kept - 1;
                    for (; at > 0 && errors[i] < best[at - 1].error; at--) best[at] = best[at - 1];
                    best[at] = {errors[i], p, n + i};
                    if (found == kept) limit = best[kept - 1].error;
                }
            }
        }
        while (found < kept) best[found++] = {INFINITY, 0, 0};  // of a latent that is not finite
    }

    const float* entry(int book, int index) const {
        return entries_.get() + (static_cast<size_t>(book) * bins_ + index) * dimension_;
    }

    float squared(const float* x) const {
        float total = 0;
        for (int k = 0; k < dimension_; k++) total += x[k] * x[k];
        return total;
    }

    float squared_by_lanes(const float* x) const {
        Vec total = {};
        for (int k = 0; k < dimension_; k += LANES) {
            const Vec v = load_some(x + k, dimension_ - k);
            total += v * v;
        }
        return sum(total);
    }

    void subtract(const float* x, const float* y, float* to) const {
        for (int k = 0; k < dimension_; k++) to[k] = x[k] - y[k];
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
