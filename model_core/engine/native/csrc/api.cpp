// The engine's functions for Python: make a model from its description and weights, run jobs.
//
//   interface.h    what Python passes
//   network.h      jobs in blocks, through convolutions and LSTM
//     causal.h       the 24 kHz networks, made of chains of convolutions (chain.h)
//     segments.h     the 48 kHz networks, with norms
//     lstm.h  rvq.h  path_search.h  threads.h
//   gemm.h         the product that all of them come down to; convolution.h makes it of a convolution
//   simd.h  storage.h  root.h   vectors, float or bfloat16, the square root
#include <chrono>
#include <cstdio>

#include "causal.h"
#include "root.h"
#include "segments.h"

struct EncodecModel {
    EncodecSpec spec;
    Quantizer quantizer;
    std::unique_ptr<Network> encoder, decoder;
};

// The target of this build, by its name in `library.BUILDS`.
EXPORT const char* encodec_build() {
#if defined(__AVX512BF16__)
    return "avx512bf16";
#elif defined(__AVX512F__)
    return "avx512";
#elif defined(__AVX2__)
    return "avx2";
#else
    return "generic";
#endif
}

// The sizes of the structures passed in: they differ if the library is older than its Python code.
EXPORT int64_t encodec_layout() {
    return static_cast<int64_t>(sizeof(EncodecSpec)) << 32 | sizeof(EncodecJob);
}

// Whether this build has a decoder in bfloat16.
EXPORT int32_t encodec_bfloat16() { return HAS_BFLOAT16; }

template <class T>
static std::unique_ptr<Network> make_network(const NetworkWeights& weights,
                                             const EncodecModel& model, bool encoder) {
    if (model.spec.causal)
        return std::make_unique<CausalNetwork<T>>(weights, model.quantizer, model.spec, encoder);
    return std::make_unique<NormedNetwork<T>>(weights, model.quantizer, model.spec, encoder);
}

// A model, or null and the reason. `weights`: encoder, decoder, entries of the codebooks.
EXPORT EncodecModel* encodec_model(const EncodecSpec* spec, const float* weights, size_t size,
                                   char* message, size_t message_size) {
    try {
        auto model = std::make_unique<EncodecModel>();
        model->spec = *spec;
        WeightReader reader(weights, size);
        const NetworkWeights encoder(reader, *spec, true);
        const NetworkWeights decoder(reader, *spec, false);
        const size_t entries =
            static_cast<size_t>(spec->codebooks) * spec->bins * spec->dimension;
        model->quantizer =
            Quantizer(spec->codebooks, spec->bins, spec->dimension, reader.take(entries));
        reader.finish();
        model->encoder = make_network<float>(encoder, *model, true);
        if (!spec->decode_bfloat16)
            model->decoder = make_network<float>(decoder, *model, false);
#if HAS_BFLOAT16
        else
            model->decoder = make_network<BFloat16>(decoder, *model, false);
#else
        else
            throw std::invalid_argument("this build has no bfloat16");
#endif
        return model.release();
    } catch (const std::exception& error) {
        std::snprintf(message, message_size, "%s", error.what());
        return nullptr;
    }
}

EXPORT void encodec_free(EncodecModel* model) { delete model; }

// The number of floats that a causal stream carries from block to block; 0 for the other model.
EXPORT size_t encodec_state_size(const EncodecModel* model, int32_t encoder) {
    return (encoder ? model->encoder : model->decoder)->state_size;
}

// The entries of all codebooks, `[codebooks, bins, dimension]`.
EXPORT void encodec_entries(const EncodecModel* model, float* to) {
    const EncodecSpec& spec = model->spec;
    std::memcpy(to, model->quantizer.entry(0, 0),
                sizeof(float) * spec.codebooks * spec.bins * spec.dimension);
}

// Run jobs of different streams; 0, or 1 and the reason (the streams' states are then invalid).
EXPORT int32_t encodec_run(EncodecModel* model, int32_t encoder, EncodecJob* jobs, int32_t count,
                           int32_t threads, char* message, size_t message_size) {
    try {
        (encoder ? model->encoder : model->decoder)->run(jobs, count, threads);
        return 0;
    } catch (const std::exception& error) {
        std::snprintf(message, message_size, "%s", error.what());
        return 1;
    }
}

// The root of a segment's scale.
EXPORT float encodec_root(float x) { return root_as_torch(x); }

// The multiply-adds per second of this thread, as a limit for benchmarks: the best of many short
// runs with all operands in registers.
static double peak_multiply_adds() {
    constexpr int SUMS = 12, ROUNDS = 20000;
    using Clock = std::chrono::steady_clock;
    Vec sums[SUMS];
    for (int i = 0; i < SUMS; i++) sums[i] = fill(static_cast<float>(i));
    const volatile float seen = 0.999f;
    const Vec factor = fill(seen), term = fill(1.0f - seen);
    double best = 0;
    for (int run = 0; run < 400; run++) {
        const auto began = Clock::now();
        for (int round = 0; round < ROUNDS; round++)
            UNROLL for (int i = 0; i < SUMS; i++) sums[i] = sums[i] * factor + term;
        const double took = std::chrono::duration<double>(Clock::now() - began).count();
        best = std::max(best, static_cast<double>(SUMS) * ROUNDS * LANES / took);
    }
    volatile float kept = 0;
    for (int i = 0; i < SUMS; i++) kept = kept + sum(sums[i]);
    return best;
}

// Multiply-adds per second of `threads` threads at once, or of as many as can be started; 0 if
// memory runs out.
EXPORT double encodec_peak(int32_t threads) {
    try {
        std::vector<double> rates(static_cast<size_t>(std::max(1, threads)));
        in_threads(static_cast<int>(rates.size()), [&](int i) { rates[i] = peak_multiply_adds(); });
        double all = 0;
        for (const double rate : rates) all += rate;
        return all;
    } catch (const std::exception&) {
        return 0;
    }
}
