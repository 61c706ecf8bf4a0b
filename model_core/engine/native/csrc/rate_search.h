// Codes that are near to the latents and cost few bits: a beam by error + lambda * bits.
//
// A chunk's frames go one after another, as in decoding: what a code costs is what the language
// model says of it after the codes of the frames before.
#pragma once

#include "language_model.h"
#include "path_search.h"

extern "C" {
// A chunk: latents `[frames, dimension]`, and its codes `[books, frames]`, to be found.
struct EncodecLatents {
    const float* latents;
    int64_t* codes;
    int32_t books, frames;
};
}

// For one thread.
class RateSearch {
  public:
    // `beam` paths are kept. Lambda is `rate` of the error that the nearest entries leave in the
    // frame.
    RateSearch(const LanguageModel& lm, const Quantizer& quantizer, int beam, float rate)
        : lm_(lm), quantizer_(quantizer), beam_(beam), rate_(rate) {}

    // Chunks in step, all with the same number of codebooks.
    void run(EncodecLatents* chunks, int count) {
        std::vector<LMPast> pasts;
        std::vector<std::vector<float>> lambdas;
        int longest = 0;
        for (int i = 0; i < count; i++) {
            pasts.push_back(lm_.past(chunks[i].frames));
            lambdas.push_back(lambdas_of(chunks[i]));
            longest = std::max(longest, chunks[i].frames);
        }
        for (int t = 0; t < longest; t++) {
            LMRows rows;
            rows.books = chunks[0].books;
            std::vector<int> which;
            for (int i = 0; i < count; i++) {
                if (t >= chunks[i].frames) continue;
                which.push_back(i);
                rows.past.push_back(&pasts[i]);
                rows.before.push_back(t ? chunks[i].codes + t - 1 : nullptr);
                rows.stride.push_back(static_cast<size_t>(chunks[i].frames));
            }
            lm_.trunk(rows);
            search_.begin(quantizer_, rows.count(), rows.books, beam_);
            lambda_.clear();
            for (int r = 0; r < rows.count(); r++) {
                const size_t place = static_cast<size_t>(t) * quantizer_.dimension();
                search_.start(r, chunks[which[r]].latents + place);
                lambda_.push_back(lambdas[which[r]][t]);
            }
            find(rows);
            for (int r = 0; r < rows.count(); r++)
                search_.trace(r, chunks[which[r]].codes + t, chunks[which[r]].frames);
        }
    }

  private:
    // Of each frame of a chunk.
    std::vector<float> lambdas_of(const EncodecLatents& chunk) {
        const auto frames = static_cast<size_t>(chunk.frames);
        const auto dimension = static_cast<size_t>(quantizer_.dimension());
        rests_.resize(frames * dimension);
        float* rest = rests_.get();
        std::memcpy(rest, chunk.latents, sizeof(float) * frames * dimension);
        quantizer_.choose_nearest(rest, chunk.frames, chunk.books, chunk.codes, chunk.frames,
                                  scores_);
        std::vector<float> found;
        for (size_t t = 0; t < frames; t++, rest += dimension) {
            float error = 0;
            for (size_t k = 0; k < dimension; k++) error += rest[k] * rest[k];
            found.push_back(rate_ * error);
        }
        return found;
    }

    // The best paths of a frame of every chunk.
    void find(const LMRows& rows) {
        hidden_ = rows.hidden;
        for (int q = 0; q < rows.books; q++) {
            const int each = lm_.has_depth() ? search_.paths() : 1;
            price(rows, q, each);
            search_.extend({prices_.get(), each});
            if (lm_.has_depth() && q + 1 < rows.books) follow(rows.count(), q, each);
        }
    }

    // What book q's entries cost in a frame of every chunk: after each of its `each` paths.
    void price(const LMRows& rows, int q, int each) {
        const auto card = static_cast<size_t>(lm_.card()), dim = static_cast<size_t>(lm_.dim());
        const int count = rows.count() * each;
        const int16_t* h = rows.activations.data();
        if (lm_.has_depth()) {
            sums_.resize(count * dim);
            normalized_.resize(count * dim);
            for (int i = 0; i < count; i++)
                std::copy_n(rows.sums.data() + i / each * dim, dim, sums_.data() + i * dim);
            lm_.deepen(sums_.data(), hidden_.data(), count, normalized_.data());
            h = normalized_.data();
        }
        logits_.resize(count * card);
        lm_.logits(h, count, q, logits_.data());
        prices_.resize(count * card + LANES);
        for (int i = 0; i < count; i++) {
            float* row = prices_.get() + i * card;
            lm_.bits(logits_.data() + i * card, row);
            for (size_t s = 0; s < card; s++) row[s] *= lambda_[i / each];
        }
    }

    // A depth head: the hidden sums of the paths that book q was extended to, from those of the
    // `each` before it.
    void follow(int count, int q, int each) {
        const auto width = static_cast<size_t>(lm_.depth_width());
        const int kept = search_.paths();
        std::vector<int32_t> next(static_cast<size_t>(count * kept) * width);
        for (int i = 0; i < count * kept; i++) {
            const Extension& path = search_.path(i / kept, i % kept);
            const size_t from = static_cast<size_t>(i / kept * each + path.parent);
            std::copy_n(hidden_.data() + from * width, width, next.data() + i * width);
            lm_.learn(next.data() + i * width, q, path.code);
        }
        hidden_.swap(next);
    }

    const LanguageModel& lm_;
    const Quantizer& quantizer_;
    const int beam_;
    const float rate_;
    PathSearch search_;
    std::vector<float> lambda_;    // of the frame of each chunk
    std::vector<int32_t> hidden_;  // [chunk, path, depth width]
    std::vector<int32_t> sums_, logits_;
    std::vector<int16_t> normalized_;
    Floats prices_, rests_, scores_;
};
