// The threads of one fit: made when it begins, joined when it ends, none at import and none between fits, so that fork
// is safe. A step meets at a barrier a few times, which costs below a microsecond while everybody is awake.
#pragma once

#include <atomic>
#include <thread>
#include <vector>

#include "base/cpu.hpp"

namespace deltarule {

inline void pause_a_moment() {
#if defined(__x86_64__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    asm volatile("yield");
#endif
}

// Waits for `number` to leave the value `from`. Spins while that is likely to be a few microseconds away, then sleeps: cores
// are shared.
inline void wait_while(const std::atomic<unsigned>& number, unsigned from) {
    constexpr int spins = 1000; // 15 to 40 µs: longer than a hand-over, short where the cores are shared
    for (int spin = 0; spin < spins; ++spin) {
        if (number.load(std::memory_order_acquire) != from) return;
        pause_a_moment();
    }
    while (number.load(std::memory_order_acquire) == from) number.wait(from, std::memory_order_acquire);
}

class Barrier {
  public:
    explicit Barrier(int threads) : threads_(threads), waiting_(threads) {}

    void wait() {
        if (threads_ == 1) return;
        const unsigned round = round_.load(std::memory_order_relaxed);
        if (waiting_.fetch_sub(1, std::memory_order_acq_rel) == 1) {
            waiting_.store(threads_, std::memory_order_relaxed);
            round_.fetch_add(1, std::memory_order_release);
            round_.notify_all();
            return;
        }
        wait_while(round_, round);
    }

  private:
    const int threads_;
    alignas(64) std::atomic<int> waiting_;
    alignas(64) std::atomic<unsigned> round_{0};
};

// What one thread tells the others to do, one thing after the other. It must not call again before all have heard the last.
template <class What> class Calls {
  public:
    void call(const What& what) {
        what_ = what;
        number_.fetch_add(1, std::memory_order_release);
        number_.notify_all();
    }
    What wait_for(unsigned calls_before) const {
        wait_while(number_, calls_before);
        return what_;
    }

  private:
    What what_{};
    alignas(64) std::atomic<unsigned> number_{0};
};

// Threads that are joined at the end of the scope. (std::jthread, which is not yet everywhere.)
struct Joined {
    std::vector<std::thread> threads;

    Joined() = default;
    Joined(const Joined&) = delete;
    Joined& operator=(const Joined&) = delete;
    ~Joined() {
        for (std::thread& thread : threads) thread.join();
    }
};

// Runs work(thread, barrier) on `threads` threads, the calling one being number 0, and returns when all are done. The
// work must not throw while another thread may be waiting for it at the barrier.
template <class Work> void run_team(int threads, const Work& work) {
    const FlushDenormals flush;
    Barrier barrier(threads);
    if (threads == 1) return work(0, barrier);
    // Nobody begins before everybody exists: where the machine refuses a thread, those already there go home.
    enum : int { undecided, begin, go_home };
    std::atomic<int> decision{undecided};
    const auto decide = [&decision](int what) {
        decision.store(what, std::memory_order_release);
        decision.notify_all();
    };
    Joined others; // declared last: joined first
    try {
        others.threads.reserve(static_cast<std::size_t>(threads - 1));
        for (int thread = 1; thread < threads; ++thread) {
            others.threads.emplace_back([&work, &barrier, &decision, thread] {
                const FlushDenormals flush_here;
                decision.wait(undecided, std::memory_order_acquire);
                if (decision.load(std::memory_order_acquire) == begin) work(thread, barrier);
            });
        }
    } catch (...) {
        decide(go_home);
        throw;
    }
    decide(begin);
    work(0, barrier);
}

} // namespace deltarule
