// The causal networks as two chains with the LSTM between them. One level of the encoder:
//
//   from the level before, in chunks of rows
//     |                  |
//     | x                | elu(x), after the last 2 rows
//     |                  v
//     |            [ kernel 3 ]          each row of `wide` is x | elu(hidden)
//     v                  v
//   wide:        x | elu(hidden)
//                v
//   [ skip(x) + back(hidden), one product ]
//                | elu(sum), after the last `ratio` rows
//                v
//   [ kernel 2 ratio, stride ratio ]  -> x and elu(x) of the next level, 1/ratio of the rows
//
// The last rows that a step has read stay before the next chunk's; after a block they are the state
// of the stream. A level of the decoder begins with the transposed convolution (one row kept) and
// makes `ratio` rows of each.
#pragma once

#include "chain.h"
#include "network.h"

// Rows per chunk in the shallow layers, in samples: about half a megabyte between the steps.
constexpr int CHUNK_SAMPLES = 640;
constexpr int SHALLOW_LEVELS = 2;
constexpr int WHOLE = 1 << 30;

// The buffers that a level's residual unit reads.
struct Level {
    int wide, active;

    template <class T>
    Level(Chain<T>& chain, int width)
        : wide(chain.add_buffer(width + width / 2, 0)), active(chain.add_buffer(width, 2)) {}
};

// The residual unit; the activated sum goes to `to`.
template <class T>
static void add_residual(Chain<T>& chain, const ResidualWeights& w, const Level& level, int to) {
    const int width = w.skip.in, hidden = w.wide.out;
    chain.add({.in = level.active, .activated = level.wide, .column = width,
               .weights = pack_conv<T>(w.wide)});
    std::vector<float> bias;
    for (int c = 0; c < width; c++) bias.push_back(w.skip.bias[c] + w.back.bias[c]);
    Packed<T> both(width + hidden, width, 1, bias.data(), [&](int n, int k) {
        return k < width ? w.skip.window(n, k) : w.back.window(n, k - width);
    });
    chain.add({.in = level.wide, .activated = to, .weights = std::move(both)});
}

// One convolution, of whole blocks.
template <class T>
static void make_single(Chain<T>& chain, const ConvWeights& conv, int block_frames) {
    const int in = chain.add_buffer(conv.in, 6), out = chain.add_buffer(conv.out, 0);
    chain.add_group(WHOLE);
    chain.add({.in = in, .raw = out, .weights = pack_conv<T>(conv)});
    chain.lay_out(block_frames);
}

// The `context` rows before a stream's first row are its reflection, as many as the kernel needs; a
// stream's first chunk has more rows than that, or is the whole stream.
template <class T>
static void make_encoder_levels(Chain<T>& chain, const NetworkWeights& net, int block_samples) {
    const int strides = net.scaling[0].stride * net.scaling[1].stride;
    chain.add_group(std::max(2, (CHUNK_SAMPLES + strides - 1) / strides) * strides);
    const int input = chain.add_buffer(net.first.in, 6);
    Level level(chain, net.first.out);
    chain.add({.in = input, .raw = level.wide, .activated = level.active,
               .weights = pack_conv<T>(net.first)});
    for (size_t i = 0; i < net.scaling.size(); i++) {
        const ConvWeights& conv = net.scaling[i];
        if (i >= SHALLOW_LEVELS) chain.add_group(WHOLE);
        const int down = chain.add_buffer(conv.in, conv.stride);
        add_residual(chain, net.residual[i], level, down);
        Step<T> step{.in = down, .stride = conv.stride, .weights = pack_conv<T>(conv)};
        if (i + 1 < net.scaling.size()) {
            level = Level(chain, conv.out);
            step.raw = level.wide;
            step.activated = level.active;
        } else {
            chain.add_group(WHOLE);
            step.raw = chain.add_buffer(conv.out, 0);
        }
        chain.add(std::move(step));
    }
    chain.lay_out(block_samples);
}

template <class T>
static void make_decoder_levels(Chain<T>& chain, const NetworkWeights& net, int block_frames,
                                int hop) {
    int up = chain.add_buffer(net.width, 1, true);
    for (size_t i = 0; i < net.scaling.size(); i++) {
        const ConvWeights& conv = net.scaling[i];
        const size_t left = net.scaling.size() - i;
        if (left > SHALLOW_LEVELS)
            chain.add_group(WHOLE);
        else if (left == SHALLOW_LEVELS)
            chain.add_group(std::max(2, CHUNK_SAMPLES / hop));
        hop /= conv.stride;
        const Level level(chain, conv.out);
        chain.add({.in = up, .raw = level.wide, .activated = level.active,
                   .rows_out = conv.stride, .weights = pack_transposed<T>(conv)});
        up = left == 1 ? chain.add_buffer(conv.out, 6) : chain.add_buffer(conv.out, 1, true);
        add_residual(chain, net.residual[i], level, up);
    }
    const int out = chain.add_buffer(net.last.out, 0);
    chain.add({.in = up, .raw = out, .narrow = NarrowConv(net.last)});
    chain.lay_out(block_frames);
}

template <class T>
class StreamWorker;

template <class T>
class CausalNetwork : public BlockNetwork<T> {
  public:
    Chain<T> front, back;
    int hop = 1;

    CausalNetwork(const NetworkWeights& weights, const Quantizer& quantizer,
                  const EncodecSpec& spec, bool encoder)
        : BlockNetwork<T>(weights, quantizer, spec, encoder) {
        for (const ConvWeights& conv : weights.scaling) hop *= conv.stride;
        if (encoder) {
            make_encoder_levels(front, weights, spec.block_frames * hop);
            make_single(back, weights.last, spec.block_frames);
        } else {
            make_single(front, weights.first, spec.block_frames);
            make_decoder_levels(back, weights, spec.block_frames, hop);
        }
        this->units += front.groups.size() + back.groups.size();
        this->state_size = front.state_size + this->lstm_state + back.state_size;
    }

  protected:
    std::unique_ptr<BlockWorker<T>> make_worker() const override {
        return std::make_unique<StreamWorker<T>>(*this);
    }
};

template <class T>
class StreamWorker : public BlockWorker<T> {
  public:
    explicit StreamWorker(const CausalNetwork<T>& network)
        : BlockWorker<T>(network), net_(network), front_(network.front), back_(network.back) {}

  protected:
    void front(const EncodecJob& job, const Block& block, LstmFrames<T>& frames,
               Turn& turn) override {
        if (net_.encoder) {
            const int64_t begin = block.begin * net_.hop;
            const int count = static_cast<int>(std::min<int64_t>(
                job.sample_count - begin, static_cast<int64_t>(block.frames) * net_.hop));
            to_rows(job, begin, count, net_.spec.channels, front_.input(count));
        } else {
            net_.quantizer.decode(job.codes + block.begin, job.frames, block.frames, job.books,
                                  front_.input(block.frames));
        }
        run(net_.front, front_, job.state, block, turn);
        float* state = job.state + net_.front.state_size;
        const size_t size = static_cast<size_t>(block.frames) * net_.width;
        std::memcpy(frames.input(block.frames, net_.width, state), front_.output(),
                    sizeof(float) * size);
        if (block.first) std::memset(state, 0, sizeof(float) * net_.lstm_state);
    }

    void back(const EncodecJob& job, const Block& block, const LstmFrames<T>& frames,
              Turn& turn) override {
        frames.finish(net_.width, back_.input(block.frames));
        run(net_.back, back_, job.state + net_.front.state_size + net_.lstm_state, block, turn);
        if (net_.encoder)
            give(net_.quantizer, back_.output(), block.frames, block.begin, job, search_);
        else
            from_rows(job, job.frames * net_.hop, block.begin * net_.hop, back_.output_rows(),
                      net_.spec.channels, back_.output());
    }

  private:
    static void run(const Chain<T>& chain, ChainRunner<T>& runner, float* state,
                    const Block& block, Turn& turn) {
        for (const auto& group : chain.groups)
            turn.next([&] { runner.run(group, state, block.first, block.last); });
    }

    const CausalNetwork<T>& net_;
    ChainRunner<T> front_, back_;
    PathSearch search_;
};
