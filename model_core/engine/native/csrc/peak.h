// The processor's multiply-adds per second, as a limit for benchmarks.
#pragma once

#include <chrono>

#include "simd.h"

// The best of many short runs of one thread, with all operands in registers.
static double peak_multiply_adds() {
    constexpr int SUMS = 12, ROUNDS = 20000;
    using Clock = std::chrono::steady_clock;
    Vec sums[SUMS];
    for (int i = 0; i < SUMS; i++) sums[i] = fill(static_cast<float>(i));
    const volatile float seen = 0.999f;
    const Vec factor = fill(seen), term = fill(1.0f - seen);
    double best = 0;
    for (int run = 0; run < 400; run++) {
        const auto began = Clock::now();
        for (int round = 0; round < ROUNDS; round++)
            UNROLL for (int i = 0; i < SUMS; i++) sums[i] = sums[i] * factor + term;
        const double took = std::chrono::duration<double>(Clock::now() - began).count();
        best = std::max(best, static_cast<double>(SUMS) * ROUNDS * LANES / took);
    }
    volatile float kept = 0;
    for (int i = 0; i < SUMS; i++) kept = kept + sum(sums[i]);
    return best;
}
