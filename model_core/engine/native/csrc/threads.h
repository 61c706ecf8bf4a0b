// Threads that share the jobs of a call, or the blocks of one stream.
#pragma once

#include <atomic>
#include <exception>
#include <limits>
#include <vector>

#if defined(__wasm__)

// WebAssembly has one thread here, and no other to wait for.
struct Mutex {};
struct Lock {
    explicit Lock(Mutex&) {}
};

template <class Work>
static void in_threads(int, Work work) {
    work(0);
}

class Progress {
  public:
    explicit Progress(size_t) {}
    void wait(size_t, int) {}
    void leave(size_t, int) {}
    void abandon() {}
};

#else

#include <mutex>
#include <thread>

using Mutex = std::mutex;
using Lock = std::lock_guard<std::mutex>;

// Calls work(i) for i in [0, count), each in its own thread, and rethrows one of their exceptions.
// If the system cannot start all threads, not all calls run: to get all work done, let each call
// take from a shared list.
template <class Work>
static void in_threads(int count, Work work) {
    std::vector<std::exception_ptr> errors(static_cast<size_t>(count));
    std::vector<std::thread> threads;
    const auto guarded = [&](int i) {
        try {
            work(i);
        } catch (...) {
            errors[i] = std::current_exception();
        }
    };
    try {
        threads.reserve(static_cast<size_t>(count));
        for (int i = 1; i < count; i++) threads.emplace_back(guarded, i);
    } catch (const std::exception&) {  // no thread, or no memory for one
    }
    guarded(0);
    for (auto& thread : threads) thread.join();
    for (const auto& error : errors)
        if (error) std::rethrow_exception(error);
}

// The progress of a stream's blocks, each in its own thread: for each unit of the network, the
// number of blocks that have left it. A block enters a unit when the block before has left it.
class Progress {
  public:
    explicit Progress(size_t units) : done_(units) {}
    void wait(size_t unit, int block) {
        for (int now; (now = done_[unit].load(std::memory_order_acquire)) < block;)
            done_[unit].wait(now, std::memory_order_acquire);
    }
    void leave(size_t unit, int block) { raise(unit, block + 1); }
    // A block has failed and will leave no further unit: threads must not wait for it.
    void abandon() {
        for (size_t unit = 0; unit < done_.size(); unit++)
            raise(unit, std::numeric_limits<int>::max());
    }

  private:
    void raise(size_t unit, int blocks) {
        int now = done_[unit].load(std::memory_order_relaxed);
        while (now < blocks &&
               !done_[unit].compare_exchange_weak(now, blocks, std::memory_order_release,
                                                  std::memory_order_relaxed)) {
        }
        done_[unit].notify_all();
    }

    std::vector<std::atomic<int>> done_;
};

#endif

// A block's way through the units.
struct Turn {
    Progress* progress = nullptr;  // null if no other thread has blocks of the stream
    int block = 0;
    size_t unit = 0;

    template <class Work>
    void next(Work work) {
        if (progress) progress->wait(unit, block);
        work();
        if (progress) progress->leave(unit, block);
        unit++;
    }
};
