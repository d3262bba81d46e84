// One update of a network from one batch, done by every thread of a team together:
//
//   each thread its rows:   gather, forward, loss, deltas back through the layers     barrier
//   each thread its tiles:  gradient of the tensors, penalty, update                  barrier
//
// Every sum has one order whatever the number of threads, and all threads decide alike: they look only at what was written
// before a barrier.
#pragma once

#include <algorithm>
#include <array>
#include <exception>
#include <memory>
#include <thread>
#include <utility>
#include <vector>

#include "base/threads.hpp"
#include "training/loss.hpp"
#include "training/monitor.hpp"
#include "training/optimizer.hpp"
#include "training/packing.hpp"

namespace deltarule {

struct Clipping {
    double norm = 0;  // of all gradients together; 0: none
    double value = 0; // of each element; 0: none
};

// The exponential moving average of the parameters, a ← a + (1 - decay)(w - a) after each step; after the first a = w.
template <class T> struct Averaging {
    double decay = 0;
    T* average = nullptr;          // as the parameters lie; null: none is kept
    std::int64_t* steps = nullptr; // that it is of
};

// As torch clips: max_norm / (norm + 1e-6), never enlarging.
inline double clip_factor(const Clipping& clipping, double norm) {
    return std::min(1.0, clipping.norm / (norm + 1e-6));
}

// What a plan for steps of so many samples is made for. Updates that wait for all gradients need an array of them: with
// clipping, of several pieces, and in a step so long that a Ctrl-C falls into it, which could not be given up with half of
// them made. Else each tile is updated while its gradient is in the cache.
inline Purpose step_purpose(double operations_per_sample, const Capacity& capacity, const Clipping& clipping) {
    constexpr double long_step = 4e9; // multiply-adds: 30 ms of AVX-512 for the gradients
    const bool long_one = operations_per_sample * static_cast<double>(capacity.samples) > long_step;
    const bool unfused = clipping.norm > 0 || clipping.value > 0 || long_one || capacity.pieces > 1;
    return unfused ? Purpose::training : Purpose::fused_training;
}

enum class Outcome { updated, interrupted, diverged, failed };

template <class T> class Step {
  public:
    // optimizer may be null: gradients only. At most `threads` threads will run it.
    Step(Plan<T>& plan, const BatchLoss<T>& batch_loss, const Loss<T>& loss, Optimizer<T>* optimizer,
         const Clipping& clipping, Monitor& monitor, int threads, Pieces pieces = Pieces::of_one_gradient);

    void prepare(const Samples<T>& samples) { // before threads run it on such samples
        if (packing_) packing_->reserve(samples.steps);
    }
    // To be called by all threads alike. What follows is for thread 0, after it returned.
    Outcome run(int thread, int threads, Barrier& barrier, const Samples<T>& samples, const Batch& batch);
    // Goes on with whatever numbers come, as some libraries do.
    void ignore_divergence() { stops_at_divergence_ = false; }
    void keep_average(const Averaging<T>& averaging) { averaging_ = averaging; }
    double loss() const { return value_; } // with penalties, before the update
    double total_weight() const { return total_weight_; }
    // What the user's loss raised, handed over: it holds on to whatever was on the way to it.
    std::exception_ptr take_failure() { return std::exchange(failure_, nullptr); }

  private:
    struct Part { // of a sum of gradients
        bool first = true, last = true;
    };
    using Tiles = std::array<Range, 2>;
    void forward_and_backward(int thread, int threads, Barrier& barrier, const Samples<T>& samples, const Batch& batch,
                              double total_weight);
    void pass_segments(int thread, int threads, Barrier& barrier, const Samples<T>& samples, const Batch& batch,
                       double total_weight);
    // Some rows at a time through all layers, until somebody wants to stop
    template <class Pass> void in_blocks(int thread, Range rows, const Pass& pass) const {
        for (Index first = rows.first; first < rows.last && !monitor_.should_stop(); first += block_rows_) {
            const Index last = std::min(first + block_rows_, rows.last);
            pass(first, last);
            poll(thread, 2 * work_per_sample_ * static_cast<double>(last - first));
        }
    }
    // Of some pieces of sequences, the last one first
    Outcome run_pieces(int thread, int threads, Barrier& barrier, const Samples<T>& samples, const Batch& batch);
    Outcome update_from(int thread, int threads, Barrier& barrier, const Samples<T>& samples, Range pieces);
    void begin_sequences(const Samples<T>& samples, const Batch& batch);
    void forward_piece(int thread, int threads, const Samples<T>& samples, Index piece);
    void loss_and_backward(int thread, int threads, Barrier& barrier, const Samples<T>& samples, double total_weight);
    void custom_loss(const Batch& batch);
    void finish(double value, double total_weight);
    void gradients(const Tiles& tiles, Index batch, int thread, double penalty_factor, Part part = {});
    void update_all_at_once(Index batch); // a small network's
    void clip_and_update(const Tiles& tiles);
    void update(const T* gradient, Index offset, Index count, std::size_t group) const;
    void average(Index offset, Index count) const; // where one is kept
    Tiles tiles_of(int thread, int threads) const;
    template <class Visit> void for_tiles(const Tiles& tiles, const Visit& visit) const {
        for (const Range& range : tiles)
            for (Index tile = range.first; tile < range.last; ++tile) visit(tile);
    }
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
    const Index block_rows_;   // of a batch at a time through all layers
    const bool fused_;         // no array of all gradients
    const Index packed_size_;  // of the gradient of one tile
    const Buffer<T> packed_;   // one for each thread
    std::vector<Tiles> tiles_; // of each thread, where all of them take part
    bool has_penalty_ = false, all_at_once_ = false, stops_at_divergence_ = true;
    Averaging<T> averaging_;
    std::vector<double> tile_penalty_, tile_squares_; // one for each tile, summed in their order

    std::unique_ptr<Packing<T>> packing_; // of sequences
    const Pieces pieces_;
    std::thread::id leader_; // thread 0: the one to ask whether to go on

    // Written by thread 0 before a barrier, read by all after it.
    typename Packing<T>::Outputs outputs_{};
    bool stop_early_ = false, stop_late_ = false, failed_ = false;
    double custom_value_ = 0;
    std::exception_ptr failure_;

    double value_ = 0, total_weight_ = 0;
};

} // namespace deltarule
