// fit: the one crossing into the training loop; Stepper: a step at a time for loops in Python.
#include <algorithm>
#include <cmath>
#include <optional>
#include <tuple>
#include <utility>
#include <vector>

#include "base/random.hpp"
#include "bindings/network.hpp"
#include "training/trainer.hpp"

namespace deltarule {

namespace {

// (name, hyperparameters in the order of the vocabulary)
template <class T> Optimizer<T> read_optimizer(const Kernels<T>& kernels, const py::tuple& spec) {
    return Optimizer<T>(find_optimizer(kernels, spec[0].cast<std::string>()), spec[1].cast<std::vector<double>>());
}

// The arrays that an optimizer keeps beside the parameters, made by Python and borrowed here.
template <class T>
void bind_state(Optimizer<T>& optimizer, const Model<T>& model, const py::object& state, const py::object& carry) {
    const VectorView<T> arrays = writable_vector<T>(state, "state");
    const VectorView<double> numbers = writable_vector<double>(carry, "carry");
    require(arrays.size == model.size() * optimizer.slots_in_use() && numbers.size == optimizer_carries,
            "the state of the optimizer has ", arrays.size, " and ", numbers.size, " elements, expected ",
            model.size() * optimizer.slots_in_use(), " and ", optimizer_carries);
    optimizer.bind(arrays.data, model.size(), numbers.data);
}

// New arrays, as they are before the first step: (state, carry)
template <class T> py::tuple start_optimizer(const NetworkBinding<T>& network, const py::tuple& spec) {
    Optimizer<T> optimizer = read_optimizer(network.model.kernels(), spec);
    Buffer<T> state(multiply(network.model.size(), optimizer.slots_in_use()));
    Buffer<double> carry(optimizer_carries);
    optimizer.bind(state.data(), network.model.size(), carry.data());
    optimizer.start();
    return py::make_tuple(array_of(std::move(state)), array_of(std::move(carry)), optimizer.slot_names());
}

// How many arrays of the parameters' size it keeps
template <class T> int optimizer_slots_of(const NetworkBinding<T>& network, const py::tuple& spec) {
    return static_cast<int>(read_optimizer(network.model.kernels(), spec).slots_in_use());
}

const char* name_of(FitEnd end) {
    switch (end) {
    case FitEnd::finished: return "finished";
    case FitEnd::stopped: return "stopped";
    case FitEnd::converged: return "converged";
    case FitEnd::out_of_time: return "out_of_time";
    case FitEnd::interrupted: return "interrupted";
    case FitEnd::diverged: return "diverged";
    case FitEnd::failed: return "failed";
    }
    return "";
}

BitGenerator read_generator(const py::object& generator) {
    // The beginning of bitgen_t, which NumPy keeps stable for extensions.
    struct Functions {
        void* state;
        std::uint64_t (*next64)(void*);
        std::uint32_t (*next32)(void*);
    };
    const py::object capsule = generator.attr("capsule");
    const auto* const functions = static_cast<const Functions*>(PyCapsule_GetPointer(capsule.ptr(), "BitGenerator"));
    if (!functions) throw py::error_already_set();
    return {functions->state, functions->next64, functions->next32};
}

// (a bit generator of NumPy's, which the caller holds, or None: nothing is shuffled; the order so far)
template <class T> void read_order(const py::object& order, Index samples, FitOptions<T>& options) {
    if (order.is_none()) return;
    const auto pair = py::reinterpret_borrow<py::tuple>(order);
    const auto generator = py::reinterpret_borrow<py::object>(pair[0]);
    if (!generator.is_none()) options.generator = read_generator(generator);
    options.order = writable_vector<std::int64_t>(pair[1], "order");
    require(options.order.size == samples, "order has ", options.order.size, " elements, X has ", samples, " rows");
    for (const std::int64_t sample : options.order)
        require(sample >= 0 && sample < samples, "order names sample ", sample, " of ", samples);
}

// (tolerance, patience, divisor, least rate, [best, count, learning rate])
template <class T> void read_plateau(const py::object& plateau, FitOptions<T>& options) {
    if (plateau.is_none()) return;
    const auto parts = py::reinterpret_borrow<py::tuple>(plateau);
    const VectorView<double> memory = writable_vector<double>(parts[4], "the memory of the plateau");
    require(memory.size == 3, "the memory of the plateau has ", memory.size, " elements, expected 3");
    options.plateau = Plateau{parts[0].cast<double>(),
                              parts[1].cast<double>(),
                              parts[2].cast<double>(),
                              parts[3].cast<double>(),
                              &memory[0],
                              &memory[1],
                              &memory[2]};
}

// What Python raised meanwhile, for the caller to raise again once what was reached is noted; None: nothing
py::object exception_of(const std::exception_ptr& raised) {
    try {
        if (raised) std::rethrow_exception(raised);
    } catch (const py::error_already_set& error) {
        PyException_SetTraceback(error.value().ptr(), error.trace() ? error.trace().ptr() : Py_None);
        return error.value();
    }
    return py::none();
}

template <class T>
py::tuple fit_network(NetworkBinding<T>& network, const py::object& flat, const py::object& loss_spec,
                      const py::tuple& optimizer_spec, const py::object& state, const py::object& carry,
                      const py::object& X, const py::object& y, const py::object& weights, Index epochs,
                      const py::object& epochs_trained, Index batch_size, bool shuffle, std::uint64_t seed,
                      double clip_norm, double clip_value, const py::object& validation, int n_threads,
                      int available_threads, const py::object& order, const py::object& scaling,
                      const py::object& plateau, double seconds, bool stops_at_divergence, const py::object& score,
                      const py::tuple& cut, const py::object& on_begin, const py::object& after_epoch) {
    const typename NetworkBinding<T>::Changing changing(network, "fit was called");
    const VectorView<T> parameters = network.parameters(flat);
    const Loss<T> loss = read_loss(network.model.kernels(), loss_spec);
    Optimizer<T> optimizer = read_optimizer(network.model.kernels(), optimizer_spec);
    bind_state(optimizer, network.model, state, carry);
    const Samples<T> samples = read_samples(network.model, loss, X, y, weights);
    require(epochs >= 0 && batch_size >= 1, "epochs=", epochs, " must be at least 0 and batch_size=", batch_size,
            " at least 1");

    const FitUnderWay own;
    FitOptions<T> options;
    options.epochs = epochs;
    const VectorView<std::int64_t> counter = writable_vector<std::int64_t>(epochs_trained, "epochs_trained");
    require(counter.size == 1 && counter[0] >= 0, "epochs_trained must be one count");
    options.epochs_trained = counter.data;
    options.batch_size = std::min(batch_size, samples.size());
    options.shuffle = shuffle;
    options.seed = seed;
    options.clipping = {clip_norm, clip_value};
    options.cut = read_cut(cut);
    options.threads = static_cast<int>(std::min<Index>(
        choose_threads(n_threads, available_threads,
                       3 * operations_per_sample(network.model, samples) * static_cast<double>(options.batch_size), 1),
        options.batch_size));
    options.threads_were_asked_for = n_threads > 0;
    Loss<T> validation_loss;
    if (!validation.is_none()) {
        const auto arrays = py::reinterpret_borrow<py::tuple>(validation);
        options.validation = read_samples(network.model, loss, arrays[0], arrays[1], arrays[2]);
        validation_loss = read_loss(network.model.kernels(), py::reinterpret_borrow<py::object>(arrays[3]));
        options.validation_loss = &validation_loss;
    }
    read_order(order, samples.size(), options);
    read_plateau(plateau, options);
    if (!scaling.is_none()) {
        const auto [initial, power, seen] = scaling.cast<std::tuple<double, double, double>>();
        options.scaling = InverseScaling{initial, power, seen};
    }
    options.seconds = seconds;
    options.stops_at_divergence = stops_at_divergence;
    Interrupt interrupt;
    options.interrupted = std::ref(interrupt);
    if (!score.is_none())
        options.score = [&score] {
            const InPython in_python;
            return score().template cast<double>();
        };
    if (!after_epoch.is_none())
        options.after_epoch = [&after_epoch](Index epoch, const EpochLog& log) {
            const InPython in_python;
            const py::object validation_value =
                log.has_validation ? py::object(py::float_(log.validation_loss)) : py::object(py::none());
            return after_epoch(epoch, log.loss, validation_value, log.learning_rate, log.seconds).template cast<bool>();
        };

    FitResult result;
    ++network.version;
    on_begin(); // nothing can be refused any more
    {
        const py::gil_scoped_release release;
        result = fit(network.model, parameters.data, optimizer, loss, samples, options);
    }
    const auto column = [&result](double EpochLog::* of) {
        py::list values(result.history.size());
        for (std::size_t i = 0; i < result.history.size(); ++i)
            PyList_SET_ITEM(values.ptr(), static_cast<Py_ssize_t>(i),
                            py::float_(result.history[i].*of).release().ptr());
        return values;
    };
    return py::make_tuple(name_of(result.end), py::make_tuple(result.epoch, result.step, result.layer, result.loss),
                          column(&EpochLog::loss), options.validation ? column(&EpochLog::validation_loss) : py::list(),
                          column(&EpochLog::learning_rate), column(&EpochLog::seconds),
                          options.score ? column(&EpochLog::score) : py::list(),
                          exception_of(interrupt.raised() ? interrupt.raised() : result.failure));
}

template <class T> class StepperBinding {
  public:
    StepperBinding(py::object network, py::object parameters, const py::object& loss, const py::tuple& optimizer,
                   py::object state, py::object carry, double clip_norm, double clip_value,
                   const std::optional<std::pair<double, double>>& target_range, std::uint64_t seed,
                   const py::object& epochs_trained, const py::tuple& cut)
        : network_object_(std::move(network)), parameters_(std::move(parameters)), state_(std::move(state)),
          carry_(std::move(carry)), network_(network_object_.cast<NetworkBinding<T>&>()),
          loss_(read_loss(network_.model.kernels(), loss)),
          optimizer_(read_optimizer(network_.model.kernels(), optimizer)),
          stepper_(network_.model, network_.parameters(parameters_).data, &optimizer_, loss_, {clip_norm, clip_value},
                   read_cut(cut)),
          target_range_(target_range), seed_(seed), epochs_trained_(epochs_trained) {
        bind_state(optimizer_, network_.model, state_, carry_);
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
    std::uint64_t version_ = 0;
    Index steps_ = 0;
};

} // namespace

template <class T>
void bind_fit(py::class_<NetworkBinding<T>>& network, py::module_& module, const char* stepper_name) {
    network.def("start_optimizer", &start_optimizer<T>, py::arg("optimizer"))
        .def("optimizer_slots", &optimizer_slots_of<T>, py::arg("optimizer"))
        .def("fit", &fit_network<T>, py::arg("parameters"), py::arg("loss"), py::arg("optimizer"), py::arg("state"),
             py::arg("carry"), py::arg("inputs"), py::arg("targets"), py::arg("sample_weight"), py::arg("epochs"),
             py::arg("epochs_trained"), py::arg("batch_size"), py::arg("shuffle"), py::arg("seed"),
             py::arg("clip_norm"), py::arg("clip_value"), py::arg("validation"), py::arg("n_threads"),
             py::arg("available_threads"), py::arg("order"), py::arg("inverse_scaling"), py::arg("plateau"),
             py::arg("seconds"), py::arg("stops_at_divergence"), py::arg("score"), py::arg("cut"), py::arg("on_begin"),
             py::arg("after_epoch"));

    using StepperClass = StepperBinding<T>;
    py::class_<StepperClass>(module, stepper_name)
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

template void bind_fit(py::class_<NetworkBinding<float>>&, py::module_&, const char*);
template void bind_fit(py::class_<NetworkBinding<double>>&, py::module_&, const char*);

} // namespace deltarule
