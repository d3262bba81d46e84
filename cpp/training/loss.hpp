// The loss of a batch at the end of a plan: its targets gathered, its value row by row, its gradient in the plan's output.
#pragma once

#include <functional>
#include <limits>
#include <string>
#include <vector>

#include "base/buffer.hpp"
#include "network/plan.hpp"
#include "training/samples.hpp"

namespace deltarule {

// Where the conventions of other libraries differ from ours.
struct LossConvention {
    double value_share = 0;    // of each output in the value of a sample's loss; 0: an equal share, for their mean
    double gradient_share = 0; // and in its gradient
    double least =
        -std::numeric_limits<double>::infinity(); // what an output (cross_entropy: a sample) adds to the value
    double most =
        std::numeric_limits<double>::infinity(); // is reported within these bounds; the gradient is not bounded
    bool penalty_in_sum = false;                 // penalties are added to the sum over a batch, not to its mean
    bool epoch_by_samples = false; // the loss of an epoch weighs batches by their samples, not by the weights of these
};

// What the user asked for: a row of the kernel table with its parameter, or a function of their own.
template <class T> struct Loss {
    const LossKernel<T>* kernel = nullptr;
    T parameter = 0;
    LossConvention convention;
    // (network output, samples in the batch) -> value; fills gradient. Both row-major (count, outputs).
    std::function<double(MatrixView<const T> output, const Batch& batch, MatrixView<T> gradient)> custom;
};

template <class T> const LossKernel<T>& find_loss(const Kernels<T>& kernels, const std::string& name);

// The activation that the plan's last layer should have for this loss: "identity" where the loss works on the logits of a
// last layer that was written with the loss's own link (softmax before cross_entropy), else "" for what was written.
//   L(softmax(z)) of the written network is the stable L(z) from logits, and dL/dz = p - t either way.
template <class T> std::string output_activation(const Model<T>& model, const Loss<T>& loss);

// The inputs of the rows first … last-1 of a batch, for the passes of the plan. Of sparse ones, where the plan keeps them so, it
// is told where they lie; else zeros go where nothing is stored.
template <class T>
void gather_inputs(const Samples<T>& samples, const Batch& batch, const Plan<T>& plan, Index first, Index last);

// Multiply-adds of one forward pass, with sparse inputs and sequences on the average.
template <class T> double operations_per_sample(const Model<T>& model, const Samples<T>& samples);

// What the penalties are multiplied by in a batch of this weight
template <class T> double penalty_factor(const Loss<T>& loss, double total_weight) {
    return !loss.convention.penalty_in_sum ? 1 : total_weight != 0 ? 1 / total_weight : 0;
}

// Memory for the loss of one batch. Rows are shared out among threads; begin() is for one of them, before all others.
template <class T> class BatchLoss {
  public:
    BatchLoss(const Loss<T>& loss, const Plan<T>& plan, bool wants_gradient);

    double total_weight(const Samples<T>& samples, const Batch& batch) const;
    // Inputs and targets of the rows first … last-1 into the panels; total_weight is that of the whole batch.
    void gather(const Samples<T>& samples, const Batch& batch, double total_weight, Index first, Index last) const {
        gather_inputs(samples, batch, plan_, first, last);
        gather_targets(samples, batch, total_weight, first, last);
    }
    void gather_targets(const Samples<T>& samples, const Batch& batch, double total_weight, Index first,
                        Index last) const;
    void rows(const Samples<T>& samples, Index first, Index last) const; // after the plan's forward
    double custom(const Batch& batch) const; // the same for a function of the user's, all rows at once
    // The weighted sum over some rows, added to four sums side by side: a single one would wait for itself at every row
    struct Sums {
        double of_every_fourth[4]{};
        double mean(double total_weight) const;
    };
    void add(Range rows, bool weighted, Sums& sums, Index before = 0) const; // … of that many rows before row 0
    double value(Index count, bool weighted, double total_weight) const {    // the weighted mean over the batch
        Sums sums;
        add({0, count}, weighted, sums);
        return sums.mean(total_weight);
    }

  private:
    const Loss<T>& loss_;
    const Plan<T>& plan_;
    const bool wants_gradient_;
    Buffer<T> target_, scale_, weight_, row_value_, row_major_;
    Buffer<std::int32_t> labels_;
};

} // namespace deltarule
