// A fit as Python asks for it: what the task names, checked and borrowed, and what came of it.
#pragma once

#include <memory>
#include <optional>

#include "bindings/network.hpp"
#include "training/trainer.hpp"

namespace deltarule {

// (name, hyperparameters in the order of the vocabulary)
template <class T> Optimizer<T> read_optimizer(const Model<T>& model, const py::tuple& spec);
// The arrays that an optimizer keeps beside the parameters, made by Python and borrowed here
template <class T>
void bind_state(Optimizer<T>& optimizer, const Model<T>& model, const py::object& state, const py::object& carry);

// One that is ready to run, whatever its numbers are.
class AnyFitCall {
  public:
    AnyFitCall() = default;
    virtual ~AnyFitCall() = default;
    AnyFitCall(const AnyFitCall&) = delete;
    AnyFitCall& operator=(const AnyFitCall&) = delete;

    virtual void begin() = 0;                                // nothing can be refused any more
    virtual void run(std::function<bool()> interrupted) = 0; // without the interpreter's lock
    // As Python takes it; `raised` in place of what the fit itself has met
    virtual py::tuple result(const std::exception_ptr& raised) const = 0;
};

// network: a NetworkBinding; task: a deltarule.network.loop.Task. With may_share false one thread does it all. The caller
// keeps both alive.
std::unique_ptr<AnyFitCall> make_fit_call(const py::handle& network, const py::object& task, bool may_share);

} // namespace deltarule
