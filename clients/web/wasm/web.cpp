// The engine's functions for JavaScript: networks and the exact language model, on one thread.
//
// They are called with plain numbers and places in memory, take codes as uint16, and compute with
// the same sources as the native engine. What they throw goes to JavaScript (`fail`), which then
// throws the module away.
#include "causal.h"
#include "lm.cpp"
#include "segments.h"

#include <typeinfo>

__attribute__((import_module("env"), import_name("fail"), noreturn)) void fail(const char* reason);

// C++ exceptions without their machinery: all that are thrown here derive from `std::exception`.
extern "C" {
void* __cxa_allocate_exception(size_t size) noexcept { return std::malloc(size); }
void __cxa_free_exception(void* thrown) noexcept { std::free(thrown); }
[[noreturn]] void __cxa_throw(void* thrown, std::type_info*, void (*)(void*)) {
    fail(static_cast<std::exception*>(thrown)->what());
}
}
// In place of the library's, which prints: where `new` has no memory.
[[noreturn]] void std::__libcpp_verbose_abort(const char*, ...) { fail("there is no memory left"); }

// Encoder or decoder, with codebooks.
struct WebNetwork {
    EncodecSpec spec;
    Quantizer quantizer;
    std::unique_ptr<Network> network;
    std::vector<int64_t> codes;
};

EXPORT void* web_allocate(size_t bytes) {
    void* memory = std::aligned_alloc(64, (bytes + 63) / 64 * 64);
    if (!memory) throw std::bad_alloc();
    return memory;
}
EXPORT void web_free(void* memory) { std::free(memory); }

// `weights`: of the encoder or the decoder, in the order of the layers; `entries` of the codebooks.
// `description`: the numbers of `EncodecSpec`.
EXPORT WebNetwork* web_network(int32_t encoder, const int32_t* description, const float* weights,
                               size_t size, const float* entries, size_t entries_size) {
    auto made = std::make_unique<WebNetwork>();
    std::memcpy(&made->spec, description, sizeof(EncodecSpec));
    const EncodecSpec& spec = made->spec;
    WeightReader codebooks(entries, entries_size);
    const size_t count = static_cast<size_t>(spec.codebooks) * spec.bins * spec.dimension;
    made->quantizer = Quantizer(spec.codebooks, spec.bins, spec.dimension, codebooks.take(count));
    codebooks.finish();
    WeightReader reader(weights, size);
    const NetworkWeights layers(reader, spec, encoder);
    reader.finish();
    if (spec.causal)
        made->network =
            std::make_unique<CausalNetwork<float>>(layers, made->quantizer, spec, encoder);
    else
        made->network =
            std::make_unique<NormedNetwork<float>>(layers, made->quantizer, spec, encoder);
    return made.release();
}

EXPORT void web_network_free(WebNetwork* network) { delete network; }

// Floats that a stream carries from block to block.
EXPORT size_t web_state_size(const WebNetwork* network) { return network->network->state_size; }

// Codes `[books, frames]` to samples `[channels, frames * hop]`, times `scale`.
EXPORT void web_decode(WebNetwork* network, const uint16_t* codes, int32_t books, int32_t frames,
                       float* state, int32_t first, int32_t last, float scale, float* samples) {
    network->codes.assign(codes, codes + static_cast<size_t>(books) * frames);
    EncodecJob job{samples, network->codes.data(), state, scale, books, 1, first, last, 0, frames};
    network->network->run(&job, 1, 1);
}

// Samples `[channels, count]` to codes `[books, frames]`.
EXPORT void web_encode(WebNetwork* network, float* samples, int32_t count, float* state,
                       int32_t first, int32_t last, uint16_t* codes, int32_t books,
                       int32_t frames) {
    network->codes.resize(static_cast<size_t>(books) * frames);
    EncodecJob job{samples, network->codes.data(), state, 1.0f, books, 1, first, last, count,
                   frames};
    network->network->run(&job, 1, 1);
    std::copy(network->codes.begin(), network->codes.end(), codes);
}

// The language model of `entropy.native_lm`, from the same three arrays.
EXPORT LanguageModel* web_lm(const int64_t* numbers, size_t number_count, const int8_t* weights,
                             size_t weight_count, const int32_t* tables, size_t table_count) {
    return new LanguageModel(LMNumbers{
        {numbers, number_count}, {weights, weight_count}, {tables, table_count}});
}

// Chunks of codes `[books, frames]` each, one after another, and their bytes likewise; `sizes` and
// `frames` of each chunk. Decoding returns whether all bytes were codes; encoding takes `sizes` for
// the room and sets them.
EXPORT int32_t web_lm_run(const LanguageModel* lm, int32_t encode, uint16_t* codes, uint8_t* bytes,
                          int32_t* sizes, const int32_t* frames, int32_t count, int32_t books) {
    std::vector<EncodecChunk> chunks(static_cast<size_t>(count));
    std::vector<std::vector<int64_t>> wide(static_cast<size_t>(count));
    std::vector<EncodecChunk*> all;
    uint16_t* from = codes;
    for (int i = 0; i < count; i++) {
        const size_t size = static_cast<size_t>(books) * frames[i];
        wide[i].assign(from, from + size);
        chunks[i] = {wide[i].data(), bytes, sizes[i], sizes[i], books, frames[i], 0};
        all.push_back(&chunks[i]);
        from += size;
        bytes += sizes[i];
    }
    Coder coder(*lm, all);
    encode ? coder.encode() : coder.decode();
    int32_t whole = 1;
    for (int i = 0; i < count; i++) {
        if (encode) sizes[i] = static_cast<int32_t>(chunks[i].size);
        whole &= !chunks[i].damaged;
        if (!encode) codes = std::copy(wide[i].begin(), wide[i].end(), codes);
    }
    return whole;
}
