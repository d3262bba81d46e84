// One update of a network from one batch, done by every thread of a team together:
//
//   each thread its rows:   gather, forward, loss, deltas back through the layers     barrier
//   each thread its tiles:  gradient of the tensors, penalty, update                  barrier
//
// Every sum has one order whatever the number of threads, and all threads decide alike: they look only at what was written
// before a barrier.
#pragma once

#include <algorithm>
#include <exception>
#include <vector>

#include "base/threads.hpp"
#include "training/loss.hpp"
#include "training/monitor.hpp"
#include "training/optimizer.hpp"

namespace deltarule {

struct Clipping {
    double norm = 0;  // of all gradients together; 0: none
    double value = 0; // of each element; 0: none
};

// As torch clips: max_norm / (norm + 1e-6), never enlarging.
inline double clip_factor(const Clipping& clipping, double norm) {
    return std::min(1.0, clipping.norm / (norm + 1e-6));
}

enum class Outcome { updated, interrupted, diverged, failed };

template <class T> class Step {
  public:
    // optimizer may be null: gradients only
    Step(Plan<T>& plan, const BatchLoss<T>& batch_loss, const Loss<T>& loss, Optimizer<T>* optimizer,
         const Clipping& clipping, Monitor& monitor);

    // To be called by all threads alike. What follows is for thread 0, after it returned.
    Outcome run(int thread, int threads, Barrier& barrier, const Samples<T>& samples, const Batch& batch);
    double loss() const { return value_; } // with penalties, before the update
    double total_weight() const { return total_weight_; }
    std::exception_ptr failure() const { return failure_; } // what the user's loss raised

  private:
    void forward_and_backward(int thread, Range rows, Barrier& barrier, const Samples<T>& samples, const Batch& batch,
                              double total_weight);
    void gradients(Range tiles, Index batch, int thread, bool update_too);
    void clip_and_update(Range tiles);
    void poll(int thread, double work) const {
        if (thread == 0) monitor_.poll(work);
    }

    Plan<T>& plan_;
    const BatchLoss<T>& batch_loss_;
    const Loss<T>& loss_;
    Optimizer<T>* const optimizer_;
    const Clipping clipping_;
    Monitor& monitor_;
    const double work_per_sample_;
    const Index block_rows_; // of a batch at a time through all layers
    bool has_penalty_ = false;
    std::vector<double> tile_penalty_, tile_squares_; // one for each tile, summed in their order

    // Written by thread 0 before a barrier, read by all after it.
    bool stop_early_ = false, stop_late_ = false, failed_ = false;
    double custom_value_ = 0;
    std::exception_ptr failure_;

    double value_ = 0, total_weight_ = 0;
};

} // namespace deltarule
