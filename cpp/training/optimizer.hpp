// An optimizer at work: its row of the kernel table, its hyperparameters, and the arrays it keeps beside the parameters,
// borrowed from whoever outlives the fit.
#pragma once

#include <array>
#include <string>
#include <vector>

#include "base/view.hpp"
#include "kernels/table.hpp"

namespace deltarule {

template <class T> const OptimizerKernel<T>& find_optimizer(const Kernels<T>& kernels, const std::string& name);

template <class T> class Optimizer {
  public:
    Optimizer(const OptimizerKernel<T>& kernel, std::vector<double> hyperparameters);

    const OptimizerKernel<T>& kernel() const { return kernel_; }
    int slots_in_use() const;
    VectorView<T> state() const { return {first_state_, size_ * slots_in_use()}; }
    VectorView<double> carry() const { return {carry_, optimizer_carries}; }
    std::vector<std::string> slot_names() const; // of those in use
    // state: slots_in_use() arrays of `size` one after the other; carry: optimizer_carries numbers
    void bind(T* state, Index size, double* carry);
    void start() const; // fills state and carry as they are before the first step

    void set_learning_rate(double lr) { hyperparameters_[0] = lr; }
    double learning_rate() const { return hyperparameters_[0]; }

    void begin_step() {
        for (std::size_t i = 0; i < carry_before_.size(); ++i) carry_before_[i] = carry_[i];
        kernel_.prepare(hyperparameters_.data(), carry_, constants_.data());
    }
    void undo_begin() { // the step was given up before any update
        for (std::size_t i = 0; i < carry_before_.size(); ++i) carry_[i] = carry_before_[i];
    }
    // of the parameters from offset on, whose gradients begin at `gradient`
    void update(T* parameters, const T* gradient, Index offset, Index count) const {
        T* state[optimizer_slots];
        for (int slot = 0; slot < optimizer_slots; ++slot) state[slot] = state_[slot] ? state_[slot] + offset : nullptr;
        kernel_.update(parameters + offset, gradient, state, count, constants_.data());
    }

  private:
    const OptimizerKernel<T>& kernel_;
    std::vector<double> hyperparameters_; // the learning rate first
    std::array<T*, optimizer_slots> state_{};
    alignas(panel_bytes) std::array<T, optimizer_constants * panel_width<T>> constants_{};
    std::array<double, optimizer_carries> carry_before_{};
    double* carry_ = nullptr;
    T* first_state_ = nullptr;
    Index size_ = 0;
};

} // namespace deltarule
