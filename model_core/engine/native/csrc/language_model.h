// The exact language model of `entropy.torch_lm`, in the same integers.
#pragma once

#include <bit>
#include <cmath>
#include <optional>
#include <stdexcept>

#include "integers.h"
#include "interface.h"

constexpr int HEADS = 8;
constexpr int OCTAVE = 1024;
constexpr int NORMAL_BITS = 10;
constexpr int GAIN_BITS = 36;
constexpr int GELU_BITS = 10;
constexpr int32_t RESIDUAL_LIMIT = (1 << 18) - 1;
constexpr int32_t EXPONENT_LIMIT = 1 << 28;
constexpr int32_t DEPTH_LIMIT = (1 << 15) - 1;  // 256 times 127 of them fit 32 bits

static inline int64_t round_shift(int64_t x, int bits) {
    return (x + (int64_t{1} << bits >> 1)) >> bits;
}
static inline int32_t within(int64_t x, int64_t limit) {
    return static_cast<int32_t>(std::clamp<int64_t>(x, -limit, limit));
}

struct LMNumbers {
    Reader<int64_t> numbers;
    Reader<int8_t> weights;
    Reader<int32_t> tables;
};

struct IntegerNorm {
    int64_t epsilon;
    const int64_t *gain, *offset;
};

struct LMLayer {
    IntegerProduct query, key, value;
    const int64_t *first_key, *first_value;
    int64_t score_multiplier;
    int score_shift;
    IntegerProduct out;
    IntegerNorm norm1;
    IntegerProduct hidden;
    int hidden_bits;
    IntegerProduct back;
    IntegerNorm norm2;
};

// What codebooks say of the later ones in their frame.
struct DepthHead {
    IntegerProduct hidden;  // from the last activations to the hidden sums
    int64_t epsilon;
    IntegerProduct back;             // from those, after ReLU, to the residual sums
    std::vector<int32_t> embedding;  // [codebooks - 1, card, width]
};

// Keys and values of a chunk's frames so far, after the position of zeros that begins it.
//   keys    [layer][head][pair of elements][position][2]
//   values  [layer][head][pair of positions][element, padded][2]
struct LMPast {
    int frames = 0, room;
    Buffer<int16_t> keys, values;
};

class LanguageModel {
  public:
    int codebooks, card, context, most_frames;

    explicit LanguageModel(LMNumbers from) {
        auto& numbers = from.numbers;
        const auto number = [&] { return static_cast<int>(numbers.next()); };
        dim_ = number();
        codebooks = number();
        card = number();
        context = number();
        most_frames = number();
        const int layers = number();
        const bool depth = number();
        limit_ = number();
        root_ = numbers.next();
        input_shift_ = number();
        head_ = dim_ / HEADS;
        head_pairs_ = (head_ + 1) / 2;
        head_width_ = (head_ + LANES - 1) / LANES * LANES;
        keep(numbers.take(OCTAVE), OCTAVE, powers_);
        gelu_size_ = number();
        keep(numbers.take(static_cast<size_t>(gelu_size_)), static_cast<size_t>(gelu_size_), gelu_);
        norm_in_ = norm(numbers);
        for (int i = 0; i < layers; i++) {
            IntegerProduct query = product(from), key = product(from), value = product(from);
            const int64_t* first_key = kept(numbers);
            const int64_t* first_value = kept(numbers);
            const int64_t multiplier = numbers.next();
            const int shift = number();
            IntegerProduct out = product(from);
            const IntegerNorm norm1 = norm(numbers);
            IntegerProduct hidden = product(from);
            const int hidden_bits = number();
            IntegerProduct back = product(from);
            layers_.push_back({std::move(query), std::move(key), std::move(value), first_key,
                               first_value, multiplier, shift, std::move(out), norm1,
                               std::move(hidden), hidden_bits, std::move(back), norm(numbers)});
        }
        if (depth) {
            IntegerProduct hidden = product(from);
            const int64_t epsilon = numbers.next();
            depth_.emplace(DepthHead{std::move(hidden), epsilon, product(from), {}});
        }
        for (int k = 0; k < codebooks; k++) heads_.push_back(product(from));
        const auto width = static_cast<size_t>(dim_);
        const auto books = static_cast<size_t>(codebooks), entries = static_cast<size_t>(card);
        table(from.tables, books * (entries + 1) * width, embedding_);
        table(from.tables, static_cast<size_t>(most_frames) * width, positions_);
        if (depth)
            table(from.tables, (books - 1) * entries * static_cast<size_t>(depth_->hidden.out),
                  depth_->embedding);
        numbers.finish();
        from.weights.finish();
        from.tables.finish();
    }

    bool has_depth() const { return depth_.has_value(); }
    int dim() const { return dim_; }

    // The past of a chunk of so many frames, which has none yet.
    LMPast past(int frames) const {
        LMPast made;
        made.room = (frames + 1 + PAIRS - 1) / PAIRS * PAIRS;
        const auto positions = static_cast<size_t>(made.room);
        made.keys.resize(layers_.size() * HEADS * head_pairs_ * positions * 2);
        made.values.resize(layers_.size() * HEADS * head_width_ * positions);
        for (size_t i = 0; i < layers_.size(); i++) {
            for (int c = 0; c < dim_; c++) {
                key(made, i, c, 0) = static_cast<int16_t>(layers_[i].first_key[c]);
                value(made, i, c, 0) = static_cast<int16_t>(layers_[i].first_value[c]);
            }
        }
        return made;
    }

    // What the transformer makes of the next frames of some chunks. A row is a frame: `past[row]`
    // is its chunk's, `before[row]` the codes of the frame before it, null for none, `stride` apart.
    // Rows of a chunk follow one another.
    struct Rows {
        std::vector<LMPast*> past;
        std::vector<const int64_t*> before;
        std::vector<size_t> stride;
        int books;

        std::vector<int16_t> activations;  // [rows, dim], for the heads
        std::vector<int32_t> sums;         // likewise: the residual sums
        std::vector<int32_t> hidden;       // [rows, depth width]: a depth head's sums
        std::vector<int> place;

        int count() const { return static_cast<int>(past.size()); }
    };

    void trunk(Rows& rows) const {
        const int count = rows.count();
        const auto size = static_cast<size_t>(count) * static_cast<size_t>(dim_);
        rows.activations.resize(size);
        rows.sums.resize(size);
        rows.place.resize(static_cast<size_t>(count));
        std::vector<int32_t> total(static_cast<size_t>(dim_));
        for (int r = 0; r < count; r++) {
            rows.place[r] = ++rows.past[r]->frames;
            embed(rows, r, total.data());
            int32_t* x = rows.sums.data() + static_cast<size_t>(r) * dim_;
            int16_t* h = rows.activations.data() + static_cast<size_t>(r) * dim_;
            std::vector<int64_t> n(static_cast<size_t>(dim_));
            normalize(total.data(), norm_in_.epsilon, n.data());
            const int32_t* position =
                positions_.data() + static_cast<size_t>(rows.place[r] - 1) * dim_;
            for (int c = 0; c < dim_; c++) {
                x[c] = affine(n[c], norm_in_, c) + position[c];
                h[c] = static_cast<int16_t>(within(round_shift(x[c], input_shift_), limit_));
            }
        }
        std::vector<int16_t> mean(size), wide(4 * size);
        for (size_t i = 0; i < layers_.size(); i++) {
            const LMLayer& layer = layers_[i];
            const int16_t* h = rows.activations.data();
            attend(rows, i, mean.data());
            add(layer.out, mean.data(), layer.norm1, rows);
            layer.hidden.run(h, count, [&](int r, int c, int32_t y) {
                wide[static_cast<size_t>(r) * 4 * dim_ + c] = gelu(y, layer.hidden_bits);
            });
            add(layer.back, wide.data(), layer.norm2, rows);
        }
        if (depth_) {
            const auto width = static_cast<size_t>(depth_->hidden.out);
            rows.hidden.resize(static_cast<size_t>(count) * width);
            depth_->hidden.run(rows.activations.data(), count, [&](int r, int c, int32_t y) {
                rows.hidden[static_cast<size_t>(r) * width + c] = y;
            });
        }
    }

    // A depth head: what the next codebook's head takes, `[count, dim]`, for rows from `first` on.
    void deepen(const Rows& rows, size_t first, int count, int16_t* h) const {
        const auto width = static_cast<size_t>(depth_->hidden.out), dim = static_cast<size_t>(dim_);
        std::vector<int16_t> seen(static_cast<size_t>(count) * width);
        const int32_t* hidden = rows.hidden.data() + first * width;
        for (size_t i = 0; i < seen.size(); i++)
            seen[i] = static_cast<int16_t>(std::clamp(hidden[i], 0, DEPTH_LIMIT));
        std::vector<int32_t> sums(static_cast<size_t>(count) * dim);
        const int32_t* x = rows.sums.data() + first * dim;
        depth_->back.run(seen.data(), count, [&](int r, int c, int32_t y) {
            const size_t i = static_cast<size_t>(r) * dim + c;
            sums[i] = within(int64_t{x[i]} + y, RESIDUAL_LIMIT);
        });
        std::vector<int64_t> n(dim);
        for (size_t r = 0; r < static_cast<size_t>(count); r++) {
            normalize(sums.data() + r * dim, depth_->epsilon, n.data());
            activations(n.data(), h + r * dim);
        }
    }

    // A depth head: codebook `book` of a row turned out to be `code`.
    void learn(Rows& rows, size_t row, int book, int64_t code) const {
        const auto width = static_cast<size_t>(depth_->hidden.out);
        const int32_t* from =
            depth_->embedding.data() + (static_cast<size_t>(book) * card + code) * width;
        int32_t* hidden = rows.hidden.data() + row * width;
        for (size_t c = 0; c < width; c++) hidden[c] += from[c];
    }

    // Rows `[rows, dim]` to the weights `[rows, card]` of codebook `book`'s symbols, whose sums are
    // under 2^38.
    void weights(const int16_t* h, int rows, int book, int32_t* to) const {
        heads_[book].run(h, rows, [&](int r, int c, int32_t y) {
            to[static_cast<size_t>(r) * card + c] = y;
        });
        for (int r = 0; r < rows; r++) exponentials(to + static_cast<size_t>(r) * card, card);
    }

  private:
    static void keep(const int64_t* from, size_t count, std::vector<int32_t>& to) {
        to.assign(from, from + count);
    }
    static void table(Reader<int32_t>& from, size_t count, std::vector<int32_t>& to) {
        const int32_t* data = from.take(count);
        to.assign(data, data + count);
    }
    // An array of `dim` numbers, copied: Python's goes.
    const int64_t* kept(Reader<int64_t>& numbers) {
        const int64_t* data = numbers.take(static_cast<size_t>(dim_));
        arrays_.push_back(std::make_unique<std::vector<int64_t>>(data, data + dim_));
        return arrays_.back()->data();
    }
    IntegerNorm norm(Reader<int64_t>& numbers) {
        const int64_t epsilon = numbers.next();
        const int64_t* gain = kept(numbers);
        return {epsilon, gain, kept(numbers)};
    }
    static IntegerProduct product(LMNumbers& from) {
        const int in = static_cast<int>(from.numbers.next());
        const int out = static_cast<int>(from.numbers.next());
        const int shift = static_cast<int>(from.numbers.next());
        const auto limit = static_cast<int32_t>(from.numbers.next());
        const int64_t* multipliers = from.numbers.take(static_cast<size_t>(out));
        const int64_t* offsets = from.numbers.take(static_cast<size_t>(out));
        const size_t size = static_cast<size_t>(in) * static_cast<size_t>(out);
        return {in, out, from.weights.take(size), multipliers, offsets, shift, limit};
    }

    void embed(const Rows& rows, int r, int32_t* total) const {
        std::fill(total, total + dim_, 0);
        for (int k = 0; k < rows.books; k++) {
            const int64_t code = rows.before[r] ? 1 + rows.before[r][k * rows.stride[r]] : 0;
            const int32_t* from =
                embedding_.data() + (static_cast<size_t>(k) * (card + 1) + code) * dim_;
            for (int c = 0; c < dim_; c++) total[c] += from[c];
        }
    }

    // (y - mean) / norm(y - mean), times 2^24.
    void normalize(const int32_t* y, int64_t epsilon, int64_t* n) const {
        int64_t sum = 0, square = epsilon;
        for (int c = 0; c < dim_; c++) sum += y[c];
        for (int c = 0; c < dim_; c++) {
            n[c] = int64_t{dim_} * y[c] - sum;
            square += n[c] * n[c];
        }
        const int half = (62 - std::bit_width(static_cast<uint64_t>(square))) / 2;
        const int64_t inverse = (int64_t{1} << 61) / root(square << (2 * half));
        const int shift = 37 - half;
        const int64_t rounding = int64_t{1} << (shift - 1);
        for (int c = 0; c < dim_; c++) n[c] = (n[c] * inverse + rounding) >> shift;
    }
    static int64_t root(int64_t x) {
        auto found = static_cast<int64_t>(std::sqrt(static_cast<double>(x)));
        while (found * found > x) found--;
        while ((found + 1) * (found + 1) <= x) found++;
        return found;
    }
    void activations(const int64_t* n, int16_t* h) const {
        for (int c = 0; c < dim_; c++)
            h[c] = static_cast<int16_t>(within(round_shift(n[c] * root_, 40 - NORMAL_BITS), limit_));
    }
    static int32_t affine(int64_t n, const IntegerNorm& norm, int c) {
        return within((n * norm.gain[c] + norm.offset[c]) >> GAIN_BITS, RESIDUAL_LIMIT);
    }

    // rows.sums + the product, normalised: new activations and sums.
    void add(const IntegerProduct& product, const int16_t* x, const IntegerNorm& norm,
             Rows& rows) const {
        int32_t* sums = rows.sums.data();
        product.run(x, rows.count(), [&](int r, int c, int32_t y) {
            int32_t& sum = sums[static_cast<size_t>(r) * dim_ + c];
            sum = within(int64_t{sum} + y, RESIDUAL_LIMIT);
        });
        std::vector<int64_t> n(static_cast<size_t>(dim_));
        for (int r = 0; r < rows.count(); r++) {
            int32_t* sum = sums + static_cast<size_t>(r) * dim_;
            normalize(sum, norm.epsilon, n.data());
            activations(n.data(), rows.activations.data() + static_cast<size_t>(r) * dim_);
            for (int c = 0; c < dim_; c++) sum[c] = affine(n[c], norm, c);
        }
    }

    int16_t gelu(int32_t h, int bits) const {
        const int32_t size = std::abs(h);
        const int64_t place = bits >= GELU_BITS ? round_shift(size, bits - GELU_BITS)
                                                : int64_t{size} << (GELU_BITS - bits);
        const int64_t lacking = place < gelu_size_ ? gelu_[place] : 0;
        return static_cast<int16_t>(std::max(h, 0) - round_shift(lacking, 16 - bits));
    }

    // 2^28 2^((x - max) / 1024)
    void exponentials(int32_t* x, int count) const {
        const int32_t most = *std::max_element(x, x + count);
        for (int i = 0; i < count; i++) {
            const int32_t below = most - x[i];
            x[i] = powers_[below % OCTAVE] >> std::min(below / OCTAVE, 31);
        }
    }

    int16_t& key(LMPast& past, size_t layer, int c, int position) const {
        const int head = c / head_, element = c % head_;
        const size_t pair = (layer * HEADS + head) * head_pairs_ + element / 2;
        return past.keys.get()[(pair * past.room + position) * 2 + element % 2];
    }
    int16_t& value(LMPast& past, size_t layer, int c, int position) const {
        const int head = c / head_, element = c % head_;
        const size_t pair = (layer * HEADS + head) * (past.room / 2) + position / 2;
        return past.values.get()[(pair * head_width_ + element) * 2 + position % 2];
    }

    // Each frame looks at itself and at up to `context` positions before it.
    void attend(Rows& rows, size_t index, int16_t* mean) const {
        const LMLayer& layer = layers_[index];
        const int16_t* h = rows.activations.data();
        const int count = rows.count(), pairs = 2 * head_pairs_;
        std::vector<int16_t> queries(static_cast<size_t>(count) * HEADS * pairs);
        layer.query.run(h, count, [&](int r, int c, int32_t y) {
            queries[(static_cast<size_t>(r) * HEADS + c / head_) * pairs + c % head_] =
                static_cast<int16_t>(y);
        });
        layer.key.run(h, count, [&](int r, int c, int32_t y) {
            key(*rows.past[r], index, c, rows.place[r]) = static_cast<int16_t>(y);
        });
        layer.value.run(h, count, [&](int r, int c, int32_t y) {
            value(*rows.past[r], index, c, rows.place[r]) = static_cast<int16_t>(y);
        });
        std::vector<int32_t> scores;
        std::vector<int16_t> shares;
        for (int r = 0; r < count; r++) {
            const LMPast& past = *rows.past[r];
            scores.resize(static_cast<size_t>(past.room));
            shares.resize(static_cast<size_t>(past.room));
            for (int head = 0; head < HEADS; head++)
                attend(layer, past, index * HEADS + head, rows.place[r],
                       queries.data() + (static_cast<size_t>(r) * HEADS + head) * pairs,
                       scores.data(), shares.data(),
                       mean + static_cast<size_t>(r) * dim_ + head * head_);
        }
    }

    void attend(const LMLayer& layer, const LMPast& past, size_t head, int last,
                const int16_t* query, int32_t* scores, int16_t* shares, int16_t* mean) const {
        const int first = std::max(0, last - context), begin = first / LANES * LANES;
        const int16_t* keys = past.keys.get() + head * head_pairs_ * past.room * 2;
        for (int at = begin; at <= last; at += LANES) {
            IntVec sums = {};
            for (int i = 0; i < head_pairs_; i++)
                sums += multiply_pairs(pair(query + 2 * i),
                                       load(keys + (static_cast<size_t>(i) * past.room + at) * 2));
            store(scores + at, sums);
        }
        const int64_t half = int64_t{1} << layer.score_shift >> 1;
        for (int i = first; i <= last; i++)
            scores[i] = within((scores[i] * layer.score_multiplier + half) >> layer.score_shift,
                               EXPONENT_LIMIT);
        exponentials(scores + first, last + 1 - first);
        int64_t total = 0;
        for (int i = first; i <= last; i++) total += scores[i] >>= 8;
        const int64_t inverse = (int64_t{32767} << 36) / total;
        const int even = first & ~1, end = (last + 2) & ~1;
        shares[even] = shares[end - 1] = 0;
        for (int i = first; i <= last; i++)
            shares[i] = static_cast<int16_t>((scores[i] * inverse + (int64_t{1} << 35)) >> 36);
        const int16_t* values = past.values.get() + head * (past.room / 2) * head_width_ * 2;
        for (int c = 0; c < head_; c += LANES) {
            IntVec sums = {};
            for (int i = even; i < end; i += 2)
                sums += multiply_pairs(
                    pair(shares + i),
                    load(values + (static_cast<size_t>(i / 2) * head_width_ + c) * 2));
            int32_t lanes[LANES];
            store(lanes, sums);
            for (int j = 0; j < std::min(LANES, head_ - c); j++)
                mean[c + j] = static_cast<int16_t>(within(round_shift(lanes[j], 15), limit_));
        }
    }

    int dim_, head_, head_pairs_, head_width_, input_shift_, gelu_size_;
    int64_t limit_, root_;
    std::vector<int32_t> powers_, gelu_, embedding_, positions_;
    std::vector<std::unique_ptr<std::vector<int64_t>>> arrays_;
    IntegerNorm norm_in_;
    std::vector<LMLayer> layers_;
    std::optional<DepthHead> depth_;
    std::vector<IntegerProduct> heads_;
};
