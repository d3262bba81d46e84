// fit: the one crossing into the training loop; fit_many: into those of many networks at once.
#include <algorithm>
#include <atomic>
#include <optional>
#include <utility>

#include "bindings/fit_call.hpp"

namespace deltarule {

namespace {

// New arrays, as they are before the first step: (state, carry)
template <class T> py::tuple start_optimizer(const NetworkBinding<T>& network, const py::tuple& spec) {
    Optimizer<T> optimizer = read_optimizer(network.model, spec);
    Buffer<T> state(multiply(network.model.size(), optimizer.slots_in_use()));
    Buffer<double> carry(optimizer_carries);
    optimizer.bind(state.data(), network.model.size(), carry.data());
    optimizer.start();
    for (const Tensor& tensor : network.model.tensors()) { // which may begin with a learning rate of their own
        const std::size_t group = network.model.group_of(static_cast<std::size_t>(tensor.layer));
        if (group > 0) optimizer.start(group, tensor.offset, tensor.size);
    }
    return py::make_tuple(array_of(std::move(state)), array_of(std::move(carry)), optimizer.slot_names());
}

// How many arrays of the parameters' size it keeps
template <class T> int optimizer_slots_of(const NetworkBinding<T>& network, const py::tuple& spec) {
    return static_cast<int>(read_optimizer(network.model, spec).slots_in_use());
}

template <class T> py::tuple fit_network(const py::object& network, const py::object& task) {
    const FitUnderWay own;
    const std::unique_ptr<AnyFitCall> call = make_fit_call(network, task, true);
    Interrupt interrupt;
    call->begin();
    {
        const py::gil_scoped_release release;
        call->run(std::ref(interrupt));
    }
    return call->result(interrupt.raised());
}

// Each network by one thread, the next one by whoever is free: what becomes of a network does not depend on the others.
// make(number) gives a network and its task when it is its turn, after_each(number, result) is told when it is done: so that
// the interpreter prepares one while others train. Ctrl-C ends those under way after their step; those that have not begun
// have no result.
void fit_many(std::size_t count, const py::object& make, int threads, const py::object& after_each) {
    require(threads >= 1, "fit_many needs a thread");
    const FitUnderWay own;
    Interrupt interrupt;
    std::atomic<bool> stop{false};
    std::atomic<std::size_t> next{0};
    std::atomic_flag has_failed = ATOMIC_FLAG_INIT;
    std::exception_ptr failure; // of make or after_each
    const auto train = [&](std::size_t i, const std::function<bool()>& interrupted) {
        std::unique_ptr<AnyFitCall> call;
        try {
            {
                const InPython in_python;
                const py::tuple made = make(i);
                call = make_fit_call(made[0], made[1], false);
                call->begin(); // where a Ctrl-C may come to light
            }
            call->run(interrupted);
            const InPython in_python;
            after_each(i, call->result(nullptr));
            call.reset(); // its network is free again
        } catch (...) {
            stop = true;
            if (!has_failed.test_and_set()) failure = std::current_exception();
            const InPython in_python;
            call.reset();
        }
    };
    const auto work = [&](int thread) {
        // Signals arrive at the interpreter's main thread, which is the one that called.
        const std::function<bool()> interrupted = [&stop, &interrupt, thread] {
            if (thread == 0 && interrupt()) stop = true;
            return stop.load();
        };
        for (std::size_t i = next++; i < count && !stop; i = next++) train(i, interrupted);
    };
    {
        const py::gil_scoped_release release;
        const int team = static_cast<int>(std::min<std::size_t>(static_cast<std::size_t>(threads), count));
        if (team > 0) run_team(team, [&](int thread, Barrier&) { work(thread); });
    }
    if (failure) std::rethrow_exception(failure);
    interrupt.raise_if_set();
}

} // namespace

template <class T> void bind_fit(py::class_<NetworkBinding<T>>& network) {
    network.def("start_optimizer", &start_optimizer<T>, py::arg("optimizer"))
        .def("optimizer_slots", &optimizer_slots_of<T>, py::arg("optimizer"))
        .def("fit", &fit_network<T>, py::arg("task"));
}

void bind_fit_many(py::module_& module) {
    module.def("fit_many", &fit_many, py::arg("count"), py::arg("make"), py::arg("n_threads"), py::arg("after_each"));
}

template void bind_fit(py::class_<NetworkBinding<float>>&);
template void bind_fit(py::class_<NetworkBinding<double>>&);

} // namespace deltarule
