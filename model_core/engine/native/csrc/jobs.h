// Jobs of the engine, as Python passes them.
#pragma once

#include <cstddef>
#include <cstdint>

extern "C" {
// Part of a stream's audio or codes. For a causal stream, `state` `[state_size]` comes from the
// blocks before and is updated (not read if `first`); the other model's segments have none.
struct EncodecJob {
    float* samples;        // [channels, samples], to read or to write
    int64_t* codes;        // [books, frames], to write or to read
    float* state;
    float scale;           // factor of a segment's samples at the end (decode)
    int32_t books;
    int32_t first, last;
    int64_t sample_count;  // encode
    int64_t frames;
};
}

// Planar samples `[channels, n]` from `begin` on to rows, and back.
template <class Row>
static inline void to_rows(const EncodecJob& job, int64_t n, int64_t begin, int count,
                           int channels, Row* rows) {
    for (int c = 0; c < channels; c++) {
        const float* from = job.samples + c * n + begin;
        for (int t = 0; t < count; t++) rows[t * channels + c] = Row(from[t]);
    }
}
static inline void from_rows(const EncodecJob& job, int64_t n, int64_t begin, int count,
                             int channels, const float* rows) {
    for (int c = 0; c < channels; c++) {
        float* to = job.samples + c * n + begin;
        for (int t = 0; t < count; t++) to[t] = rows[t * channels + c];
    }
}
