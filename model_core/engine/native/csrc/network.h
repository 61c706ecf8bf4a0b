// What the causal and the normalised networks have in common: jobs are cut into blocks, which go
// through the LSTM in step with those of other streams, or after the block before them.
#pragma once

#include <memory>

#include "interface.h"
#include "lstm.h"
#include "path_search.h"
#include "threads.h"

// For a stream shared by threads: every block reads the deep layers' weights again.
constexpr int64_t FEWEST_FRAMES = 16;
constexpr int64_t BLOCKS_A_THREAD = 4;

struct Block {
    int64_t begin;  // its first frame
    int frames;
    bool first, last;  // of the stream
};

// What a job wants of latents, `[frames, dimension]`, which are overwritten, from frame `begin` on:
// their codes, or themselves.
static inline void give(const Quantizer& quantizer, float* latent, int frames, int64_t begin,
                        const EncodecJob& job, PathSearch& search) {
    const auto dimension = static_cast<size_t>(quantizer.dimension());
    if (job.latent)
        std::memcpy(job.latent + static_cast<size_t>(begin) * dimension, latent,
                    sizeof(float) * dimension * static_cast<size_t>(frames));
    else
        search.run(quantizer, latent, frames, job.books, job.beam, job.codes + begin, job.frames);
}

// Encoder or decoder.
class Network {
  public:
    virtual ~Network() = default;
    virtual void run(EncodecJob* jobs, int count, int threads) = 0;

    size_t state_size = 0;
};

template <class T>
class BlockWorker;

template <class T>
class BlockNetwork : public Network {
  public:
    using Worker = BlockWorker<T>;

    BlockNetwork(const NetworkWeights& weights, const Quantizer& quantizer,
                 const EncodecSpec& spec, bool encoder)
        : quantizer(quantizer), spec(spec), encoder(encoder), width(weights.width),
          lstm_state(2 * weights.lstm.size() * static_cast<size_t>(width)) {
        for (const LstmWeights& layer : weights.lstm) lstm.emplace_back(width, layer);
        units = lstm.size();
    }

    void run(EncodecJob* jobs, int count, int threads) override {
        if (count == 1 && threads > 1)
            run_blocks(jobs[0], threads);
        else
            run_jobs(jobs, count, std::max(1, std::min(threads, count)));
    }

    // Full blocks; for several threads and few blocks, shorter ones, so that all threads have
    // work. A segment is one block.
    std::vector<Block> blocks(const EncodecJob& job, int threads = 1) const {
        int64_t size = spec.causal ? spec.block_frames : job.frames;
        if (spec.causal && threads > 1)
            size = std::clamp(job.frames / (BLOCKS_A_THREAD * threads),
                              std::min(FEWEST_FRAMES, size), size);
        std::vector<Block> cut;
        for (int64_t t = 0; t < job.frames; t += size) {
            const int some = static_cast<int>(std::min(size, job.frames - t));
            cut.push_back({t, some, job.first && t == 0, job.last && t + some == job.frames});
        }
        return cut;
    }

    const Quantizer& quantizer;
    const EncodecSpec& spec;
    const bool encoder;
    const int width;  // of the LSTM
    const size_t lstm_state;
    std::vector<LstmLayer<T>> lstm;
    size_t units;  // that a block enters when the block before has left them

  protected:
    virtual std::unique_ptr<Worker> make_worker() const = 0;

  private:
    // Each thread takes a few jobs at a time, to run in step.
    void run_jobs(EncodecJob* jobs, int count, int threads) {
        const int most = std::max(1, std::min((count + threads - 1) / threads, STREAMS_IN_STEP));
        std::atomic<int> next{0};
        in_threads(threads, [&](int) {
            with_worker([&](Worker& worker) {
                for (int first; (first = next.fetch_add(most)) < count;)
                    worker.run_in_step(jobs + first, std::min(most, count - first));
            });
        });
    }

    // Each thread takes a block of the same stream.
    void run_blocks(const EncodecJob& job, int threads) {
        const std::vector<Block> all = blocks(job, threads);
        const int count = static_cast<int>(all.size());
        Progress progress(units);
        std::atomic<int> next{0};
        in_threads(std::min(threads, count), [&](int) {
            try {
                with_worker([&](Worker& worker) {
                    for (int b; (b = next.fetch_add(1)) < count;)
                        worker.run_block(job, all[b], {&progress, b});
                });
            } catch (...) {
                progress.abandon();
                throw;
            }
        });
    }

    // Workers keep their memory between calls; one that has failed is not used again.
    template <class Work>
    void with_worker(Work work) {
        std::unique_ptr<Worker> worker;
        {
            const Lock lock(mutex_);
            if (!resting_.empty()) {
                worker = std::move(resting_.back());
                resting_.pop_back();
            }
        }
        if (!worker) worker = make_worker();
        work(*worker);
        const Lock lock(mutex_);
        resting_.push_back(std::move(worker));
    }

    Mutex mutex_;
    std::vector<std::unique_ptr<Worker>> resting_;
};

// The memory of one thread.
template <class T>
class BlockWorker {
  public:
    explicit BlockWorker(const BlockNetwork<T>& network) : network_(network) {}
    virtual ~BlockWorker() = default;

    // Several streams, block by block in step.
    void run_in_step(EncodecJob* jobs, int count) {
        std::vector<std::vector<Block>> blocks;
        size_t rounds = 0;
        for (int i = 0; i < count; i++) {
            blocks.push_back(network_.blocks(jobs[i]));
            rounds = std::max(rounds, blocks.back().size());
        }
        if (frames_.size() < blocks.size()) frames_.resize(blocks.size());
        for (size_t round = 0; round < rounds; round++) {
            std::vector<LstmFrames<T>*> streams;
            Turn alone;
            for (int i = 0; i < count; i++)
                if (round < blocks[i].size()) {
                    front(jobs[i], blocks[i][round], frames_[i], alone);
                    streams.push_back(&frames_[i]);
                }
            run_lstm(network_.lstm, std::move(streams));
            for (int i = 0; i < count; i++)
                if (round < blocks[i].size())
                    back(jobs[i], blocks[i][round], frames_[i], alone);
        }
    }

    // One block of a stream; its other blocks run in other threads.
    void run_block(const EncodecJob& job, const Block& block, Turn turn) {
        if (frames_.empty()) frames_.resize(1);
        LstmFrames<T>* stream = &frames_[0];
        front(job, block, *stream, turn);
        for (const LstmLayer<T>& layer : network_.lstm) {
            layer.project(*stream);
            turn.next([&] { layer.run(&stream, 1); });
        }
        back(job, block, *stream, turn);
    }

  protected:
    // What comes before the LSTM, into `frames`, and what comes after it.
    virtual void front(const EncodecJob& job, const Block& block, LstmFrames<T>& frames,
                       Turn& turn) = 0;
    virtual void back(const EncodecJob& job, const Block& block, const LstmFrames<T>& frames,
                      Turn& turn) = 0;

  private:
    const BlockNetwork<T>& network_;
    std::vector<LstmFrames<T>> frames_;
};
