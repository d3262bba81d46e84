#include "training/optimizer.hpp"

#include <cstdlib>
#include <utility>

#include "base/require.hpp"

namespace deltarule {

template <class T> const OptimizerKernel<T>& find_optimizer(const Kernels<T>& kernels, const std::string& name) {
    for (int i = 0; i < kernels.optimizer_count; ++i)
        if (name == kernels.optimizers[i].name) return kernels.optimizers[i];
    require(false, "there is no optimizer \"", name, "\"");
    std::abort(); // not reached
}

template <class T> Optimizer<T>::Optimizer(const OptimizerKernel<T>& kernel, std::vector<double> hyperparameters,
                                           std::vector<double> factors)
    : kernel_(kernel), hyperparameters_(std::move(hyperparameters)), factors_(std::move(factors)),
      constants_(static_cast<Index>(factors_.size()) * constants_size) {
    require(static_cast<int>(hyperparameters_.size()) == kernel.hyperparameter_count, kernel.name, " takes ",
            kernel.hyperparameter_count, " hyperparameters, got ", hyperparameters_.size());
}

template <class T> int Optimizer<T>::slots_in_use() const {
    int count = 0;
    for (int slot = 0; slot < kernel_.slots; ++slot) count += kernel_.uses_slot(slot, hyperparameters_.data()) ? 1 : 0;
    return count;
}

template <class T> std::vector<std::string> Optimizer<T>::slot_names() const {
    std::vector<std::string> names;
    for (int slot = 0; slot < kernel_.slots; ++slot)
        if (kernel_.uses_slot(slot, hyperparameters_.data())) names.emplace_back(kernel_.slot_names[slot]);
    return names;
}

template <class T> void Optimizer<T>::bind(T* state, Index size, double* carry) {
    first_state_ = state;
    for (int slot = 0; slot < kernel_.slots; ++slot) {
        const bool in_use = kernel_.uses_slot(slot, hyperparameters_.data());
        state_[static_cast<std::size_t>(slot)] = in_use ? state : nullptr;
        if (in_use) state += size;
    }
    size_ = size;
    carry_ = carry;
}

template <class T> void Optimizer<T>::start() const {
    start(0, 0, size_);
    std::fill_n(carry_, optimizer_carries, 0.0);
}

template <class T> void Optimizer<T>::start(std::size_t group, Index offset, Index count) const {
    std::vector<double> hyperparameters = hyperparameters_;
    hyperparameters[0] *= factors_[group];
    for (int slot = 0; slot < kernel_.slots; ++slot)
        if (T* const state = state_[static_cast<std::size_t>(slot)])
            if (const T value = static_cast<T>(kernel_.start(slot, hyperparameters.data())); value != 0 || group > 0)
                std::fill_n(state + offset, count, value);
}

template const OptimizerKernel<float>& find_optimizer(const Kernels<float>&, const std::string&);
template const OptimizerKernel<double>& find_optimizer(const Kernels<double>&, const std::string&);
template class Optimizer<float>;
template class Optimizer<double>;

} // namespace deltarule
