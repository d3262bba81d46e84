// Whether to go on: asks a question (Ctrl-C?) every 50 ms at the most often, and is cheap enough to be called everywhere.
#pragma once

#include <atomic>
#include <chrono>
#include <functional>
#include <utility>

#include "base/layout.hpp"

namespace deltarule {

// How many samples to take through a network at a time: enough to keep the kernels busy, few enough to stay in the cache
// and to look at the clock every few milliseconds.
inline Index rows_at_a_time(double operations_per_sample, Index most) {
    constexpr double between_looks = 5e8; // multiply-adds
    const double rows = between_looks / operations_per_sample;
    return rows >= static_cast<double>(most) ? most : rows > 8 ? static_cast<Index>(rows) : 8;
}

class Monitor {
  public:
    explicit Monitor(std::function<bool()> interrupted) : interrupted_(std::move(interrupted)) {}

    void begin(std::function<bool()> interrupted) { // something new to watch
        interrupted_ = std::move(interrupted);
        work_ = 0;
        stop_ = false;
    }

    // work: multiply-adds since the last call; the clock is read once in a while only. Called by the fit's own thread.
    void poll(double work) {
        work_ += work + overhead;
        if (work_ < work_between_looks) return;
        work_ = 0;
        const auto now = std::chrono::steady_clock::now();
        if (now - last_ < std::chrono::milliseconds(30)) return;
        last_ = now;
        if (interrupted_ && interrupted_()) stop_ = true;
    }
    bool should_stop() const { return stop_.load(std::memory_order_relaxed); }

  private:
    static constexpr double overhead = 3e4; // of whatever is done between two calls, hand-overs among threads included
    static constexpr double work_between_looks = 1e6; // 20 µs of AVX-512, a millisecond of the slowest code
    std::function<bool()> interrupted_;
    std::chrono::steady_clock::time_point last_; // long ago: the first look is a question too
    double work_ = 0;
    std::atomic<bool> stop_{false}; // read by all threads of the fit
};

} // namespace deltarule
