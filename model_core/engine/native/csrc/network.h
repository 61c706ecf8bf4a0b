// What the causal and the normalised networks have in common: jobs are cut into blocks, which go
// through the LSTM in step with those of other streams, or after the block before them.
#pragma once

#include <atomic>
#include <limits>
#include <memory>
#include <vector>

#include "interface.h"
#include "lstm.h"
#include "rvq.h"

// For a stream shared by threads: every block reads the deep layers' weights again.
constexpr int64_t FEWEST_FRAMES = 16;
constexpr int64_t BLOCKS_A_THREAD = 4;

struct Block {
    int64_t begin;  // its first frame
    int frames;
    bool first, last;  // of the stream
};

// The progress of a stream's blocks, each in its own thread: for each unit of the network, the
// number of blocks that have left it. A block enters a unit when the block before has left it.
class Progress {
  public:
    explicit Progress(size_t units) : done_(units) {}
    void wait(size_t unit, int block) {
        for (int now; (now = done_[unit].load(std::memory_order_acquire)) < block;)
            done_[unit].wait(now, std::memory_order_acquire);
    }
    void leave(size_t unit, int block) { raise(unit, block + 1); }
    // A block has failed and will leave no further unit: threads must not wait for it.
    void abandon() {
        for (size_t unit = 0; unit < done_.size(); unit++)
            raise(unit, std::numeric_limits<int>::max());
    }

  private:
    void raise(size_t unit, int blocks) {
        int now = done_[unit].load(std::memory_order_relaxed);
        while (now < blocks &&
               !done_[unit].compare_exchange_weak(now, blocks, std::memory_order_release,
                                                  std::memory_order_relaxed)) {
        }
        done_[unit].notify_all();
    }

    std::vector<std::atomic<int>> done_;
};

// A block's way through the units.
struct Turn {
    Progress* progress = nullptr;  // null if no other thread has blocks of the stream
    int block = 0;
    size_t unit = 0;

    template <class Work>
    void next(Work work) {
        if (progress) progress->wait(unit, block);
        work();
        if (progress) progress->leave(unit, block);
        unit++;
    }
};

// The memory of one thread.
class Worker {
  public:
    virtual ~Worker() = default;
    // Several streams, block by block in step.
    virtual void run_in_step(EncodecJob* jobs, int count) = 0;
    // One block of a stream; its other blocks run in other threads.
    virtual void run_block(const EncodecJob& job, const Block& block, Turn turn) = 0;
};

// Encoder or decoder, as threads share it.
struct Network {
    const Quantizer& quantizer;
    const EncodecSpec& spec;
    const bool encoder;
    size_t units = 0, state_size = 0;

    Network(const Quantizer& quantizer, const EncodecSpec& spec, bool encoder)
        : quantizer(quantizer), spec(spec), encoder(encoder) {}
    virtual ~Network() = default;
    virtual std::unique_ptr<Worker> worker() const = 0;

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
};

template <class T>
struct LstmNetwork : Network {
    std::vector<LstmLayer<T>> lstm;
    const int width;  // of the LSTM
    const size_t lstm_state;

    LstmNetwork(const NetworkWeights& weights, const Quantizer& quantizer, const EncodecSpec& spec,
                bool encoder)
        : Network(quantizer, spec, encoder), width(weights.width),
          lstm_state(2 * weights.lstm.size() * static_cast<size_t>(width)) {
        for (const LstmWeights& layer : weights.lstm) lstm.emplace_back(width, layer);
        units = lstm.size();
    }
};

template <class T>
class LstmWorker : public Worker {
  public:
    explicit LstmWorker(const LstmNetwork<T>& network) : network_(network) {}

    void run_in_step(EncodecJob* jobs, int count) override {
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

    void run_block(const EncodecJob& job, const Block& block, Turn turn) override {
        if (frames_.empty()) frames_.resize(1);
        LstmFrames<T>& frames = frames_[0];
        front(job, block, frames, turn);
        for (size_t l = 0; l < network_.lstm.size(); l++) {
            const LstmLane<T> lane = frames.lane(network_.lstm[l], l);
            turn.next([&] { network_.lstm[l].run(&lane, 1, frames.frames); });
        }
        back(job, block, frames, turn);
    }

  protected:
    // What comes before the LSTM, into `frames`, and what comes after it.
    virtual void front(const EncodecJob& job, const Block& block, LstmFrames<T>& frames,
                       Turn& turn) = 0;
    virtual void back(const EncodecJob& job, const Block& block, const LstmFrames<T>& frames,
                      Turn& turn) = 0;

  private:
    const LstmNetwork<T>& network_;
    std::vector<LstmFrames<T>> frames_;
};
