// Whether to go on: asks a question (Ctrl-C?) every 50 ms at the most often, and is cheap enough to be called everywhere.
#pragma once

#include <chrono>
#include <functional>
#include <utility>

namespace deltarule {

class Monitor {
  public:
    explicit Monitor(std::function<bool()> interrupted) : interrupted_(std::move(interrupted)), last_(std::chrono::steady_clock::now()) {}

    // work: multiply-adds since the last call; the clock is read once in a while only. Called by the fit's own thread.
    void poll(double work) {
        work_ += work;
        if (work_ < work_between_looks) return;
        work_ = 0;
        const auto now = std::chrono::steady_clock::now();
        if (now - last_ < std::chrono::milliseconds(30)) return;
        last_ = now;
        if (interrupted_ && interrupted_()) stop_ = true;
    }
    bool should_stop() const { return stop_; }

  private:
    static constexpr double work_between_looks = 1e6; // 20 µs of AVX-512, a millisecond of the slowest code
    std::function<bool()> interrupted_;
    std::chrono::steady_clock::time_point last_;
    double work_ = 0;
    bool stop_ = false;
};

} // namespace deltarule
