#include "training/stepper.hpp"

#include <algorithm>
#include <utility>

namespace deltarule {

template <class T>
Stepper<T>::Stepper(const Model<T>& model, T* parameters, Optimizer<T>* optimizer, const Loss<T>& loss, const Clipping& clipping)
    : model_(model), parameters_(parameters), optimizer_(optimizer), loss_(loss), clipping_(clipping) {}

template <class T> Outcome Stepper<T>::step(const Samples<T>& samples, int threads, std::function<bool()> interrupted) {
    if (!plan_ || plan_->batch_size() < samples.size()) {
        auto plan = std::make_unique<Plan<T>>(model_, samples.size(), Purpose::training, output_activation(model_, loss_));
        batch_loss_ = std::make_unique<BatchLoss<T>>(loss_, *plan, true);
        plan_ = std::move(plan);
        plan_->bind(parameters_);
    }
    monitor_ = std::make_unique<Monitor>(std::move(interrupted));
    step_ = std::make_unique<Step<T>>(*plan_, *batch_loss_, loss_, optimizer_, clipping_, *monitor_);
    Outcome outcome = Outcome::failed;
    const int team = static_cast<int>(std::min<Index>(threads, samples.size()));
    run_team(team, [&](int thread, Barrier& barrier) {
        const Outcome mine = step_->run(thread, team, barrier, samples, {nullptr, 0, samples.size()});
        if (thread == 0) outcome = mine;
    });
    return outcome;
}

template class Stepper<float>;
template class Stepper<double>;

} // namespace deltarule
