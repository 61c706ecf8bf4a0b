// The square root as torch takes it, for the same bits in a file: torch asks MKL, which rounds it
// exactly on some processors and on others is off by the last bit at times.
#pragma once

#include <cmath>

#if defined(__x86_64__) && defined(__GNUC__)

#include <immintrin.h>

// Keeps the compiler from joining a product with the sum that it goes into.
static inline float rounded(float x) {
    __asm__("" : "+x"(x));
    return x;
}

// Intel's processors with AVX-512: from 14 bits of the reciprocal root, one step of Newton's.
__attribute__((target("avx512f,avx512vl,fma"))) static float root_of_avx512(float x) {
    const __m128 a = _mm_set_ss(x), y = _mm_rsqrt14_ss(a, a);
    const __m128 g = _mm_mul_ss(a, y), h = _mm_mul_ss(y, _mm_set_ss(0.5f));
    return _mm_cvtss_f32(_mm_fmadd_ss(_mm_fnmadd_ss(g, g, a), h, g));
}

// Processors of others: from 12 bits, two steps.
static float root_of_sse(float x) {
    const float y = _mm_cvtss_f32(_mm_rsqrt_ss(_mm_set_ss(x)));
    const float g = rounded(x * y), h = 0.5f * y;
    const float e = rounded(0.5f - rounded(g * h));
    const float root = rounded(g + rounded(g * e)), half = rounded(h + rounded(h * e));
    return root + rounded(rounded(x - rounded(root * root)) * half);
}

static float root_as_torch(float x) {
    if (!(x > 1e-30f && x < 1e30f)) return std::sqrt(x);  // MKL treats the smallest apart
    __builtin_cpu_init();
    if (!__builtin_cpu_is("intel")) return root_of_sse(x);
    return __builtin_cpu_supports("avx512vl") ? root_of_avx512(x) : std::sqrt(x);
}

#else

static float root_as_torch(float x) { return std::sqrt(x); }

#endif
