// The exact language model for Python: chunks of codes to bytes and back, and latents to codes that
// cost few bits.
#include <cstdio>

#include "lm_coder.h"
#include "rate_search.h"
#include "threads.h"

// Calls work(first, last) for every `together` of `count` chunks, on so many threads.
template <class Work>
static void in_parts(int32_t count, int32_t together, int32_t threads, Work work) {
    std::atomic<int32_t> next{0};
    const int32_t parts = (count + together - 1) / together;
    in_threads(std::max(1, std::min(threads, parts)), [&](int) {
        for (int32_t part; (part = next++) < parts;)
            work(part * together, std::min(count, (part + 1) * together));
    });
}

// The model, or null and the reason.
EXPORT LanguageModel* encodec_lm(const int64_t* numbers, size_t number_count, const int8_t* weights,
                                 size_t weight_count, const int32_t* tables, size_t table_count,
                                 char* message, size_t message_size) {
    try {
        return std::make_unique<LanguageModel>(LMNumbers{{numbers, number_count},
                                                         {weights, weight_count},
                                                         {tables, table_count}})
            .release();
    } catch (const std::exception& error) {
        std::snprintf(message, message_size, "%s", error.what());
        return nullptr;
    }
}

EXPORT void encodec_lm_free(LanguageModel* lm) { delete lm; }

EXPORT int64_t encodec_lm_layout() {
    return static_cast<int64_t>(sizeof(EncodecChunk)) << 32 | sizeof(EncodecLatents);
}

// Codes chunks, all with the same number of codebooks; 0, or 1 and the reason. Chunks go to
// `threads` threads, and `together` of them at a time are decoded in step.
EXPORT int32_t encodec_lm_run(const LanguageModel* lm, int32_t encode, EncodecChunk* chunks,
                              int32_t count, int32_t together, int32_t threads, char* message,
                              size_t message_size) {
    try {
        in_parts(count, together, threads, [&](int32_t first, int32_t last) {
            std::vector<EncodecChunk*> some;
            for (int32_t i = first; i < last; i++) some.push_back(chunks + i);
            Coder coder(*lm, some);
            encode ? coder.encode() : coder.decode();
        });
        return 0;
    } catch (const std::exception& error) {
        std::snprintf(message, message_size, "%s", error.what());
        return 1;
    }
}

// The first `books` codebooks, or null and the reason.
EXPORT Quantizer* encodec_quantizer(const float* entries, int32_t books, int32_t bins,
                                    int32_t dimension, char* message, size_t message_size) {
    try {
        return std::make_unique<Quantizer>(books, bins, dimension, entries).release();
    } catch (const std::exception& error) {
        std::snprintf(message, message_size, "%s", error.what());
        return nullptr;
    }
}

EXPORT void encodec_quantizer_free(Quantizer* quantizer) { delete quantizer; }

// Searches the codes of chunks of latents; 0, or 1 and the reason. Chunks and threads as above.
EXPORT int32_t encodec_search(const LanguageModel* lm, const Quantizer* quantizer,
                              EncodecLatents* chunks, int32_t count, int32_t beam, float rate,
                              int32_t together, int32_t threads, char* message,
                              size_t message_size) {
    try {
        in_parts(count, together, threads, [&](int32_t first, int32_t last) {
            RateSearch(*lm, *quantizer, beam, rate).run(chunks + first, last - first);
        });
        return 0;
    } catch (const std::exception& error) {
        std::snprintf(message, message_size, "%s", error.what());
        return 1;
    }
}
