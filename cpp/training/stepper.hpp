// One step at a time, for callers with a loop of their own: keeps its plan between calls. Without an optimizer it gives
// loss and gradients and leaves the parameters as they are.
#pragma once

#include <array>
#include <memory>

#include "training/step.hpp"

namespace deltarule {

template <class T> class Stepper {
  public:
    Stepper(const Model<T>& model, T* parameters, Optimizer<T>* optimizer, const Loss<T>& loss,
            const Clipping& clipping, const Cut& cut = {});

    // A batch of any size; the plan grows with the largest. Diverged, interrupted or failed: nothing was changed.
    // key: of a step in training, where the model is random there.
    Outcome step(const Samples<T>& samples, int threads, std::function<bool()> interrupted, std::uint64_t key = 0);
    // One update from gradients of the caller's own, which are clipped in place. false: diverged, nothing was changed.
    bool apply(VectorView<T> gradients);
    double loss() const { return step_->loss(); }
    std::exception_ptr take_failure() { return step_->take_failure(); }
    const T* gradients() const { return plan_->gradients(); } // flat, of the last step
    // Without an optimizer: the loss and gradients of a step in training, not those of the network as it predicts
    void as_in_training() { of_gradients_ = Purpose::gradients_in_training; }
    void record_flow() { records_flow_ = true; }
    typename Plan<T>::Flow flow(std::size_t layer, Index batch) const { return plan_->flow(layer, batch); } // of it
    Index first_layer_not_finite(Index batch) const { return plan_->first_layer_not_finite(batch); }
    void forget_plan() { // the network learns in another way from now on
        step_.reset();
        batch_loss_.reset();
        plan_.reset();
    }
    void rebind() { // somebody else has changed the parameters
        if (plan_) plan_->bind(parameters_);
    }

  private:
    // An update can lead out of the numbers though the loss before it was finite: what was is kept until it is known.
    void keep();
    bool settle(); // true: all is finite; false: all is as it was
    void restore();

    const Model<T>& model_;
    T* const parameters_;
    Optimizer<T>* const optimizer_;
    const Loss<T> loss_;
    const Clipping clipping_;
    const Cut cut_;
    Buffer<T> kept_;
    std::array<double, optimizer_carries> kept_carry_{};
    std::unique_ptr<Plan<T>> plan_;
    std::unique_ptr<BatchLoss<T>> batch_loss_;
    Monitor monitor_{{}};
    std::unique_ptr<Step<T>> step_;
    int threads_ = 0;        // that step_ was made for
    bool is_sparse_ = false; // what plan_ was made for
    bool records_flow_ = false;
    Purpose of_gradients_ = Purpose::gradients; // where there is no optimizer
};

} // namespace deltarule
