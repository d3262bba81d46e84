#include "training/stepper.hpp"

#include <algorithm>
#include <cmath>
#include <utility>

namespace deltarule {

template <class T> Stepper<T>::Stepper(const Model<T>& model, T* parameters, Optimizer<T>* optimizer,
                                       const Loss<T>& loss, const Clipping& clipping, const Cut& cut)
    : model_(model), parameters_(parameters), optimizer_(optimizer), loss_(loss), clipping_(clipping), cut_(cut) {}

template <class T>
Outcome Stepper<T>::step(const Samples<T>& samples, int threads, std::function<bool()> interrupted, std::uint64_t key) {
    const Capacity needed = step_capacity(samples, samples.size(), cut_, optimizer_ != nullptr);
    const bool fits = plan_ && plan_->capacity().holds(needed) && is_sparse_ == samples.is_sparse();
    if (!fits) {
        auto plan = std::make_unique<Plan<T>>(
            model_, needed,
            optimizer_ ? step_purpose(operations_per_sample(model_, samples), needed, clipping_) : of_gradients_,
            output_activation(model_, loss_), samples.is_sparse());
        batch_loss_ = std::make_unique<BatchLoss<T>>(loss_, *plan, true);
        step_.reset();
        plan_ = std::move(plan);
        plan_->bind(parameters_);
        if (records_flow_) plan_->record_flow();
        is_sparse_ = samples.is_sparse();
    }
    plan_->borrow(samples.sparse);
    if (!step_ || threads_ < threads) {
        step_ = std::make_unique<Step<T>>(*plan_, *batch_loss_, loss_, optimizer_, clipping_, monitor_, threads,
                                          cut_.pieces);
        if (records_flow_) step_->ignore_divergence(); // how it diverges is what is asked for
        threads_ = threads;
    }
    step_->prepare(samples);
    monitor_.begin(std::move(interrupted));
    if (optimizer_) keep();
    Outcome outcome = Outcome::failed;
    const int team = static_cast<int>(std::min<Index>(threads, samples.size()));
    run_team(team, [&](int thread, Barrier& barrier) {
        const Outcome mine = step_->run(thread, team, barrier, samples, {nullptr, 0, samples.size(), key});
        if (thread == 0) outcome = mine;
    });
    monitor_.begin({}); // the caller's question goes with the caller
    if (!optimizer_) return outcome;
    if (outcome == Outcome::updated) return settle() ? outcome : Outcome::diverged;
    if (cut_.pieces == Pieces::truncated) restore(); // some pieces may have had their update
    return outcome;
}

template <class T> bool Stepper<T>::apply(VectorView<T> gradients) {
    const FlushDenormals flush;
    const Kernels<T>& kernels = model_.kernels();
    keep();
    if (clipping_.value > 0) kernels.clamp(gradients.data, gradients.size, static_cast<T>(clipping_.value));
    if (clipping_.norm > 0) {
        double squares = 0; // of the gradients that are made use of
        if (model_.all_trainable())
            squares = kernels.sum_of_squares(gradients.data, gradients.size);
        else
            for (const Tensor& tensor : model_.tensors())
                if (model_.is_trainable(static_cast<std::size_t>(tensor.layer)))
                    squares += kernels.sum_of_squares(gradients.data + tensor.offset, tensor.size);
        const double norm = std::sqrt(squares);
        kernels.scale(gradients.data, gradients.size, static_cast<T>(clip_factor(clipping_, norm)));
    }
    optimizer_->begin_step();
    for (const Tensor& tensor : model_.tensors()) {
        const auto layer = static_cast<std::size_t>(tensor.layer);
        if (tensor.shape.trained && model_.is_trainable(layer))
            optimizer_->update(parameters_, gradients.data + tensor.offset, tensor.offset, tensor.size,
                               model_.group_of(layer));
    }
    return settle();
}

template <class T> void Stepper<T>::keep() {
    const VectorView<T> state = optimizer_->state();
    if (kept_.size() == 0) kept_ = Buffer<T>(model_.size() + state.size);
    std::copy_n(parameters_, model_.size(), kept_.data());
    std::copy_n(state.data, state.size, kept_.data() + model_.size());
    std::copy_n(optimizer_->carry().data, optimizer_carries, kept_carry_.data());
}

template <class T> bool Stepper<T>::settle() {
    if (model_.kernels().all_finite(parameters_, model_.size())) return true;
    restore();
    return false;
}

template <class T> void Stepper<T>::restore() {
    const VectorView<T> state = optimizer_->state();
    std::copy_n(kept_.data(), model_.size(), parameters_);
    std::copy_n(kept_.data() + model_.size(), state.size, state.data);
    std::copy_n(kept_carry_.data(), optimizer_carries, optimizer_->carry().data);
    rebind();
}

template class Stepper<float>;
template class Stepper<double>;

} // namespace deltarule
