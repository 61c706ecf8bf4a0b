// A causal stack of convolutions, block by block.
//
// Every step reads windows from a buffer of rows, channels last, that begins with the rows kept
// from the block before. A group of steps goes through a block in chunks, small enough that the
// rows between the steps stay in cache; the deep steps take whole blocks, because their weights are
// larger than their rows. How a stream is cut into blocks and chunks does not change the result.
#pragma once

#include <algorithm>
#include <stdexcept>
#include <vector>

#include "convolution.h"

struct BufferShape {
    int width;            // elements a row
    int context;          // rows kept from before
    bool zeros;           // before a stream's first row: zeros if true, else its reflection
    int stride = 1;       // of the step that reads it
    size_t capacity = 0;  // rows, without context
};

template <class T>
struct Step {
    int in;  // buffers by number
    int raw = -1, activated = -1;
    int column = 0;  // if not 0, `activated` gets columns from here on of rows that have begun
    int stride = 1;
    int rows_out = 1;  // rows side by side in the product
    Packed<T> weights = {};
    NarrowConv narrow = {};  // instead, for one or two output channels
};

// Rows are stored as T, output rows as floats.
template <class T>
class Chain {
  public:
    struct Group {
        int chunk;     // rows of the first step's buffer
        size_t state;  // offset of its part of a stream's state
        std::vector<Step<T>> steps;
    };

    std::vector<BufferShape> buffers;  // the first takes the input, the last the output
    std::vector<Group> groups;
    size_t state_size = 0;

    int add_buffer(int width, int context, bool zeros = false) {
        buffers.push_back({width, context, zeros});
        return static_cast<int>(buffers.size()) - 1;
    }
    void add_group(int chunk) { groups.push_back({chunk, 0, {}}); }
    void add(Step<T> step) { groups.back().steps.push_back(std::move(step)); }

    // After the last step: size the buffers for blocks of `rows` input rows.
    void lay_out(int rows) {
        size_t block = buffers[0].capacity = static_cast<size_t>(rows);
        for (Group& group : groups) {
            group.state = state_size;
            size_t chunk = std::min(block, static_cast<size_t>(group.chunk));
            for (const Step<T>& step : group.steps) {
                BufferShape& in = buffers[step.in];
                in.stride = step.stride;
                state_size += static_cast<size_t>(in.context) * in.width;
                for (size_t* n : {&block, &chunk})
                    *n = (*n + step.stride - 1) / step.stride * step.rows_out;
                const size_t made = &step == &group.steps.back() ? block : chunk;
                for (int to : {step.raw, step.activated})
                    if (to >= 0) buffers[to].capacity = made;
            }
        }
    }
};

// The rows of one buffer. Row `context` after `start` is the first unread one.
template <class T>
class Rows {
  public:
    explicit Rows(const BufferShape& shape)
        : shape(shape), data_((shape.capacity + shape.context + shape.stride) *
                                  static_cast<size_t>(shape.width) + LANES) {}

    T* row(ptrdiff_t i) { return data_.get() + (start_ + i) * shape.width; }
    T* fresh(ptrdiff_t i) { return row(shape.context + i); }
    void consume(int rows) {
        start_ += rows;
        filled -= rows;
        if (filled > 0) return;
        if (start_)
            std::memmove(static_cast<void*>(data_.get()), row(0),
                         sizeof(T) * shape.context * shape.width);
        start_ = 0;
    }
    // Copy one unread row to another place, or zeros.
    void set(int at, int from) {
        const size_t size = sizeof(T) * static_cast<size_t>(shape.width);
        if (from == ZERO_ROW)
            std::memset(static_cast<void*>(fresh(at)), 0, size);
        else
            std::memcpy(static_cast<void*>(fresh(at)), fresh(from), size);
    }

    const BufferShape& shape;
    int filled = 0;

  private:
    Buffer<T> data_;
    int start_ = 0;
};

// The buffers of one chain, for one block at a time.
template <class T>
class ChainRunner {
  public:
    using Group = typename Chain<T>::Group;

    explicit ChainRunner(const Chain<T>& chain)
        : rows_(chain.buffers.begin(), chain.buffers.end() - 1), output_(chain.buffers.back()) {}

    // Where to write `count` rows of input.
    T* input(int count) {
        rows_[0].filled = count;
        output_.filled = 0;
        return rows_[0].fresh(0);
    }
    float* output() { return output_.row(0); }
    int output_rows() const { return output_.filled; }

    // Run one group over all rows of its first buffer. `state` is the stream's state of the whole
    // chain; the group's part is read (unless `first`) and updated.
    void run(const Group& group, float* state, bool first, bool last) {
        if (!first) each_context(group, state, [](void* rows, void* kept, size_t size) {
            std::memcpy(rows, kept, size);
        });
        const int& left = rows_[group.steps[0].in].filled;
        while (left > 0) {
            int rows = std::min(left, group.chunk);
            const bool final = last && rows == left;
            for (const Step<T>& step : group.steps) rows = run_step(step, rows, first, final);
            first = false;
        }
        each_context(group, state, [](void* rows, void* kept, size_t size) {
            std::memcpy(kept, rows, size);
        });
    }

  private:
    template <class Copy>
    void each_context(const Group& group, float* state, Copy copy) {
        state += group.state;
        for (const Step<T>& step : group.steps) {
            Rows<T>& in = rows_[step.in];
            const size_t size = static_cast<size_t>(in.shape.context) * in.shape.width;
            copy(in.row(0), state, sizeof(T) * size);
            state += size;
        }
    }

    // Run over `rows` rows of the step's input; returns the number of output rows.
    int run_step(const Step<T>& step, int rows, bool first, bool last) {
        Rows<T>& in = rows_[step.in];
        const auto [width, context, zeros, stride, capacity] = in.shape;
        if (first) {
            if (!last && !zeros && rows <= context)
                throw std::invalid_argument("a stream that goes on must begin with more frames");
            for (int at = -context; at < 0; at++)
                in.set(at, zeros ? ZERO_ROW : reflected(at, rows, context));
        }
        const int windows = (rows + stride - 1) / stride;
        if (last)  // the reflection may reach into earlier rows
            for (int at = rows; at < windows * stride; at++)
                in.set(at, reflected(at, rows, first ? context : 0));
        const int rows_out = windows * step.rows_out;
        const ptrdiff_t elements = static_cast<ptrdiff_t>(stride) * width;
        if (step.raw == static_cast<int>(rows_.size())) {
            const Output<float> out{target(step, output_, 0, rows_out)};
            if (step.narrow.channels)
                step.narrow.run(in.row(0), elements, windows, out);
            else
                product(in.row(0), elements, windows, step.weights, out);
        } else {
            Output<T> out;
            if (step.raw >= 0) out.raw = target(step, rows_[step.raw], 0, rows_out);
            if (step.activated >= 0)
                out.activated = target(step, rows_[step.activated], step.column, rows_out);
            product(in.row(0), elements, windows, step.weights, out);
        }
        in.consume(rows);
        return rows_out;
    }

    template <class Row>
    static Target<Row> target(const Step<T>& step, Rows<Row>& to, int column, int rows) {
        const int width = to.shape.width;
        Row* data = to.fresh(column ? 0 : to.filled) + column;
        if (!column) to.filled += rows;
        return {data, static_cast<ptrdiff_t>(step.rows_out) * width, width};
    }

    std::vector<Rows<T>> rows_;  // of all buffers but the last
    Rows<float> output_;
};
