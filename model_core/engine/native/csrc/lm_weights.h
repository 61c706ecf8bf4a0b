// The numbers of an exact language model, as `entropy.native_lm` gives them.
#pragma once

#include <memory>
#include <optional>

#include "integers.h"
#include "interface.h"
#include "lm_arithmetic.h"

struct LMNumbers {
    Reader<int64_t> numbers;
    Reader<int8_t> weights;
    Reader<int32_t> tables;
};

struct IntegerNorm {
    int64_t epsilon;
    const int64_t *gain, *offset;
};

struct LMLayer {
    IntegerProduct query, key, value;
    const int64_t *first_key, *first_value;
    int64_t score_multiplier;
    int score_shift;
    IntegerProduct out;
    IntegerNorm norm1;
    IntegerProduct hidden;
    int hidden_bits;
    IntegerProduct back;
    IntegerNorm norm2;
};

// What codebooks say of the later ones in their frame.
struct DepthHead {
    IntegerProduct hidden;  // from the last activations to the hidden sums
    int64_t epsilon;
    IntegerProduct back;             // from those, after ReLU, to the residual sums
    std::vector<int32_t> embedding;  // [codebooks - 1, card, width]
};

struct LMWeights {
    int dim, codebooks, card, context, most_frames;
    int64_t limit, root;  // of activations; of the width, times 2^16
    int input_shift, gelu_size;
    std::vector<int32_t> powers, gelu, embedding, positions;
    IntegerNorm norm_in;
    std::vector<LMLayer> layers;
    std::optional<DepthHead> depth;
    std::vector<IntegerProduct> heads;

    explicit LMWeights(LMNumbers from) {
        auto& numbers = from.numbers;
        const auto number = [&] { return static_cast<int>(numbers.next()); };
        dim = number();
        codebooks = number();
        card = number();
        context = number();
        most_frames = number();
        const int layer_count = number();
        const bool has_depth = number();
        limit = number();
        root = numbers.next();
        input_shift = number();
        keep(numbers.take(OCTAVE), OCTAVE, powers);
        gelu_size = number();
        keep(numbers.take(static_cast<size_t>(gelu_size)), static_cast<size_t>(gelu_size), gelu);
        norm_in = norm(numbers);
        for (int i = 0; i < layer_count; i++) {
            IntegerProduct query = product(from), key = product(from), value = product(from);
            const int64_t* first_key = kept(numbers);
            const int64_t* first_value = kept(numbers);
            const int64_t multiplier = numbers.next();
            const int shift = number();
            IntegerProduct out = product(from);
            const IntegerNorm norm1 = norm(numbers);
            IntegerProduct hidden = product(from);
            const int hidden_bits = number();
            IntegerProduct back = product(from);
            layers.push_back({std::move(query), std::move(key), std::move(value), first_key,
                               first_value, multiplier, shift, std::move(out), norm1,
                               std::move(hidden), hidden_bits, std::move(back), norm(numbers)});
        }
        if (has_depth) {
            IntegerProduct hidden = product(from);
            const int64_t epsilon = numbers.next();
            depth.emplace(DepthHead{std::move(hidden), epsilon, product(from), {}});
        }
        for (int k = 0; k < codebooks; k++) heads.push_back(product(from));
        const auto width = static_cast<size_t>(dim);
        const auto books = static_cast<size_t>(codebooks), entries = static_cast<size_t>(card);
        table(from.tables, books * (entries + 1) * width, embedding);
        table(from.tables, static_cast<size_t>(most_frames) * width, positions);
        if (has_depth)
            table(from.tables, (books - 1) * entries * static_cast<size_t>(depth->hidden.out),
                  depth->embedding);
        numbers.finish();
        from.weights.finish();
        from.tables.finish();
    }

  private:
    static void keep(const int64_t* from, size_t count, std::vector<int32_t>& to) {
        to.assign(from, from + count);
    }
    static void table(Reader<int32_t>& from, size_t count, std::vector<int32_t>& to) {
        const int32_t* data = from.take(count);
        to.assign(data, data + count);
    }
    // An array of `dim` numbers, copied: Python's goes.
    const int64_t* kept(Reader<int64_t>& numbers) {
        const int64_t* data = numbers.take(static_cast<size_t>(dim));
        arrays_.push_back(std::make_unique<std::vector<int64_t>>(data, data + dim));
        return arrays_.back()->data();
    }
    IntegerNorm norm(Reader<int64_t>& numbers) {
        const int64_t epsilon = numbers.next();
        const int64_t* gain = kept(numbers);
        return {epsilon, gain, kept(numbers)};
    }
    static IntegerProduct product(LMNumbers& from) {
        const int in = static_cast<int>(from.numbers.next());
        const int out = static_cast<int>(from.numbers.next());
        const int shift = static_cast<int>(from.numbers.next());
        const auto limit = static_cast<int32_t>(from.numbers.next());
        const int64_t* multipliers = from.numbers.take(static_cast<size_t>(out));
        const int64_t* offsets = from.numbers.take(static_cast<size_t>(out));
        const size_t size = static_cast<size_t>(in) * static_cast<size_t>(out);
        return {in, out, from.weights.take(size), multipliers, offsets, shift, limit};
    }

    std::vector<std::unique_ptr<std::vector<int64_t>>> arrays_;
};
