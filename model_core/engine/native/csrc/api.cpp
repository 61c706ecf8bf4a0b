// The engine's functions for Python: make a model from its description and weights, run jobs.
#include <atomic>
#include <cstdio>
#include <exception>
#include <mutex>
#include <system_error>
#include <thread>

#include "peak.h"
#include "root.h"
#include "segments.h"
#include "streams.h"

#if defined(_WIN32)
#define EXPORT extern "C" __declspec(dllexport)
#else
#define EXPORT extern "C" __attribute__((visibility("default")))
#endif

// Workers that are free between calls, with their memory.
template <class Worker>
class Resting {
  public:
    template <class Make>
    std::unique_ptr<Worker> take(Make make) {
        {
            const std::lock_guard<std::mutex> lock(mutex_);
            if (!workers_.empty()) {
                auto worker = std::move(workers_.back());
                workers_.pop_back();
                return worker;
            }
        }
        return make();
    }
    void give(std::unique_ptr<Worker> worker) {
        const std::lock_guard<std::mutex> lock(mutex_);
        workers_.push_back(std::move(worker));
    }

  private:
    std::mutex mutex_;
    std::vector<std::unique_ptr<Worker>> workers_;
};

// Calls work(i) for i in [0, count), each in its own thread, and rethrows one of their exceptions.
// If the system cannot start all threads, not all calls run: to get all work done, let each call
// take from a shared list.
template <class Work>
static void in_threads(int count, Work work) {
    std::vector<std::exception_ptr> errors(static_cast<size_t>(count));
    std::vector<std::thread> threads;
    const auto guarded = [&](int i) {
        try {
            work(i);
        } catch (...) {
            errors[i] = std::current_exception();
        }
    };
    try {
        threads.reserve(static_cast<size_t>(count));
        for (int i = 1; i < count; i++) threads.emplace_back(guarded, i);
    } catch (const std::system_error&) {
    }
    guarded(0);
    for (auto& thread : threads) thread.join();
    for (const auto& error : errors)
        if (error) std::rethrow_exception(error);
}

// Distributes the jobs to threads, a few at a time to run in step.
template <class Worker, class Make>
static void share_out(EncodecJob* jobs, int count, int threads, Resting<Worker>& resting,
                      Make make) {
    threads = std::max(1, std::min(threads, count));
    const int most = std::max(1, std::min((count + threads - 1) / threads, STREAMS_IN_STEP));
    std::atomic<int> next{0};
    in_threads(threads, [&](int) {
        auto worker = resting.take(make);
        for (int first; (first = next.fetch_add(most)) < count;) {
            std::vector<EncodecJob*> some;
            for (int i = first; i < std::min(count, first + most); i++) some.push_back(jobs + i);
            worker->run_in_step(some.data(), static_cast<int>(some.size()));
        }
        resting.give(std::move(worker));
    });
}

// Encoder or decoder.
class Direction {
  public:
    virtual ~Direction() = default;
    virtual size_t state_size() const = 0;
    virtual void run(EncodecJob* jobs, int count, int threads) = 0;
};

template <class T>
class StreamDirection : public Direction {
  public:
    StreamDirection(CausalNetwork<T> network, const Quantizer& quantizer, const EncodecSpec& spec,
                    bool encoder)
        : network_(std::move(network)), coder_(network_, quantizer, spec, encoder) {}

    size_t state_size() const override { return network_.state_size(); }

    void run(EncodecJob* jobs, int count, int threads) override {
        const auto make = [this] { return std::make_unique<StreamWorker<T>>(coder_); };
        if (count != 1 || threads < 2) {
            share_out(jobs, count, threads, resting_, make);
            return;
        }
        const std::vector<Block> blocks = coder_.blocks(jobs[0], threads);
        Progress progress(network_.units());
        std::atomic<int> next{0};
        const int length = static_cast<int>(blocks.size());
        in_threads(std::min(threads, length), [&](int) {
            auto worker = resting_.take(make);
            try {
                for (int b; (b = next.fetch_add(1)) < length;)
                    worker->run_block(jobs[0], blocks[b], progress, b);
            } catch (...) {
                progress.abandon();
                throw;
            }
            resting_.give(std::move(worker));
        });
    }

  private:
    const CausalNetwork<T> network_;
    const StreamCoder<T> coder_;
    Resting<StreamWorker<T>> resting_;
};

template <class T>
class SegmentDirection : public Direction {
  public:
    SegmentDirection(const NetworkWeights& weights, const Quantizer& quantizer,
                     const EncodecSpec& spec, bool encoder)
        : network_(weights), quantizer_(quantizer), spec_(spec), encoder_(encoder) {}

    size_t state_size() const override { return 0; }

    void run(EncodecJob* jobs, int count, int threads) override {
        share_out(jobs, count, threads, resting_, [this] {
            return std::make_unique<SegmentWorker<T>>(network_, quantizer_, spec_, encoder_);
        });
    }

  private:
    const NormedNetwork<T> network_;
    const Quantizer& quantizer_;
    const EncodecSpec& spec_;
    const bool encoder_;
    Resting<SegmentWorker<T>> resting_;
};

struct EncodecModel {
    EncodecSpec spec;
    Quantizer quantizer;
    std::unique_ptr<Direction> encoder, decoder;
};

static void keep_message(char* message, size_t size, const char* text) {
    if (message && size) std::snprintf(message, size, "%s", text);
}

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

static std::unique_ptr<Direction> make_encoder(const NetworkWeights& weights,
                                               const Quantizer& quantizer,
                                               const EncodecSpec& spec) {
    if (spec.causal)
        return std::make_unique<StreamDirection<float>>(causal_encoder(weights, spec), quantizer,
                                                        spec, true);
    return std::make_unique<SegmentDirection<float>>(weights, quantizer, spec, true);
}

template <class T>
static std::unique_ptr<Direction> make_decoder(const NetworkWeights& weights,
                                               const Quantizer& quantizer,
                                               const EncodecSpec& spec) {
    if (spec.causal)
        return std::make_unique<StreamDirection<T>>(causal_decoder<T>(weights, spec), quantizer,
                                                    spec, false);
    return std::make_unique<SegmentDirection<T>>(weights, quantizer, spec, false);
}

// A model, or null and the reason. `weights`: encoder, decoder, entries of the codebooks.
EXPORT EncodecModel* encodec_model(const EncodecSpec* spec, const float* weights, size_t size,
                                   char* message, size_t message_size) {
    try {
        auto model = std::make_unique<EncodecModel>();
        model->spec = *spec;
        WeightReader reader(weights, size);
        const NetworkWeights encoder = read_encoder(reader, *spec);
        const NetworkWeights decoder = read_decoder(reader, *spec);
        const size_t entries =
            static_cast<size_t>(spec->codebooks) * spec->bins * spec->dimension;
        model->quantizer =
            Quantizer(spec->codebooks, spec->bins, spec->dimension, reader.take(entries));
        reader.finish();
        model->encoder = make_encoder(encoder, model->quantizer, model->spec);
        if (!spec->decode_bfloat16)
            model->decoder = make_decoder<float>(decoder, model->quantizer, model->spec);
#if HAS_BFLOAT16
        else
            model->decoder = make_decoder<BFloat16>(decoder, model->quantizer, model->spec);
#else
        else
            throw std::invalid_argument("this build has no bfloat16");
#endif
        return model.release();
    } catch (const std::exception& error) {
        keep_message(message, message_size, error.what());
        return nullptr;
    }
}

EXPORT void encodec_free(EncodecModel* model) { delete model; }

// The number of floats that a causal stream carries from block to block; 0 for the other model.
EXPORT size_t encodec_state_size(const EncodecModel* model, int32_t encoder) {
    return (encoder ? model->encoder : model->decoder)->state_size();
}

// Run jobs of different streams; 0, or 1 and the reason (the streams' states are then invalid).
EXPORT int32_t encodec_run(EncodecModel* model, int32_t encoder, EncodecJob* jobs, int32_t count,
                           int32_t threads, char* message, size_t message_size) {
    try {
        (encoder ? model->encoder : model->decoder)->run(jobs, count, threads);
        return 0;
    } catch (const std::exception& error) {
        keep_message(message, message_size, error.what());
        return 1;
    }
}

// The root of a segment's scale.
EXPORT float encodec_root(float x) { return root_as_torch(x); }

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
