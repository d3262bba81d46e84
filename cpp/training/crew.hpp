// How many threads take the next steps of a fit whose user did not say. The work in a step tells how many may be worth it;
// whether they are, on cores that others use too, tells the clock: now and then all are measured against one alone. The
// results are the same bits either way.
#pragma once

#include <algorithm>
#include <chrono>

#include "base/layout.hpp"

namespace deltarule {

class Crew {
  public:
    // operations: multiply-adds of a step. With many of them all are very likely faster: a middling step is first tried out
    // after some turns, a long one never. (Not by the clock: on a busy machine a short step of all takes long, too.)
    Crew(int threads, bool may_choose, double operations)
        : all_(threads), chooses_(may_choose && threads > 1 && operations < long_step), active_(threads),
          next_trial_(operations < middling_step ? 2 : 16) {}

    // Of the next turn: how many threads, how many of the steps that are left.
    int active() const { return active_; }
    Index steps(Index left) const { return chooses_ ? std::min(left, steps_) : left; }

    void begin_turn() {
        if (chooses_) start_ = Clock::now();
    }
    void end_turn(Index steps) {
        if (!chooses_) return;
        const double seconds =
            std::chrono::duration<double>(Clock::now() - start_).count() / static_cast<double>(steps);
        (active_ == all_ ? of_all_ : of_one_) = seconds;
        const int better = of_all_ <= of_one_ ? all_ : 1;
        ++turns_;
        if (turns_ == 1) { // the first step also brings the data into the caches, and the other threads awake
            plan(all_, usual);
        } else if (turns_ == next_trial_) {
            before_trial_ = better;
            plan(better == all_ ? 1 : all_, trial);
        } else {
            if (turns_ > next_trial_) { // after a trial: the next one comes later, unless things change
                pause_ = better == before_trial_ ? std::min(2 * pause_, most_turns_between) : 1;
                next_trial_ = turns_ + pause_;
            }
            plan(better, usual);
        }
    }

  private:
    using Clock = std::chrono::steady_clock;
    static constexpr double usual = 4e-3, trial = 1e-3;           // seconds
    static constexpr double middling_step = 3e7, long_step = 5e8; // multiply-adds: some 0.3 and 5 ms of AVX-512
    static constexpr Index most_turns_between = 1024, fewest_steps = 2;

    void plan(int active, double seconds) {
        active_ = active;
        const double of_step = std::max(1e-9, std::min(of_all_, of_one_));
        steps_ = std::max(fewest_steps, static_cast<Index>(seconds / of_step));
    }

    const int all_;
    const bool chooses_;
    int active_, before_trial_ = 0;
    Index next_trial_;
    Index steps_ = 1, turns_ = 0, pause_ = 1;
    double of_all_ = 1e9, of_one_ = 1e9; // seconds a step
    Clock::time_point start_;
};

} // namespace deltarule
