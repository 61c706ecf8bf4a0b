// Products of rows of integers: activations of 16 bits, weights of 8, sums of 32. Sums of integers
// are the same in any order, so every build gives the same.
#pragma once

#include <algorithm>
#include <cstdint>
#include <vector>

#include "storage.h"

#if defined(__SSE2__)
#include <immintrin.h>
#endif

constexpr int PAIRS = 2 * LANES;  // elements of a vector of int16
typedef int16_t ShortVec __attribute__((vector_size(4 * LANES)));
typedef int16_t UnalignedShortVec __attribute__((vector_size(4 * LANES), aligned(2), may_alias));
typedef int32_t UnalignedIntVec __attribute__((vector_size(4 * LANES), aligned(4), may_alias));
typedef int8_t UnalignedByteVec __attribute__((vector_size(2 * LANES), aligned(1), may_alias));

static INLINE ShortVec load(const int16_t* p) {
    return *reinterpret_cast<const UnalignedShortVec*>(p);
}
static INLINE IntVec load(const int32_t* p) { return *reinterpret_cast<const UnalignedIntVec*>(p); }
static INLINE void store(int32_t* p, IntVec v) { *reinterpret_cast<UnalignedIntVec*>(p) = v; }

// Two int16 in each lane.
static INLINE ShortVec pair(const int16_t* p) {
    int32_t both;
    std::memcpy(&both, p, sizeof(both));
    return reinterpret_cast<ShortVec>(IntVec{} + both);
}

// In each lane, the sum of two products.
static INLINE IntVec multiply_pairs(ShortVec a, ShortVec b) {
#if defined(__AVX512BW__)
    return (IntVec)_mm512_madd_epi16((__m512i)a, (__m512i)b);
#elif defined(__AVX2__)
    return (IntVec)_mm256_madd_epi16((__m256i)a, (__m256i)b);
#elif defined(__SSE2__)
    return (IntVec)_mm_madd_epi16((__m128i)a, (__m128i)b);
#else
    const IntVec x = reinterpret_cast<IntVec>(a), y = reinterpret_cast<IntVec>(b);
    return (x << 16 >> 16) * (y << 16 >> 16) + (x >> 16) * (y >> 16);
#endif
}

static INLINE ShortVec widen(const int8_t* p) {
#if defined(__SSE2__) && !defined(__SSE4_1__)
    const __m128i bytes = _mm_loadl_epi64(reinterpret_cast<const __m128i*>(p));
    return (ShortVec)_mm_srai_epi16(_mm_unpacklo_epi8(bytes, bytes), 8);
#else
    return __builtin_convertvector(*reinterpret_cast<const UnalignedByteVec*>(p), ShortVec);
#endif
}

// y = (sum_j weight[i, j] x_j * multiplier[i] + offset[i]) >> shift, cut to ±limit: see
// `entropy.integer_lm.Product`.
class IntegerProduct {
  public:
    int in, out;

    IntegerProduct(int in, int out, const int8_t* weights, const int64_t* multipliers,
                   const int64_t* offsets, int shift, int32_t limit)
        : in(in), out(out), multipliers_(multipliers, multipliers + out),
          offsets_(offsets, offsets + out), shift_(shift), limit_(limit) {
        const int panels = (out + PANEL - 1) / PANEL;
        weights_.resize(static_cast<size_t>(panels) * PANEL * in);
        for (int i = 0; i < out; i++)
            for (int j = 0; j < in; j++)
                weights_.get()[(static_cast<size_t>(i / PANEL) * (in / 2) + j / 2) * 2 * PANEL +
                               i % PANEL * 2 + j % 2] = weights[static_cast<size_t>(i) * in + j];
    }

    // Rows `[rows, in]` to rows `[rows, out]` of `put(row, column, value)`.
    template <class Put>
    void run(const int16_t* x, int rows, Put put) const {
        int32_t sums[TILE_ROWS][PANEL];
        for (int row = 0; row < rows;) {
            const int tiles = (rows - row + TILE_ROWS - 1) / TILE_ROWS;
            const int some = (rows - row + tiles - 1) / tiles;
            for (int first = 0; first < out; first += PANEL) {
                add(some, x, weights_.get() + static_cast<size_t>(first) * in, sums);
                const int columns = std::min(PANEL, out - first);
                for (int r = 0; r < some; r++)
                    for (int i = first; i < first + columns; i++) {
                        const int64_t y =
                            (sums[r][i - first] * multipliers_[i] + offsets_[i]) >> shift_;
                        put(row + r, i, static_cast<int32_t>(std::clamp(y, -limit_, limit_)));
                    }
            }
            x += static_cast<size_t>(some) * in;
            row += some;
        }
    }

  private:
    void add(int rows, const int16_t* x, const int8_t* w, int32_t (*sums)[PANEL]) const {
        with_constant<TILE_ROWS>(rows, [&](auto count) { add<count()>(x, w, sums); });
    }

    template <int ROWS>
    __attribute__((noinline)) void add(const int16_t* __restrict x, const int8_t* __restrict w,
                                       int32_t (*sums)[PANEL]) const {
        IntVec acc[ROWS][PANEL_VECTORS] = {};
        for (int j = 0; j < in; j += 2) {
            ShortVec weights[PANEL_VECTORS];
            UNROLL for (int v = 0; v < PANEL_VECTORS; v++) weights[v] = widen(w + v * PAIRS);
            w += 2 * PANEL;
            UNROLL for (int r = 0; r < ROWS; r++) {
                const ShortVec both = pair(x + static_cast<size_t>(r) * in + j);
                UNROLL for (int v = 0; v < PANEL_VECTORS; v++)
                    acc[r][v] += multiply_pairs(both, weights[v]);
            }
        }
        UNROLL for (int r = 0; r < ROWS; r++)
            UNROLL for (int v = 0; v < PANEL_VECTORS; v++)
                store(sums[r] + v * LANES, acc[r][v]);
    }

    Buffer<int8_t> weights_;  // [panel][in / 2][PANEL][2]
    std::vector<int64_t> multipliers_, offsets_;
    int shift_;
    int64_t limit_;
};
