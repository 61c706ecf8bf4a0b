// Vectors of the target's widest registers, and the functions of them that the networks need. GCC
// and Clang compile them to AVX-512, AVX2, NEON or what the target has.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <type_traits>

#if defined(__AVX__)
#include <immintrin.h>
#elif defined(__wasm_simd128__)
#include <wasm_simd128.h>
#endif

#if defined(__AVX512F__)
constexpr int LANES = 16;
constexpr int PANEL_VECTORS = 2;  // columns of a panel, in vectors
constexpr int TILE_ROWS = 12;     // 24 sums, 2 weights, a broadcast: 27 of 32 registers
#elif defined(__AVX__)
constexpr int LANES = 8;
constexpr int PANEL_VECTORS = 2;
constexpr int TILE_ROWS = 6;  // 12 sums, 2 weights, a broadcast: 15 of 16 registers
#elif defined(__aarch64__)
constexpr int LANES = 4;
constexpr int PANEL_VECTORS = 4;
constexpr int TILE_ROWS = 6;  // 24 sums, 4 weights, a broadcast: 29 of 32 registers
#elif defined(__wasm__)
constexpr int LANES = 4;
constexpr int PANEL_VECTORS = 2;
constexpr int TILE_ROWS = 4;  // on x86 engines keep a register of 16 to themselves
#else
constexpr int LANES = 4;
constexpr int PANEL_VECTORS = 2;
constexpr int TILE_ROWS = 6;
#endif
constexpr int PANEL = PANEL_VECTORS * LANES;

#define UNROLL _Pragma("GCC unroll 64")
#define INLINE inline __attribute__((always_inline))

// Calls work with n, from 1 to MOST, as a constant: loops of a constant length are unrolled.
template <int MOST, class Work>
static INLINE void with_constant(int n, Work work) {
    if (n == MOST)
        work(std::integral_constant<int, MOST>());
    else if constexpr (MOST > 1)
        with_constant<MOST - 1>(n, work);
}

typedef float Vec __attribute__((vector_size(4 * LANES)));
typedef int32_t IntVec __attribute__((vector_size(4 * LANES)));
typedef float UnalignedVec __attribute__((vector_size(4 * LANES), aligned(4), may_alias));

static INLINE Vec load(const float* p) { return *reinterpret_cast<const UnalignedVec*>(p); }
static INLINE void store(float* p, Vec v) { *reinterpret_cast<UnalignedVec*>(p) = v; }
static INLINE Vec fill(float x) { return Vec{} + x; }

static INLINE Vec choose(IntVec mask, Vec yes, Vec no) {
    return reinterpret_cast<Vec>((mask & reinterpret_cast<IntVec>(yes)) |
                                 (~mask & reinterpret_cast<IntVec>(no)));
}
static INLINE Vec larger(Vec a, Vec b) { return choose(a > b, a, b); }
static INLINE Vec smaller(Vec a, Vec b) { return choose(a < b, a, b); }

// Whether a lane of a comparison's result is set.
static INLINE bool any(IntVec mask) {
#if defined(__AVX512F__)
    return _mm512_test_epi32_mask(reinterpret_cast<__m512i>(mask), reinterpret_cast<__m512i>(mask));
#elif defined(__AVX__)
    return _mm256_movemask_ps(reinterpret_cast<__m256>(mask));
#else
    int32_t set = 0;
    for (int i = 0; i < LANES; i++) set |= mask[i];
    return set;
#endif
}

static INLINE float sum(Vec v) {
    float lanes[LANES];
    store(lanes, v);
    for (int width = LANES / 2; width; width /= 2)
        for (int i = 0; i < width; i++) lanes[i] += lanes[i + width];
    return lanes[0];
}

// e^x within 2 units in the last place; x is clamped to [-87, 88].
// x = n ln 2 + r with |r| <= ln 2 / 2, and e^r by its series, the remainder below 3e-8.
static INLINE Vec exponential(Vec x) {
    const Vec magic = fill(12582912.0f);  // 1.5 * 2^23: adding it rounds to an integer
    x = smaller(larger(x, fill(-87.0f)), fill(88.0f));
    const Vec shifted = x * 1.44269504f + magic;
    const Vec n = shifted - magic;
    const Vec r = (x - n * 0.693359375f) - n * -2.12194440e-4f;  // ln 2 in two parts
    Vec p = r * (1.0f / 5040) + (1.0f / 720);
    p = p * r + (1.0f / 120);
    p = p * r + (1.0f / 24);
    p = p * r + (1.0f / 6);
    p = p * r + 0.5f;
    p = (p * r) * r + r + 1.0f;
    const IntVec exponent = reinterpret_cast<IntVec>(shifted) << 23;  // of 2^n, without its bias
    return reinterpret_cast<Vec>(reinterpret_cast<IntVec>(p) + exponent);
}

// ELU: x if positive, else e^x - 1.
static INLINE Vec elu(Vec x) { return choose(x > 0.0f, x, exponential(x) - 1.0f); }

static INLINE Vec sigmoid(Vec x) { return 1.0f / (1.0f + exponential(-x)); }

// Near 0, where 1 - e^-2x would cancel, by an odd polynomial (coefficients of Cephes' tanhf).
static INLINE Vec hyperbolic_tangent(Vec x) {
    const Vec size = choose(x < 0.0f, -x, x);
    const Vec e = exponential(-2.0f * size);
    Vec far = (1.0f - e) / (1.0f + e);
    far = choose(x < 0.0f, -far, far);
    const Vec square = x * x;
    Vec p = square * -5.70498872745e-3f + 2.06390887954e-2f;
    p = p * square + -5.37397155531e-2f;
    p = p * square + 1.33314422036e-1f;
    p = p * square + -3.33332819422e-1f;
    return choose(size < 0.625f, (p * square) * x + x, far);
}
