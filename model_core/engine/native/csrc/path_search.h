// A beam over the codebooks: entries extend the paths through the books before, and the best go on.
#pragma once

#include "rvq.h"

// A path through the codebooks: that of rank `parent` in the book before, and an entry of this one.
struct Extension {
    float cost;  // the squared error of what the path leaves, and the price of its codes
    int parent, code;
    float price;
};

// What a book's entries cost besides their error: `[frames][rows][bins]`, a row for each path or
// one for all paths of a frame.
struct Prices {
    const float* each = nullptr;
    int rows = 0;

    const float* of(int frame, int path, int bins) const {
        const size_t row = static_cast<size_t>(frame) * rows + (rows > 1 ? path : 0);
        return each ? each + row * bins : nullptr;
    }
};

// Searches for one thread.
class PathSearch {
  public:
    // Latent `[frames, dimension]`, which is overwritten, to codes: frame t's code of book q goes
    // to `codes[q stride + t]`. A beam of 1 is the nearest entry of each book in turn.
    void run(const Quantizer& quantizer, float* latent, int frames, int books, int beam,
             int64_t* codes, ptrdiff_t stride) {
        if (beam <= 1) {
            quantizer.choose_nearest(latent, frames, books, codes, stride, scores_);
            return;
        }
        const int at_once = std::max(1, ROWS_AT_ONCE / beam);
        for (int first = 0; first < frames; first += at_once) {
            const int some = std::min(frames - first, at_once);
            begin(quantizer, some, books, beam);
            for (int t = 0; t < some; t++)
                start(t, latent + static_cast<size_t>(first + t) * quantizer.dimension());
            for (int q = 0; q < books; q++) extend();
            for (int t = 0; t < some; t++) trace(t, codes + first + t, stride);
        }
    }

    // The same in steps: begin with some frames, start each, extend with every book, trace each.
    void begin(const Quantizer& quantizer, int frames, int books, int beam) {
        quantizer_ = &quantizer;
        frames_ = frames, books_ = books, beam_ = beam, book_ = 0, paths_ = 1;
        const size_t rows = static_cast<size_t>(frames) * beam;
        scores_.resize(rows * quantizer.bins() + LANES);
        rests_.resize(rows * quantizer.dimension());
        next_rests_.resize(rows * quantizer.dimension());
        extensions_.resize(rows * books);
    }

    void start(int frame, const float* latent) {
        const auto size = static_cast<size_t>(quantizer_->dimension());
        std::memcpy(rests_.get() + frame * size, latent, sizeof(float) * size);
    }

    // How many paths each frame has.
    int paths() const { return paths_; }

    // Every entry of the next book extends every path; the best of these are kept, of the last book
    // one.
    void extend(const Prices& prices = {}) {
        const int bins = quantizer_->bins(), dimension = quantizer_->dimension();
        const int kept = book_ + 1 < books_ ? std::min(beam_, paths_ * bins) : 1;
        const float* rests = rests_.get();
        quantizer_->multiply(rests, frames_ * paths_, book_, scores_.get());
        for (int t = 0; t < frames_; t++) {
            choose(t, kept, prices);
            float* to = next_rests_.get() + static_cast<size_t>(t) * kept * dimension;
            for (int i = 0; i < kept; i++, to += dimension) {
                const Extension& path = extension(book_, t, i);
                const auto row = static_cast<size_t>(t * paths_ + path.parent);
                const float* from = rests + row * dimension;
                const float* chosen = quantizer_->entry(book_, path.code);
                for (int k = 0; k < dimension; k++) to[k] = from[k] - chosen[k];
            }
        }
        std::swap(rests_, next_rests_);
        paths_ = kept;
        book_++;
    }

    // A frame's path of that rank, as the last `extend` left it.
    const Extension& path(int frame, int rank) const {
        return extensions_[place(book_ - 1, frame) + rank];
    }

    // The codes of a frame's best path, `stride` apart.
    void trace(int frame, int64_t* codes, ptrdiff_t stride) const {
        for (int q = books_ - 1, rank = 0; q >= 0; q--) {
            const Extension& path = extensions_[place(q, frame) + rank];
            codes[q * stride] = path.code;
            rank = path.parent;
        }
    }

  private:
    size_t place(int book, int frame) const {
        return (static_cast<size_t>(book) * frames_ + frame) * beam_;
    }
    Extension& extension(int book, int frame, int rank) {
        return extensions_[place(book, frame) + rank];
    }

    // The `kept` best extensions of a frame's paths, best first, of equal ones the first.
    void choose(int frame, int kept, const Prices& prices) {
        const int bins = quantizer_->bins(), dimension = quantizer_->dimension();
        const float* squares = quantizer_->squares(book_);
        Extension* best = &extension(book_, frame, 0);
        int found = 0;
        float limit = INFINITY;
        for (int p = 0; p < paths_; p++) {
            const size_t row = static_cast<size_t>(frame) * paths_ + p;
            const float* products = scores_.get() + row * bins;
            const float x = squared(rests_.get() + row * dimension);
            const float before = book_ ? extension(book_ - 1, frame, p).price : 0;
            const float* each = prices.of(frame, p, bins);
            for (int n = 0; n < bins; n += LANES) {
                Vec v = (x + load(products + n)) + load(squares + n);
                if (each) v += before + load(each + n);
                if (!any(v < limit)) continue;
                float costs[LANES];
                store(costs, v);
                for (int i = 0; i < LANES; i++) {
                    if (!(costs[i] < limit)) continue;
                    int at = found < kept ? found++ : kept - 1;
                    for (; at > 0 && costs[i] < best[at - 1].cost; at--) best[at] = best[at - 1];
                    best[at] = {costs[i], p, n + i, each ? before + each[n + i] : 0};
                    if (found == kept) limit = best[kept - 1].cost;
                }
            }
        }
        while (found < kept) best[found++] = {INFINITY, 0, 0, 0};  // of a latent that is not finite
    }

    float squared(const float* x) const {
        Vec total = {};
        for (int k = 0; k < quantizer_->dimension(); k += LANES) {
            const Vec v = load_some(x + k, quantizer_->dimension() - k);
            total += v * v;
        }
        return sum(total);
    }

    const Quantizer* quantizer_ = nullptr;
    int frames_ = 0, books_ = 0, beam_ = 0, book_ = 0, paths_ = 0;
    Floats scores_, rests_, next_rests_;
    std::vector<Extension> extensions_;  // [book][frame][beam]
};
