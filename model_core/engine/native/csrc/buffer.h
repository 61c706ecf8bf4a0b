// Memory of the networks: floats on cache lines, kept from call to call.
#pragma once

#include <cstddef>
#include <cstdlib>
#include <cstring>
#include <new>
#include <utility>

class Floats {
  public:
    Floats() = default;
    explicit Floats(size_t size) { resize(size); }
    Floats(const Floats&) = delete;
    Floats& operator=(const Floats&) = delete;
    Floats(Floats&& other) noexcept { swap(other); }
    Floats& operator=(Floats&& other) noexcept {
        swap(other);
        return *this;
    }
    ~Floats() { std::free(data_); }

    // At least so many, all 0 when they are new; what was there is lost when it grows.
    void resize(size_t size) {
        if (size <= size_) return;
        std::free(data_);
        data_ = nullptr;
        size_ = 0;
        const size_t bytes = (size * sizeof(float) + 63) / 64 * 64;
        data_ = static_cast<float*>(std::aligned_alloc(64, bytes));
        if (data_ == nullptr) throw std::bad_alloc();
        std::memset(data_, 0, bytes);
        size_ = size;
    }

    float* get() { return data_; }
    const float* get() const { return data_; }

  private:
    void swap(Floats& other) {
        std::swap(data_, other.data_);
        std::swap(size_, other.size_);
    }

    float* data_ = nullptr;
    size_t size_ = 0;
};
