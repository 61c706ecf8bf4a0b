// Attention of the exact language model over the frames of a chunk so far.
#pragma once

#include "lm_weights.h"

constexpr int HEADS = 8;
constexpr int32_t EXPONENT_LIMIT = 1 << 28;

// Keys and values of a chunk's frames so far, after the position of zeros that begins it.
//   keys    [layer][head][pair of elements][position][2]
//   values  [layer][head][pair of positions][element, padded][2]
struct LMPast {
    int frames = 0, room;
    Buffer<int16_t> keys, values;
};

// Frames of some chunks. A row is a frame: `past[row]` is its chunk's, `before[row]` the codes of
// the frame before it, null for none, `stride` apart. Rows of a chunk follow one another.
struct LMRows {
    std::vector<LMPast*> past;
    std::vector<const int64_t*> before;
    std::vector<size_t> stride;
    int books;

    // What the transformer makes of them.
    std::vector<int16_t> activations;  // [rows, dim], for the heads
    std::vector<int32_t> sums;         // likewise: the residual sums
    std::vector<int32_t> hidden;       // [rows, depth width]: a depth head's sums
    std::vector<int> place;            // [rows], in the chunk, from 1 on

    int count() const { return static_cast<int>(past.size()); }
};

class Attention {
  public:
    explicit Attention(const LMWeights& weights)
        : w_(weights), head_(weights.dim / HEADS), head_pairs_((head_ + 1) / 2),
          head_width_((head_ + LANES - 1) / LANES * LANES) {}

    // The past of a chunk of so many frames, which has none yet.
    LMPast past(int frames) const {
        LMPast made;
        made.room = (frames + 1 + PAIRS - 1) / PAIRS * PAIRS;
        const auto positions = static_cast<size_t>(made.room);
        made.keys.resize(w_.layers.size() * HEADS * head_pairs_ * positions * 2);
        made.values.resize(w_.layers.size() * HEADS * head_width_ * positions);
        for (size_t i = 0; i < w_.layers.size(); i++) {
            for (int c = 0; c < w_.dim; c++) {
                key(made, i, c, 0) = static_cast<int16_t>(w_.layers[i].first_key[c]);
                value(made, i, c, 0) = static_cast<int16_t>(w_.layers[i].first_value[c]);
            }
        }
        return made;
    }

    // Each frame looks at itself and at up to `context` positions before it.
    void attend(LMRows& rows, size_t index, int16_t* mean) const {
        const LMLayer& layer = w_.layers[index];
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
                       mean + static_cast<size_t>(r) * w_.dim + head * head_);
        }
    }

  private:
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

    void attend(const LMLayer& layer, const LMPast& past, size_t head, int last,
                const int16_t* query, int32_t* scores, int16_t* shares, int16_t* mean) const {
        const int first = std::max(0, last - w_.context), begin = first / LANES * LANES;
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
        exponentials(w_.powers.data(), scores + first, last + 1 - first);
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
                mean[c + j] = static_cast<int16_t>(within(round_shift(lanes[j], 15), w_.limit));
        }
    }

    const LMWeights& w_;
    int head_, head_pairs_, head_width_;
};
