// How rows and weights are stored: as floats or, if the processor multiplies it, as bfloat16 (the
// upper half of a float: 8 bits of precision). Sums are floats in both cases.
#pragma once

#include <cstdlib>
#include <memory>
#include <new>

#include "simd.h"

#if defined(__AVX512BF16__)
#include <immintrin.h>
#define HAS_BFLOAT16 1
#else
#define HAS_BFLOAT16 0
#endif

// How a product reads its elements, and the activation of its results.
template <class T>
struct Stored;

template <>
struct Stored<float> {
    static constexpr int TOGETHER = 1;  // places of a window in one multiplication
    typedef float Places;
    typedef Vec Weights;  // of those places, for LANES columns

    static INLINE Places places(const float* x) { return *x; }
    static INLINE Weights weights(const float* w) { return load(w); }
    static INLINE Vec add_product(Vec sum, Places x, Weights w) {
#if defined(__wasm_relaxed_simd__)
        return wasm_f32x4_relaxed_madd(wasm_f32x4_splat(x), w, sum);
#else
        return sum + x * w;
#endif
    }

    static INLINE Vec activated(Vec x) { return elu(x); }
};

#if HAS_BFLOAT16
struct BFloat16 {
    uint16_t bits;

    BFloat16() = default;
    // To the nearest, ties to even; for finite values.
    explicit BFloat16(float x) {
        uint32_t all;
        std::memcpy(&all, &x, sizeof(all));
        bits = static_cast<uint16_t>((all + 0x7fff + (all >> 16 & 1)) >> 16);
    }
};

static INLINE Vec load(const BFloat16* p) {
    const __m256i some = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p));
    return reinterpret_cast<Vec>(_mm512_slli_epi32(_mm512_cvtepu16_epi32(some), 16));
}
// Rounds like the conversion above.
static INLINE void store(BFloat16* p, Vec v) {
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(p),
                        reinterpret_cast<__m256i>(_mm512_cvtneps_pbh(v)));
}

template <>
struct Stored<BFloat16> {
    static constexpr int TOGETHER = 2;
    typedef __m512i Places;
    typedef __m512i Weights;

    // If there is only one place, the second of the pair counts as 0.
    static INLINE Places places(const BFloat16* x, int count = TOGETHER) {
        int32_t pair = 0;
        std::memcpy(&pair, x, sizeof(BFloat16) * static_cast<size_t>(count));
        return _mm512_set1_epi32(pair);
    }
    static INLINE Weights weights(const BFloat16* w) { return _mm512_loadu_si512(w); }
    static INLINE Vec add_product(Vec sum, Places x, Weights w) {
        return _mm512_dpbf16_ps(sum, (__m512bh)x, (__m512bh)w);
    }

    // ELU within 2e-4 of its size plus 1e-7, less than the rounding error: e^x = 2^n e^r, with the
    // terms of e^r's series up to r^4.
    static INLINE Vec activated(Vec x) {
        const Vec low = _mm512_max_ps(fill(-87.0f), x);
        const Vec n = _mm512_roundscale_ps(low * 1.44269504f, 0);
        const Vec r = low - n * 0.693147181f;
        Vec p = r * (1.0f / 24) + (1.0f / 6);
        p = p * r + 0.5f;
        p = p * r + 1.0f;
        p = p * r + 1.0f;
        const __mmask16 positive = _mm512_cmp_ps_mask(x, Vec{}, _CMP_GT_OQ);
        return _mm512_mask_blend_ps(positive, _mm512_scalef_ps(p, n) - 1.0f, x);
    }
};
#endif

// The first `count` lanes; the others are 0 (load) or unchanged (store).
template <class T>
static INLINE Vec load_some(const T* p, int count) {
    if (count >= LANES) return load(p);
    T lanes[LANES] = {};
    std::memcpy(static_cast<void*>(lanes), p, sizeof(T) * static_cast<size_t>(count));
    return load(lanes);
}
template <class T>
static INLINE void store_some(T* p, Vec v, int count) {
    if (count >= LANES) return store(p, v);
    T lanes[LANES];
    store(lanes, v);
    std::memcpy(static_cast<void*>(p), lanes, sizeof(T) * static_cast<size_t>(count));
}

// Floats to rows.
template <class T>
static void put(const float* from, size_t count, T* to) {
    for (size_t i = 0; i < count; i += LANES) {
        const int some = count - i < LANES ? static_cast<int>(count - i) : LANES;
        store_some(to + i, load_some(from + i, some), some);
    }
}

// Memory aligned to cache lines.
template <class T>
class Buffer {
  public:
    Buffer() = default;
    explicit Buffer(size_t size) { resize(size); }

    // At least `size` elements. Growing discards the old contents and fills with zeros.
    void resize(size_t size) {
        if (size <= size_) return;
        data_.reset();
        size_ = 0;
        const size_t bytes = (size * sizeof(T) + 63) / 64 * 64;
        data_.reset(static_cast<T*>(std::aligned_alloc(64, bytes)));
        if (!data_) throw std::bad_alloc();
        std::memset(static_cast<void*>(data_.get()), 0, bytes);
        size_ = size;
    }

    T* get() { return data_.get(); }
    const T* get() const { return data_.get(); }

  private:
    struct Free {
        void operator()(T* data) const { std::free(data); }
    };

    std::unique_ptr<T, Free> data_;
    size_t size_ = 0;
};

using Floats = Buffer<float>;
