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

#include "buffer.h"
#include "gemm.h"
#include "narrow.h"
#include "reflect.h"

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
    int raw = -1, raw_column = 0;
    int activated = -1, activated_column = 0;
    int stride = 1;
    int rows_out = 1;     // rows side by side in the product
    bool aside = false;   // writes further columns of rows that another step has begun
    Packed<T> weights;
    NarrowConv narrow;    // instead, for one or two output channels
};

// The rows of one buffer. Row `context` after `start` is the first unread one.
template <class T>
class Rows {
  public:
    void prepare(const BufferShape& shape) {
        shape_ = &shape;
        data_.resize((shape.capacity + shape.context + shape.stride) *
                     static_cast<size_t>(shape.width) + LANES);
        start = filled = 0;
    }
    T* row(ptrdiff_t i) { return data_.get() + (start + i) * shape_->width; }
    T* fresh(ptrdiff_t i) { return row(shape_->context + i); }
    int width() const { return shape_->width; }
    void consume(int rows) {
        start += rows;
        filled -= rows;
        if (filled > 0) return;
        if (start)
            std::memmove(static_cast<void*>(data_.get()), row(0),
                         sizeof(T) * shape_->context * shape_->width);
        start = 0;
    }

    int filled = 0;

  private:
    const BufferShape* shape_ = nullptr;
    Buffer<T> data_;
    int start = 0;
};

// Rows are stored as T, output rows as floats.
template <class T>
class Chain {
  public:
    struct Group {
        int first, last;  // steps, `last` not included
        int chunk;        // rows of the first step's buffer
        size_t state;     // offset of its part of a stream's state
    };

    std::vector<BufferShape> buffers;  // the first takes the input, the last the output
    std::vector<Step<T>> steps;
    std::vector<Group> groups;

    int add(int width, int context, bool zeros = false) {
        buffers.push_back({width, context, zeros});
        return static_cast<int>(buffers.size()) - 1;
    }

    // Cut the steps into groups, each starting at a step of `starts` with its number of rows per
    // chunk, and size the buffers for blocks of `block_rows` input rows.
    void lay_out(const std::vector<std::pair<int, int>>& starts, size_t block_rows) {
        size_t rows = block_rows;
        size_t state = 0;
        for (size_t g = 0; g < starts.size(); g++) {
            const int last = g + 1 < starts.size() ? starts[g + 1].first
                                                   : static_cast<int>(steps.size());
            Group group{starts[g].first, last, starts[g].second, state};
            size_t chunk = std::min(rows, static_cast<size_t>(group.chunk));
            for (int s = group.first; s < last; s++) {
                Step<T>& step = steps[s];
                BufferShape& in = buffers[step.in];
                in.stride = step.stride;
                in.capacity = std::max(in.capacity, s == group.first ? rows : chunk);
                state += static_cast<size_t>(in.context) * in.width;
                const auto through = [&](size_t n) {
                    return (n + step.stride - 1) / step.stride * step.rows_out;
                };
                rows = through(rows);
                chunk = through(chunk);
                for (int to : {step.raw, step.activated})
                    if (to >= 0)
                        buffers[to].capacity =
                            std::max(buffers[to].capacity, s + 1 == last ? rows : chunk);
            }
            groups.push_back(group);
        }
        state_size = state;
    }

    size_t state_size = 0;
};

// The buffers of one chain, for one block at a time.
template <class T>
class ChainRunner {
  public:
    using Group = typename Chain<T>::Group;

    explicit ChainRunner(const Chain<T>& chain) : chain_(chain), rows_(chain.buffers.size() - 1) {
        for (size_t i = 0; i < rows_.size(); i++) rows_[i].prepare(chain.buffers[i]);
        output_.prepare(chain.buffers.back());
    }

    // Where to write `count` rows of input.
    T* input(int count) {
        rows_[0].filled += count;
        return rows_[0].fresh(0);
    }
    float* output() { return output_.row(0); }
    int output_rows() const { return output_.filled; }
    void clear_output() { output_.filled = 0; }

    // Run one group over all rows of its first buffer. `state` is the stream's state of the whole
    // chain; the group's part is read (unless `first`) and updated.
    void run(const Group& group, float* state, bool first, bool last) {
        if (!first) each_context(group, state, [](void* rows, void* kept, size_t size) {
            std::memcpy(rows, kept, size);
        });
        Rows<T>& source = rows_[chain_.steps[group.first].in];
        while (source.filled > 0) {
            int rows = std::min(source.filled, group.chunk);
            const bool final = last && rows == source.filled;
            for (int s = group.first; s < group.last; s++)
                rows = run_step(chain_.steps[s], rows, first, final);
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
        for (int s = group.first; s < group.last; s++) {
            const int in = chain_.steps[s].in;
            const size_t size =
                static_cast<size_t>(chain_.buffers[in].context) * chain_.buffers[in].width;
            copy(rows_[in].row(0), state, sizeof(T) * size);
            state += size;
        }
    }

    // Run over `rows` rows of the step's input; returns the number of output rows.
    int run_step(const Step<T>& step, int rows, bool first, bool last) {
        Rows<T>& in = rows_[step.in];
        const BufferShape& shape = chain_.buffers[step.in];
        if (first) {
            if (!last && !shape.zeros && rows <= shape.context)
                throw std::invalid_argument("a stream that goes on must begin with more frames");
            for (int at = -shape.context; at < 0; at++)
                set_row(in, at, shape.zeros ? ZERO_ROW : reflected(at, rows, shape.context));
        }
        if (last) {  // the reflection may reach into earlier rows
            const int extra = (step.stride - rows % step.stride) % step.stride;
            for (int at = rows; at < rows + extra; at++)
                set_row(in, at, reflected(at, rows, first ? shape.context : 0));
        }
        const int windows = (rows + step.stride - 1) / step.stride;
        const int out_rows = windows * step.rows_out;
        const ptrdiff_t stride = static_cast<ptrdiff_t>(step.stride) * shape.width;
        if (step.raw == static_cast<int>(rows_.size())) {
            Output<float> out;
            out.raw = target(step, output_, step.raw_column, out_rows);
            if (step.narrow.channels)
                step.narrow.run(in.row(0), stride, windows, out.raw.data, out.raw.row);
            else
                product(in.row(0), stride, windows, step.weights, out);
        } else {
            Output<T> out;
            if (step.raw >= 0)
                out.raw = target(step, rows_[step.raw], step.raw_column, out_rows);
            if (step.activated >= 0)
                out.activated =
                    target(step, rows_[step.activated], step.activated_column, out_rows);
            product(in.row(0), stride, windows, step.weights, out);
        }
        in.consume(rows);
        return out_rows;
    }

    // Copy one unread row to another place, or zeros.
    static void set_row(Rows<T>& rows, int at, int from) {
        const size_t size = sizeof(T) * static_cast<size_t>(rows.width());
        if (from == ZERO_ROW)
            std::memset(static_cast<void*>(rows.fresh(at)), 0, size);
        else
            std::memcpy(static_cast<void*>(rows.fresh(at)), rows.fresh(from), size);
    }

    template <class Row>
    static Target<Row> target(const Step<T>& step, Rows<Row>& to, int column, int rows) {
        const int width = to.width();
        Row* data = to.fresh(step.aside ? 0 : to.filled) + column;
        if (!step.aside) to.filled += rows;
        return {data, static_cast<ptrdiff_t>(step.rows_out) * width, width};
    }

    const Chain<T>& chain_;
    std::vector<Rows<T>> rows_;  // of all buffers but the last
    Rows<float> output_;
};
