// Runs causal streams: several in step on one thread, or one on several threads, each with its own
// block, which follows the previous block through the network.
#pragma once

#include <atomic>
#include <limits>
#include <memory>

#include "causal.h"
#include "jobs.h"
#include "lstm_pass.h"

// The progress of a stream's blocks: for each unit, the number of blocks that have left it.
class Progress {
  public:
    explicit Progress(size_t units) : done_(units) {
        for (auto& unit : done_) unit.store(0, std::memory_order_relaxed);
    }
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

struct Block {
    int64_t begin;  // its first frame
    int frames;
    bool first, last;  // of the stream
};

// For a stream shared by threads: every block reads the deep layers' weights again.
constexpr int64_t FEWEST_FRAMES = 16;
constexpr int64_t BLOCKS_A_THREAD = 4;

// Encoder and decoder differ in their input and output.
template <class T>
class StreamCoder {
  public:
    StreamCoder(const CausalNetwork<T>& network, const Quantizer& quantizer, const EncodecSpec& spec,
                bool encoder)
        : network(network), quantizer_(quantizer), spec_(spec), encoder_(encoder) {
        hop_ = 1;
        for (int i = 0; i < spec.ratio_count; i++) hop_ *= spec.ratios[i];
    }

    // Full blocks; for several threads and few blocks, shorter ones, so that all threads have work.
    std::vector<Block> blocks(const EncodecJob& job, int threads = 1) const {
        const int64_t frames = encoder_ ? (job.sample_count + hop_ - 1) / hop_ : job.frames;
        int64_t size = spec_.block_frames;
        if (threads > 1)
            size = std::clamp(frames / (BLOCKS_A_THREAD * threads),
                              std::min<int64_t>(FEWEST_FRAMES, size), size);
        std::vector<Block> cut;
        for (int64_t t = 0; t < frames; t += size) {
            const int some = static_cast<int>(std::min(size, frames - t));
            cut.push_back({t, some, job.first && t == 0, job.last && t + some == frames});
        }
        return cut;
    }

    void read(const EncodecJob& job, const Block& block, ChainRunner<T>& front) const {
        if (encoder_) {
            const int64_t begin = block.begin * hop_;
            const int count = static_cast<int>(
                std::min<int64_t>(job.sample_count - begin, static_cast<int64_t>(block.frames) * hop_));
            to_rows(job, job.sample_count, begin, count, spec_.channels, front.input(count));
        } else {
            quantizer_.decode(job.codes + block.begin, job.frames, block.frames, job.books,
                              front.input(block.frames), spec_.dimension);
        }
    }

    void write(const EncodecJob& job, const Block& block, ChainRunner<T>& back,
               Floats& scratch) const {
        if (encoder_)
            quantizer_.encode(back.output(), block.frames, job.books, job.codes + block.begin,
                              job.frames, scratch);
        else
            from_rows(job, job.frames * hop_, block.begin * hop_, back.output_rows(),
                      spec_.channels, back.output());
        back.clear_output();
    }

    const CausalNetwork<T>& network;

  private:
    const Quantizer& quantizer_;
    const EncodecSpec& spec_;
    bool encoder_;
    int hop_;
};

// The memory of one thread.
template <class T>
class StreamWorker {
  public:
    explicit StreamWorker(const StreamCoder<T>& coder)
        : coder_(coder), front_(coder.network.front), back_(coder.network.back) {}

    // Several streams, block by block in step.
    void run_in_step(EncodecJob* const* jobs, int count) {
        std::vector<std::vector<Block>> blocks;
        size_t rounds = 0;
        for (int i = 0; i < count; i++) {
            blocks.push_back(coder_.blocks(*jobs[i]));
            rounds = std::max(rounds, blocks.back().size());
        }
        while (frames_.size() < static_cast<size_t>(count))
            frames_.push_back(std::make_unique<LstmFrames<T>>());
        for (size_t round = 0; round < rounds; round++) {
            std::vector<LstmStream<T>> streams;
            for (int i = 0; i < count; i++)
                if (round < blocks[i].size()) {
                    front(*jobs[i], blocks[i][round], *frames_[i], nullptr, 0);
                    streams.push_back({frames_[i].get(), lstm_state(*jobs[i])});
                }
            run_lstm(coder_.network.lstm, std::move(streams));
            for (int i = 0; i < count; i++)
                if (round < blocks[i].size())
                    back(*jobs[i], blocks[i][round], *frames_[i], nullptr, 0);
        }
    }

    // One block of a stream; its other blocks run in other threads.
    void run_block(const EncodecJob& job, const Block& block, Progress& progress, int number) {
        if (frames_.empty()) frames_.push_back(std::make_unique<LstmFrames<T>>());
        LstmFrames<T>& frames = *frames_[0];
        front(job, block, frames, &progress, number);
        size_t unit = coder_.network.front.groups.size();
        for (size_t l = 0; l < coder_.network.lstm.size(); l++, unit++) {
            const LstmLayer<T>& layer = coder_.network.lstm[l];
            const LstmLane<T> lane = frames.lane(layer, l, lstm_state(job));
            progress.wait(unit, number);
            layer.run(&lane, 1, frames.frames);
            progress.leave(unit, number);
        }
        back(job, block, frames, &progress, number);
    }

  private:
    float* lstm_state(const EncodecJob& job) const {
        return job.state + coder_.network.front.state_size;
    }

    void run_chain(const Chain<T>& chain, ChainRunner<T>& runner, float* state, const Block& block,
                   Progress* progress, size_t unit, int number) {
        for (const typename Chain<T>::Group& group : chain.groups) {
            if (progress) progress->wait(unit, number);
            runner.run(group, state, block.first, block.last);
            if (progress) progress->leave(unit, number);
            unit++;
        }
    }

    void front(const EncodecJob& job, const Block& block, LstmFrames<T>& frames, Progress* progress,
               int number) {
        const CausalNetwork<T>& net = coder_.network;
        coder_.read(job, block, front_);
        run_chain(net.front, front_, job.state, block, progress, 0, number);
        const size_t size = static_cast<size_t>(block.frames) * net.width;
        std::memcpy(frames.input(block.frames, net.width), front_.output(), sizeof(float) * size);
        front_.clear_output();
        if (block.first)
            std::memset(lstm_state(job), 0, sizeof(float) * net.lstm_state());
    }

    void back(const EncodecJob& job, const Block& block, LstmFrames<T>& frames, Progress* progress,
              int number) {
        const CausalNetwork<T>& net = coder_.network;
        frames.finish(net.lstm.size(), net.width, back_.input(block.frames));
        run_chain(net.back, back_, lstm_state(job) + net.lstm_state(), block, progress,
                  net.front.groups.size() + net.lstm.size(), number);
        coder_.write(job, block, back_, scratch_);
    }

    const StreamCoder<T>& coder_;
    ChainRunner<T> front_, back_;
    std::vector<std::unique_ptr<LstmFrames<T>>> frames_;
    Floats scratch_;
};
