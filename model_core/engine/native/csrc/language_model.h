// The exact language model of `entropy.torch_lm`, in the same integers.
//
//   lm_weights.h     its numbers
//   lm_arithmetic.h  norms and exponentials; integers.h, products
//   attention.h      over the frames of a chunk
#pragma once

#include "attention.h"

constexpr float MOST_BITS = 24;  // of a symbol: frequencies are of 2^24
constexpr int32_t DEPTH_LIMIT = (1 << 15) - 1;  // 256 times 127 of them fit 32 bits

class LanguageModel {
  public:
    explicit LanguageModel(LMNumbers from) : w_(from), attention_(w_) {}
    LanguageModel(const LanguageModel&) = delete;

    int dim() const { return w_.dim; }
    int card() const { return w_.card; }
    bool has_depth() const { return w_.depth.has_value(); }
    int depth_width() const { return w_.depth ? w_.depth->hidden.out : 0; }
    LMPast past(int frames) const { return attention_.past(frames); }

    // What the transformer makes of the next frames of some chunks.
    void trunk(LMRows& rows) const {
        const int count = rows.count();
        const auto size = static_cast<size_t>(count) * static_cast<size_t>(w_.dim);
        rows.activations.resize(size);
        rows.sums.resize(size);
        rows.place.resize(static_cast<size_t>(count));
        std::vector<int32_t> total(static_cast<size_t>(w_.dim));
        for (int r = 0; r < count; r++) {
            rows.place[r] = ++rows.past[r]->frames;
            embed(rows, r, total.data());
            int32_t* x = rows.sums.data() + static_cast<size_t>(r) * w_.dim;
            int16_t* h = rows.activations.data() + static_cast<size_t>(r) * w_.dim;
            std::vector<int64_t> n(static_cast<size_t>(w_.dim));
            normalize(total.data(), w_.dim, w_.norm_in.epsilon, n.data());
            const int32_t* position =
                w_.positions.data() + static_cast<size_t>(rows.place[r] - 1) * w_.dim;
            for (int c = 0; c < w_.dim; c++) {
                x[c] = affine(n[c], w_.norm_in, c) + position[c];
                h[c] = static_cast<int16_t>(within(round_shift(x[c], w_.input_shift), w_.limit));
            }
        }
        std::vector<int16_t> mean(size), wide(4 * size);
        for (size_t i = 0; i < w_.layers.size(); i++) {
            const LMLayer& layer = w_.layers[i];
            const int16_t* h = rows.activations.data();
            attention_.attend(rows, i, mean.data());
            add(layer.out, mean.data(), layer.norm1, rows);
            layer.hidden.run(h, count, [&](int r, int c, int32_t y) {
                wide[static_cast<size_t>(r) * 4 * w_.dim + c] = gelu(y, layer.hidden_bits);
            });
            add(layer.back, wide.data(), layer.norm2, rows);
        }
        if (w_.depth) {
            const auto width = static_cast<size_t>(w_.depth->hidden.out);
            rows.hidden.resize(static_cast<size_t>(count) * width);
            w_.depth->hidden.run(rows.activations.data(), count, [&](int r, int c, int32_t y) {
                rows.hidden[static_cast<size_t>(r) * width + c] = y;
            });
        }
    }

    // A depth head: from the residual sums `[count, dim]` and hidden sums `[count, depth width]` of
    // some rows to what the next codebook's head takes, `[count, dim]`.
    void deepen(const int32_t* x, const int32_t* hidden, int count, int16_t* h) const {
        const auto width = static_cast<size_t>(depth_width()), size = static_cast<size_t>(dim());
        std::vector<int16_t> seen(static_cast<size_t>(count) * width);
        for (size_t i = 0; i < seen.size(); i++)
            seen[i] = static_cast<int16_t>(std::clamp(hidden[i], 0, DEPTH_LIMIT));
        std::vector<int32_t> sums(static_cast<size_t>(count) * size);
        w_.depth->back.run(seen.data(), count, [&](int r, int c, int32_t y) {
            const size_t i = static_cast<size_t>(r) * size + c;
            sums[i] = within(int64_t{x[i]} + y, RESIDUAL_LIMIT);
        });
        std::vector<int64_t> n(size);
        for (size_t r = 0; r < static_cast<size_t>(count); r++) {
            normalize(sums.data() + r * size, dim(), w_.depth->epsilon, n.data());
            activations(n.data(), h + r * size);
        }
    }

    // A depth head: codebook `book` of the row with these hidden sums turned out to be `code`.
    void learn(int32_t* hidden, int book, int64_t code) const {
        const int width = depth_width();
        const size_t row = static_cast<size_t>(book) * card() + static_cast<size_t>(code);
        const int32_t* from = w_.depth->embedding.data() + row * width;
        for (int c = 0; c < width; c++) hidden[c] += from[c];
    }

    // Rows `[rows, dim]` to the logits `[rows, card]` of codebook `book`'s symbols.
    void logits(const int16_t* h, int rows, int book, int32_t* to) const {
        w_.heads[book].run(h, rows, [&](int r, int c, int32_t y) {
            to[static_cast<size_t>(r) * card() + c] = y;
        });
    }

    // Logits of a row, `[card]`, to weights, whose sum is from 2^28 to 2^38.
    void weights(int32_t* row) const { exponentials(w_.powers.data(), row, card()); }

    // What symbols cost by the logits of a row, `[card]`: the bits of their frequencies, but for
    // the rounding of these.
    void bits(const int32_t* logits, float* to) const {
        const int32_t most = *std::max_element(logits, logits + card());
        int64_t total = 0;
        for (int s = 0; s < card(); s++) {
            const int32_t below = most - logits[s];
            total += w_.powers[below % OCTAVE] >> std::min(below / OCTAVE, 31);
            to[s] = static_cast<float>(below) / OCTAVE;
        }
        const auto all = static_cast<float>(std::log2(static_cast<double>(total)) - 28);
        for (int s = 0; s < card(); s++) to[s] = std::min(to[s] + all, MOST_BITS);
    }

  private:
    void embed(const LMRows& rows, int r, int32_t* total) const {
        std::fill(total, total + w_.dim, 0);
        for (int k = 0; k < rows.books; k++) {
            const int64_t code = rows.before[r] ? 1 + rows.before[r][k * rows.stride[r]] : 0;
            const int32_t* from =
                w_.embedding.data() + (static_cast<size_t>(k) * (card() + 1) + code) * w_.dim;
            for (int c = 0; c < w_.dim; c++) total[c] += from[c];
        }
    }

    void activations(const int64_t* n, int16_t* h) const {
        for (int c = 0; c < w_.dim; c++)
            h[c] = static_cast<int16_t>(
                within(round_shift(n[c] * w_.root, 40 - NORMAL_BITS), w_.limit));
    }
    static int32_t affine(int64_t n, const IntegerNorm& norm, int c) {
        return within((n * norm.gain[c] + norm.offset[c]) >> GAIN_BITS, RESIDUAL_LIMIT);
    }

    // rows.sums + the product, normalised: new activations and sums.
    void add(const IntegerProduct& product, const int16_t* x, const IntegerNorm& norm,
             LMRows& rows) const {
        int32_t* sums = rows.sums.data();
        product.run(x, rows.count(), [&](int r, int c, int32_t y) {
            int32_t& sum = sums[static_cast<size_t>(r) * w_.dim + c];
            sum = within(int64_t{sum} + y, RESIDUAL_LIMIT);
        });
        std::vector<int64_t> n(static_cast<size_t>(w_.dim));
        for (int r = 0; r < rows.count(); r++) {
            int32_t* sum = sums + static_cast<size_t>(r) * w_.dim;
            normalize(sum, w_.dim, norm.epsilon, n.data());
            activations(n.data(), rows.activations.data() + static_cast<size_t>(r) * w_.dim);
            for (int c = 0; c < w_.dim; c++) sum[c] = affine(n[c], norm, c);
        }
    }

    int16_t gelu(int32_t h, int bits) const {
        const int32_t size = std::abs(h);
        const int64_t place = bits >= GELU_BITS ? round_shift(size, bits - GELU_BITS)
                                                : int64_t{size} << (GELU_BITS - bits);
        const int64_t lacking = place < w_.gelu_size ? w_.gelu[place] : 0;
        return static_cast<int16_t>(std::max(h, 0) - round_shift(lacking, 16 - bits));
    }

    const LMWeights w_;
    const Attention attention_;
};
