// An optimizer at work: its row of the kernel table, its hyperparameters, and the arrays it keeps beside the parameters,
// borrowed from whoever outlives the fit.
#pragma once

#include <algorithm>
#include <array>
#include <string>
#include <vector>

#include "base/buffer.hpp"
#include "base/view.hpp"
#include "kernels/table.hpp"

namespace deltarule {

template <class T> const OptimizerKernel<T>& find_optimizer(const Kernels<T>& kernels, const std::string& name);

template <class T> class Optimizer {
  public:
    // factors: of the learning rate, one for each group of parameters
    Optimizer(const OptimizerKernel<T>& kernel, std::vector<double> hyperparameters, std::vector<double> factors = {1});

    const OptimizerKernel<T>& kernel() const { return kernel_; }
    int slots_in_use() const;
    VectorView<T> state() const { return {first_state_, size_ * slots_in_use()}; }
    VectorView<double> carry() const { return {carry_, optimizer_carries}; }
    std::vector<std::string> slot_names() const; // of those in use
    // state: slots_in_use() arrays of `size` one after the other; carry: optimizer_carries numbers
    void bind(T* state, Index size, double* carry);
    // Makes of zeroed state and carry what they are before the first step; of a group's own, where its state begins with the
    // learning rate.
    void start() const;
    void start(std::size_t group, Index offset, Index count) const;

    void set_learning_rate(double lr) { hyperparameters_[0] = lr; }
    double learning_rate() const { return hyperparameters_[0]; }

    void begin_step() {
        for (std::size_t i = 0; i < carry_before_.size(); ++i) carry_before_[i] = carry_[i];
        for (std::size_t group = 0; group < factors_.size(); ++group) {
            if (group > 0) std::copy(carry_before_.begin(), carry_before_.end(), carry_); // the same step of it again
            prepare(group);
        }
    }
    void undo_begin() { // the step was given up before any update
        for (std::size_t i = 0; i < carry_before_.size(); ++i) carry_[i] = carry_before_[i];
    }
    // of the parameters from offset on, all of one group, whose gradients begin at `gradient`
    void update(T* parameters, const T* gradient, Index offset, Index count, std::size_t group = 0) const {
        T* state[optimizer_slots];
        for (int slot = 0; slot < optimizer_slots; ++slot) state[slot] = state_[slot] ? state_[slot] + offset : nullptr;
        kernel_.update(parameters + offset, gradient, state, count, constants_of(group));
    }
    void set_factors(const std::vector<double>& factors) { // of other groups
        factors_ = factors;
        constants_ = Buffer<T>(static_cast<Index>(factors.size()) * constants_size);
    }

  private:
    static constexpr Index constants_size = optimizer_constants * panel_width<T>;
    T* constants_of(std::size_t group) const { return constants_.data() + static_cast<Index>(group) * constants_size; }
    void prepare(std::size_t group) {
        const double rate = hyperparameters_[0];
        hyperparameters_[0] = rate * factors_[group];
        kernel_.prepare(hyperparameters_.data(), carry_, constants_of(group));
        hyperparameters_[0] = rate;
    }

    const OptimizerKernel<T>& kernel_;
    std::vector<double> hyperparameters_; // the learning rate first
    std::vector<double> factors_;
    std::array<T*, optimizer_slots> state_{};
    Buffer<T> constants_; // of the step under way, of each group
    std::array<double, optimizer_carries> carry_before_{};
    double* carry_ = nullptr;
    T* first_state_ = nullptr;
    Index size_ = 0;
};

} // namespace deltarule
