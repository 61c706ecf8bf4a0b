// The arithmetic of the exact language model, apart from its products (`integers.h`).
#pragma once

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdint>

constexpr int OCTAVE = 1024;
constexpr int NORMAL_BITS = 10;
constexpr int GAIN_BITS = 36;
constexpr int GELU_BITS = 10;
constexpr int32_t RESIDUAL_LIMIT = (1 << 18) - 1;

static inline int64_t round_shift(int64_t x, int bits) {
    return (x + (int64_t{1} << bits >> 1)) >> bits;
}
static inline int32_t within(int64_t x, int64_t limit) {
    return static_cast<int32_t>(std::clamp<int64_t>(x, -limit, limit));
}

static inline int64_t integer_root(int64_t x) {
    auto found = static_cast<int64_t>(std::sqrt(static_cast<double>(x)));
    while (found * found > x) found--;
    while ((found + 1) * (found + 1) <= x) found++;
    return found;
}

// (y - mean) / norm(y - mean), times 2^24.
static inline void normalize(const int32_t* y, int dim, int64_t epsilon, int64_t* n) {
    int64_t sum = 0, square = epsilon;
    for (int c = 0; c < dim; c++) sum += y[c];
    for (int c = 0; c < dim; c++) {
        n[c] = int64_t{dim} * y[c] - sum;
        square += n[c] * n[c];
    }
    const int half = (62 - std::bit_width(static_cast<uint64_t>(square))) / 2;
    const int64_t inverse = (int64_t{1} << 61) / integer_root(square << (2 * half));
    const int shift = 37 - half;
    const int64_t rounding = int64_t{1} << (shift - 1);
    for (int c = 0; c < dim; c++) n[c] = (n[c] * inverse + rounding) >> shift;
}

// 2^28 2^((x - max) / 1024), by a table of an octave.
static inline void exponentials(const int32_t* powers, int32_t* x, int count) {
    const int32_t most = *std::max_element(x, x + count);
    for (int i = 0; i < count; i++) {
        const int32_t below = most - x[i];
        x[i] = powers[below % OCTAVE] >> std::min(below / OCTAVE, 31);
    }
}
