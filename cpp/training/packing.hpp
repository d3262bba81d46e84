// The sequences of a batch made ready for a plan: sorted by their length, the longest first, and cut into pieces of so many
// steps, each of which says how its rows lie (layers/sequence.hpp) and which of the user's rows they are.
#pragma once

#include <algorithm>

#include "base/buffer.hpp"
#include "layers/sequence.hpp"
#include "network/plan.hpp"
#include "training/samples.hpp"

namespace deltarule {

// A network that takes sequences is stepped through them piece by piece, a plan's steps at a time. Where states are kept, the
// pieces are run through forward, then once more from the last to the first, each forward and backward, and are one update
// with the gradient of the whole (T. Chen et al., arXiv:1604.06174). Where the gradient is truncated it ends where a piece
// begins, and each piece is an update of its own (R. Williams and J. Peng, Neural Computation 2 (1990) 490).
enum class Pieces { of_one_gradient, truncated };

// How a caller wants sequences to be cut: into pieces of so many steps (0: not at all)
struct Cut {
    Index steps = 0;
    Pieces pieces = Pieces::of_one_gradient;
};

// What a plan for steps of `batch_size` of the samples needs; rows of their own are sequences of no steps.
template <class T>
Capacity step_capacity(const Samples<T>& samples, Index batch_size, const Cut& cut, bool updates = true) {
    if (samples.steps == 0) return {batch_size};
    const Index steps = cut.steps > 0 ? std::min(cut.steps, samples.steps) : samples.steps;
    const bool goes_back = cut.pieces == Pieces::of_one_gradient || !updates; // to pieces it has gone through
    const Index pieces = goes_back ? (samples.steps + steps - 1) / steps : 1;
    return {batch_size, steps, samples.lengths != nullptr, pieces};
}

template <class T> class Packing {
  public:
    // For the batches of a plan, whose steps are those of a piece
    explicit Packing(const Plan<T>& plan);

    void reserve(Index steps); // of the longest: what follows allocates nothing then
    // Of samples that have steps, and the plan's states before the first.
    void begin(const Samples<T>& samples, const Batch& batch);
    Index pieces() const { return (longest_ + piece_steps_ - 1) / piece_steps_; }
    void take(Index piece, bool alone); // says so to the plan's sequence; alone: it is not one of a larger sum
    // The user's rows behind those of this piece: of the inputs, and of the outputs
    Batch inputs() const { return {row_order_.data(), 0, plan_.sequence().rows, key_}; }
    Batch outputs() const { return plan_.model().gives_sequences() ? inputs() : samples(); }
    Batch samples() const { return {sample_order_.data(), 0, count_, key_}; }
    // Rows that the outputs of this piece are in
    Range output_rows() const;
    // Of some pieces: how many outputs there are, and what these weigh together
    struct Outputs {
        Index count;
        double weight;
    };
    Outputs outputs_of(const Samples<T>& samples, Range pieces) const;
    // A thread's share of the samples of this piece, with about as many steps as any other's
    Range share_of(int thread, int threads) const;

  private:
    // How many samples have a step; the longest come first
    Index having(Index step) const { return step < longest_ ? longer_[static_cast<std::size_t>(step + 1)] : 0; }

    const Plan<T>& plan_;
    const Index piece_steps_;
    Buffer<std::int64_t> sample_order_, row_order_;
    Buffer<Index> lengths_;     // of the samples in their order
    std::vector<Index> longer_; // how many samples have at least so many steps
    Index count_ = 0, steps_ = 0, longest_ = 0;
    std::uint64_t key_ = 0;
};

} // namespace deltarule
