// Chunks of codes to bytes and back with the exact language model.
#pragma once

#include "language_model.h"
#include "range_coder.h"

extern "C" {
// A chunk: codes `[books, frames]` and its bytes. Encoding sets `size`, and fails where there is
// not enough room; decoding sets `damaged` where the bytes are no codes.
struct EncodecChunk {
    int64_t* codes;
    uint8_t* bytes;
    int64_t size, room;
    int32_t books, frames;
    int32_t damaged;
};
}

// Cumulative frequencies of a codebook's symbols, from their weights.
class Frequencies {
  public:
    Frequencies(const int32_t* weights, int card)
        : weights_(weights), card_(card), rest_((1 << TOTAL_BITS) - card) {}

    // Up to, but without, a symbol.
    int64_t sum(int symbol) const {
        int64_t total = 0;
        for (int s = 0; s < symbol; s++) total += weights_[s];
        return total;
    }
    int64_t start(int symbol, int64_t before, int64_t all) const {
        return symbol + before * rest_ / all;
    }
    // The symbol that a target lies in, and where it starts and ends.
    int find(int64_t target, int64_t& begin, int64_t& end, std::vector<int64_t>& sums) const {
        sums.resize(static_cast<size_t>(card_) + 1);
        sums[0] = 0;
        for (int s = 0; s < card_; s++) sums[s + 1] = sums[s] + weights_[s];
        const int64_t all = sums[card_];
        int low = 0, high = card_;  // start(low) <= target < start(high)
        while (high - low > 1) {
            const int middle = (low + high) / 2;
            (start(middle, sums[middle], all) <= target ? low : high) = middle;
        }
        begin = start(low, sums[low], all);
        end = start(low + 1, sums[low + 1], all);
        return low;
    }

  private:
    const int32_t* weights_;
    int card_;
    int64_t rest_;
};

// Some chunks in step. Where a model has a depth head, codebook by codebook: its hidden sums then
// take in the embedding of each code.
class Coder {
  public:
    Coder(const LanguageModel& lm, std::vector<EncodecChunk*> chunks)
        : lm_(lm), chunks_(std::move(chunks)) {}

    // All frames of each chunk at once.
    void encode() {
        for (EncodecChunk* chunk : chunks_) {
            LMPast past = lm_.past(chunk->frames);
            LMRows rows;
            rows.books = chunk->books;
            const auto frames = static_cast<size_t>(chunk->frames);
            for (size_t t = 0; t < frames; t++) {
                rows.past.push_back(&past);
                rows.before.push_back(t ? chunk->codes + t - 1 : nullptr);
                rows.stride.push_back(frames);
            }
            lm_.trunk(rows);
            std::vector<uint32_t> intervals(2 * frames * chunk->books);
            for (int k = 0; k < chunk->books; k++) {
                const int64_t* codes = chunk->codes + static_cast<size_t>(k) * frames;
                for (size_t first = 0; first < frames; first += ROWS_TOGETHER) {
                    const int some = static_cast<int>(std::min(ROWS_TOGETHER, frames - first));
                    weigh(rows, first, some, k);
                    for (int r = 0; r < some; r++) {
                        const Frequencies all(row(r), lm_.card());
                        const auto code = static_cast<int>(codes[first + r]);
                        const int64_t before = all.sum(code), total = all.sum(lm_.card());
                        const int32_t own = row(r)[code];
                        uint32_t* to = intervals.data() + 2 * ((first + r) * chunk->books + k);
                        to[0] = static_cast<uint32_t>(all.start(code, before, total));
                        to[1] = static_cast<uint32_t>(all.start(code + 1, before + own, total));
                    }
                }
                learn(rows, k, [&](size_t row) { return codes[row]; });
            }
            RangeEncoder encoder;
            for (size_t i = 0; i < intervals.size(); i += 2)
                encoder.push(intervals[i], intervals[i + 1]);
            const std::vector<uint8_t>& bytes = encoder.finish();
            if (static_cast<int64_t>(bytes.size()) > chunk->room)
                throw std::length_error("no room for the chunk's bytes");
            std::copy(bytes.begin(), bytes.end(), chunk->bytes);
            chunk->size = static_cast<int64_t>(bytes.size());
        }
    }

    // A frame of every chunk at a time.
    void decode() {
        std::vector<LMPast> pasts;
        std::vector<RangeDecoder> decoders;
        int longest = 0;
        for (EncodecChunk* chunk : chunks_) {
            pasts.push_back(lm_.past(chunk->frames));
            decoders.emplace_back(chunk->bytes, static_cast<size_t>(chunk->size));
            chunk->damaged = 0;
            longest = std::max(longest, chunk->frames);
        }
        std::vector<int64_t> sums;
        for (int t = 0; t < longest; t++) {
            LMRows rows;
            std::vector<size_t> which;
            int books = 0;
            for (size_t i = 0; i < chunks_.size(); i++) {
                EncodecChunk& chunk = *chunks_[i];
                if (t >= chunk.frames || chunk.damaged) continue;
                which.push_back(i);
                rows.past.push_back(&pasts[i]);
                rows.before.push_back(t ? chunk.codes + t - 1 : nullptr);
                rows.stride.push_back(static_cast<size_t>(chunk.frames));
                books = chunk.books;
            }
            if (which.empty()) return;
            rows.books = books;
            lm_.trunk(rows);
            const int count = rows.count();
            std::vector<int64_t> codes(which.size());
            for (int k = 0; k < books; k++) {
                for (int first = 0; first < count; first += static_cast<int>(ROWS_TOGETHER)) {
                    const int some = std::min(static_cast<int>(ROWS_TOGETHER), count - first);
                    weigh(rows, static_cast<size_t>(first), some, k);
                    for (int r = 0; r < some; r++) {
                        EncodecChunk& chunk = *chunks_[which[first + r]];
                        RangeDecoder& decoder = decoders[which[first + r]];
                        const uint64_t target = decoder.target();
                        if (target >= uint64_t{1} << TOTAL_BITS) chunk.damaged = 1;
                        int64_t code = 0;
                        if (!chunk.damaged) {
                            int64_t begin, end;
                            const Frequencies all(row(r), lm_.card());
                            code = all.find(static_cast<int64_t>(target), begin, end, sums);
                            decoder.take(static_cast<uint64_t>(begin), static_cast<uint64_t>(end));
                        }
                        codes[first + r] = code;
                        chunk.codes[static_cast<size_t>(k) * chunk.frames + t] = code;
                    }
                }
                learn(rows, k, [&](size_t row) { return codes[row]; });
            }
        }
    }

  private:
    static constexpr size_t ROWS_TOGETHER = 32;  // whose weights stay in cache

    // The weights of codebook k's symbols for some rows.
    void weigh(const LMRows& rows, size_t first, int count, int k) {
        const auto dim = static_cast<size_t>(lm_.dim());
        weights_.resize(ROWS_TOGETHER * static_cast<size_t>(lm_.card()));
        const int16_t* h = rows.activations.data() + first * dim;
        if (lm_.has_depth()) {
            normalized_.resize(ROWS_TOGETHER * dim);
            lm_.deepen(rows.sums.data() + first * dim,
                       rows.hidden.data() + first * static_cast<size_t>(lm_.depth_width()), count,
                       normalized_.data());
            h = normalized_.data();
        }
        lm_.logits(h, count, k, weights_.data());
        for (int r = 0; r < count; r++) lm_.weights(row(r));
    }
    int32_t* row(int r) { return weights_.data() + static_cast<size_t>(r) * lm_.card(); }

    // The rows' codes of codebook k are known: those after it depend on them.
    template <class Code>
    void learn(LMRows& rows, int k, Code code) {
        if (!lm_.has_depth() || k + 1 >= rows.books) return;
        for (size_t r = 0; r < static_cast<size_t>(rows.count()); r++)
            lm_.learn(rows.hidden.data() + r * static_cast<size_t>(lm_.depth_width()), k, code(r));
    }

    const LanguageModel& lm_;
    std::vector<EncodecChunk*> chunks_;
    std::vector<int32_t> weights_;
    std::vector<int16_t> normalized_;
};
