// Stepper: a step at a time, for loops in Python.
#include <cmath>
#include <optional>
#include <utility>
#include <vector>

#include "base/random.hpp"
#include "bindings/fit_call.hpp"

namespace deltarule {

namespace {

template <class T> class StepperBinding {
  public:
    StepperBinding(py::object network, py::object parameters, const py::object& loss, const py::tuple& optimizer,
                   py::object state, py::object carry, double clip_norm, double clip_value,
                   const std::optional<std::pair<double, double>>& target_range, std::uint64_t seed,
                   const py::object& epochs_trained, const py::tuple& cut)
        : network_object_(std::move(network)), parameters_(std::move(parameters)), state_(std::move(state)),
          carry_(std::move(carry)), network_(network_object_.cast<NetworkBinding<T>&>()),
          loss_(read_loss(network_.model.kernels(), loss)), optimizer_(read_optimizer(network_.model, optimizer)),
          stepper_(network_.model, network_.parameters(parameters_).data, &optimizer_, loss_, {clip_norm, clip_value},
                   read_cut(cut)),
          target_range_(target_range), seed_(seed), epochs_trained_(epochs_trained) {
        bind_state(optimizer_, network_.model, state_, carry_);
        learning_ = network_.learning;
        const VectorView<std::int64_t> counter = writable_vector<std::int64_t>(epochs_trained, "epochs_trained");
        require(counter.size == 1, "epochs_trained must be one count");
        epochs_ = counter.data;
    }

    // (outcome, loss, layer): "updated", or "diverged" with nothing changed
    py::tuple step(const py::object& X, const py::object& y, const py::object& weights, int asked, int available) {
        const typename NetworkBinding<T>::Changing changing(network_, "step was called");
        const Samples<T> samples = read_samples(network_.model, loss_, X, y, weights);
        follow();
        Interrupt interrupt;
        Outcome outcome{};
        const std::uint64_t key = key_of_step();
        {
            const py::gil_scoped_release release;
            const int threads = choose_threads(asked, available,
                                               3 * operations_per_sample(network_.model, samples) *
                                                   static_cast<double>(samples.size()));
            outcome = stepper_.step(samples, threads, std::ref(interrupt), key);
        }
        version_ = outcome == Outcome::updated ? ++network_.version : network_.version.load();
        if (outcome == Outcome::updated) ++steps_; // also where a Ctrl-C came too late for it
        interrupt.raise_if_set();
        if (outcome == Outcome::failed) std::rethrow_exception(stepper_.take_failure());
        const Index layer = outcome == Outcome::diverged ? stepper_.first_layer_not_finite(samples.size()) : -1;
        return py::make_tuple(outcome == Outcome::updated ? "updated" : "diverged", stepper_.loss(), layer);
    }

    // The loss after a step from a small batch of arrays that need neither conversion nor complaint; None where they do, or
    // where the step diverged, and nothing has changed.
    py::object step_small(const py::object& X, const py::object& y) {
        const Model<T>& model = network_.model;
        if (model.takes_sequences() || !loss_.kernel || !is_ready<T>(X, 2)) return py::none();
        Samples<T> samples;
        samples.inputs = ready_matrix<T>(X);
        const double rows = static_cast<double>(samples.size());
        if (samples.size() < 1 || samples.inputs.columns != model.inputs() ||
            !is_short(3 * model.operations_per_sample() * rows) ||
            !model.kernels().all_finite(samples.inputs.data, samples.size() * samples.inputs.columns) ||
            !(loss_.kernel->takes_labels ? read_labels(y, samples) : read_targets(y, samples)))
            return py::none();
        const typename NetworkBinding<T>::Changing changing(network_, "step was called");
        follow();
        if (stepper_.step(samples, 1, {}, key_of_step()) != Outcome::updated) return py::none();
        version_ = ++network_.version;
        ++steps_;
        return py::float_(stepper_.loss());
    }

    // One update from gradients of the caller's own, clipped in place; false: diverged, nothing was changed
    bool apply(const py::object& gradients) {
        const typename NetworkBinding<T>::Changing changing(network_, "apply was called");
        follow();
        const bool applied = stepper_.apply(network_.parameters(gradients));
        if (applied) {
            ++network_.version; // and version_ stays behind: the next step binds anew
            ++steps_;
        }
        return applied;
    }

    Index steps() const { return steps_; }
    void set_learning_rate(double lr) { optimizer_.set_learning_rate(lr); }

  private:
    // Class indices as NumPy makes them, int64, or as the core keeps them. false: let Python explain
    bool read_labels(const py::object& y, Samples<T>& samples) {
        const auto take = [&](const auto& from) {
            if (from.size != samples.size()) return false;
            labels_.resize(static_cast<std::size_t>(from.size));
            for (Index i = 0; i < from.size; ++i) {
                if (from[i] < 0 || from[i] >= network_.model.outputs()) return false;
                labels_[static_cast<std::size_t>(i)] = static_cast<std::int32_t>(from[i]);
            }
            samples.labels = labels_.data();
            return true;
        };
        if (is_ready<std::int64_t>(y, 1)) return take(ready_vector<std::int64_t>(y));
        return is_ready<std::int32_t>(y, 1) && take(ready_vector<std::int32_t>(y));
    }

    bool read_targets(const py::object& y, Samples<T>& samples) const {
        if (!target_range_) return false;
        if (is_ready<T>(y, 2))
            samples.targets = ready_matrix<T>(y);
        else if (network_.model.outputs() == 1 && is_ready<T>(y, 1))
            samples.targets = {ready_vector<T>(y).data, ready_vector<T>(y).size, 1};
        else
            return false;
        if (samples.targets.rows != samples.size() || samples.targets.columns != network_.model.outputs()) return false;
        const Index count = samples.targets.rows * samples.targets.columns;
        for (Index i = 0; i < count; ++i) {
            const double value = static_cast<double>(samples.targets.data[i]);
            if (!(value >= target_range_->first && value <= target_range_->second) || std::isinf(value)) return false;
        }
        return true;
    }

    std::uint64_t key_of_step() const {
        if (!network_.model.is_random()) return 0;
        return step_key(seed_, static_cast<std::uint64_t>(*epochs_), static_cast<std::uint64_t>(steps_));
    }

    void follow() {
        if (learning_ != network_.learning) {
            stepper_.forget_plan();
            optimizer_.set_factors(network_.model.rate_factors());
            learning_ = network_.learning;
        }
        if (version_ == network_.version) return;
        stepper_.rebind();
        version_ = network_.version;
    }

    py::object network_object_, parameters_, state_, carry_; // kept alive: the views below point into them
    NetworkBinding<T>& network_;
    const Loss<T> loss_;
    Optimizer<T> optimizer_;
    Stepper<T> stepper_;
    const std::optional<std::pair<double, double>> target_range_; // lowest and highest; none: to be checked by Python
    const std::uint64_t seed_;
    const py::object epochs_trained_; // kept alive as well
    const std::int64_t* epochs_ = nullptr;
    std::vector<std::int32_t> labels_;
    std::uint64_t version_ = 0, learning_ = 0;
    Index steps_ = 0;
};

} // namespace

template <class T> void bind_stepper(py::module_& module, const char* name) {
    using StepperClass = StepperBinding<T>;
    py::class_<StepperClass>(module, name)
        .def(py::init<py::object, py::object, const py::object&, const py::tuple&, py::object, py::object, double,
                      double, const std::optional<std::pair<double, double>>&, std::uint64_t, const py::object&,
                      const py::tuple&>(),
             py::arg("network"), py::arg("parameters"), py::arg("loss"), py::arg("optimizer"), py::arg("state"),
             py::arg("carry"), py::arg("clip_norm"), py::arg("clip_value"), py::arg("target_range"), py::arg("seed"),
             py::arg("epochs_trained"), py::arg("cut"))
        .def("step_small", &StepperClass::step_small, py::arg("inputs"), py::arg("targets"))
        .def("step", &StepperClass::step, py::arg("inputs"), py::arg("targets"), py::arg("sample_weight"),
             py::arg("n_threads"), py::arg("available_threads"))
        .def_property_readonly("steps", &StepperClass::steps)
        .def("apply", &StepperClass::apply, py::arg("gradients"))
        .def("set_learning_rate", &StepperClass::set_learning_rate, py::arg("lr"));
}

template void bind_stepper<float>(py::module_&, const char*);
template void bind_stepper<double>(py::module_&, const char*);

} // namespace deltarule
