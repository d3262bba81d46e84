// The loss of a batch at the end of a plan: its targets gathered, its value row by row, its gradient in the plan's output.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "base/buffer.hpp"
#include "network/plan.hpp"
#include "training/samples.hpp"

namespace deltarule {

// What the user asked for: a row of the kernel table with its parameter, or a function of their own.
template <class T> struct Loss {
    const LossKernel<T>* kernel = nullptr;
    T parameter = 0;
    // (network output, samples in the batch) -> value; fills gradient. Both row-major (count, outputs).
    std::function<double(MatrixView<const T> output, const Batch& batch, MatrixView<T> gradient)> custom;
};

template <class T> const LossKernel<T>& find_loss(const Kernels<T>& kernels, const std::string& name);

// The activation that the plan's last layer should have for this loss: "identity" where the loss works on the logits of a
// last layer that was written with the loss's own link (softmax before cross_entropy), else "" for what was written.
//   L(softmax(z)) of the written network is the stable L(z) from logits, and dL/dz = p - t either way.
template <class T> std::string output_activation(const Model<T>& model, const Loss<T>& loss);

// Memory for the loss of one batch. Rows are shared out among threads; begin() is for one of them, before all others.
template <class T> class BatchLoss {
  public:
    BatchLoss(const Loss<T>& loss, const Plan<T>& plan, bool wants_gradient);

    double total_weight(const Samples<T>& samples, const Batch& batch) const;
    // Inputs and targets of the rows first … last-1 into the panels; total_weight is that of the whole batch.
    void gather(const Samples<T>& samples, const Batch& batch, double total_weight, Index first, Index last) const;
    void rows(const Samples<T>& samples, Index first, Index last) const; // after the plan's forward
    double custom(const Batch& batch) const; // the same for a function of the user's, all rows at once
    double value(Index count, bool weighted, double total_weight) const; // the weighted mean over the batch

  private:
    const Loss<T>& loss_;
    const Plan<T>& plan_;
    const bool wants_gradient_;
    Buffer<T> target_, scale_, weight_, row_value_, row_major_;
    Buffer<std::int32_t> labels_;
};

} // namespace deltarule
