// The range coder of `entropy.range_coder`: numbers of 56 bits, frequencies of 2^24.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

constexpr int TOTAL_BITS = 24;
constexpr uint64_t LEAST_WIDTH = uint64_t{1} << 48;
constexpr uint64_t WHOLE_WIDTH = uint64_t{1} << 56;

class RangeEncoder {
  public:
    void push(uint64_t start, uint64_t end) {
        const uint64_t part = width_ >> TOTAL_BITS;
        low_ += start * part;
        width_ = (end - start) * part;
        for (; width_ < LEAST_WIDTH; width_ <<= 8) write();
    }

    // The fewest bytes that, followed by zeros, say all symbols.
    const std::vector<uint8_t>& finish() {
        const uint64_t last = low_ + width_ - 1;
        uint64_t number = low_;
        for (int bits = 56; bits >= 0; bits -= 8) {
            number = ((low_ + (uint64_t{1} << bits) - 1) >> bits) << bits;
            if (number <= last) break;
        }
        for (low_ = number; low_;) write();
        while (!bytes_.empty() && !bytes_.back()) bytes_.pop_back();
        return bytes_;
    }

  private:
    void write() {
        const uint64_t byte = low_ >> 48;
        low_ = (low_ & (LEAST_WIDTH - 1)) << 8;
        if (byte > 255) {
            size_t place = bytes_.size() - 1;
            for (; bytes_[place] == 255; place--) bytes_[place] = 0;
            bytes_[place]++;
        }
        bytes_.push_back(static_cast<uint8_t>(byte));
    }

    std::vector<uint8_t> bytes_;
    uint64_t low_ = 0, width_ = WHOLE_WIDTH;
};

class RangeDecoder {
  public:
    RangeDecoder(const uint8_t* data, size_t size) : next_(data), end_(data + size) {
        for (int i = 0; i < 7; i++) read();
    }

    // A cumulative frequency of the next symbol; 2^24 or more in a damaged stream.
    uint64_t target() const { return above_ / (width_ >> TOTAL_BITS); }

    void take(uint64_t start, uint64_t end) {
        const uint64_t part = width_ >> TOTAL_BITS;
        above_ -= start * part;
        width_ = (end - start) * part;
        for (; width_ < LEAST_WIDTH; width_ <<= 8) read();
    }

  private:
    void read() { above_ = above_ << 8 | (next_ < end_ ? *next_++ : 0); }

    const uint8_t *next_, *end_;
    uint64_t above_ = 0, width_ = WHOLE_WIDTH;
};
