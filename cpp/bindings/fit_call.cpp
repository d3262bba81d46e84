#include "bindings/fit_call.hpp"

#include <algorithm>
#include <new>
#include <stdexcept>
#include <tuple>
#include <utility>
#include <vector>

namespace deltarule {

namespace {

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
    } catch (const std::bad_alloc&) {
        return py::handle(PyExc_MemoryError)("there is no memory for this fit");
    } catch (const std::invalid_argument& error) {
        return py::handle(PyExc_ValueError)(error.what());
    } catch (const std::exception& error) {
        return py::handle(PyExc_RuntimeError)(error.what());
    }
    return py::none();
}

template <class T> class FitCall final : public AnyFitCall {
  public:
    FitCall(NetworkBinding<T>& network, py::object task, bool may_share)
        : network_(network), task_(std::move(task)), changing_(network, "fit was called"),
          parameters_(network.parameters(take("parameters"))), loss_(read_loss(network.model.kernels(), take("loss"))),
          optimizer_(read_optimizer(network.model, take("optimizer").template cast<py::tuple>())),
          samples_(read_samples(network.model, loss_, take("inputs"), take("targets"), take("sample_weight"))) {
        bind_state(optimizer_, network.model, take("state"), take("carry"));
        read_epochs();
        read_validation();
        const auto cut = take("cut");
        options_.cut = read_cut(cut.template cast<py::tuple>());
        read_threads(may_share);
        read_order(take("order"), samples_.size(), options_);
        read_plateau(take("plateau"), options_);
        if (const py::object scaling = take("inverse_scaling"); !scaling.is_none()) {
            const auto [initial, power, seen] = scaling.cast<std::tuple<double, double, double>>();
            options_.scaling = InverseScaling{initial, power, seen};
        }
        read_average();
        read_place();
        read_functions();
    }

    void begin() override {
        changing_.hand_over();
        ++network_.version;
        take("on_begin")();
    }

    void run(std::function<bool()> interrupted) override {
        options_.interrupted = std::move(interrupted);
        try {
            result_ = fit(network_.model, parameters_.data, optimizer_, loss_, samples_, options_);
        } catch (...) { // no memory, no thread
            result_.end = FitEnd::failed;
            result_.failure = std::current_exception();
        }
    }

    py::tuple result(const std::exception_ptr& raised) const override {
        const auto column = [this](double EpochLog::* of) {
            py::list values(result_.history.size());
            for (std::size_t i = 0; i < result_.history.size(); ++i)
                PyList_SET_ITEM(values.ptr(), static_cast<Py_ssize_t>(i),
                                py::float_(result_.history[i].*of).release().ptr());
            return values;
        };
        return py::make_tuple(
            name_of(result_.end), py::make_tuple(result_.epoch, result_.step, result_.layer, result_.loss),
            column(&EpochLog::loss), options_.validation ? column(&EpochLog::validation_loss) : py::list(),
            column(&EpochLog::learning_rate), column(&EpochLog::seconds),
            options_.score ? column(&EpochLog::score) : py::list(), exception_of(raised ? raised : result_.failure));
    }

  private:
    py::object take(const char* name) const { return task_.attr(name); }

    void read_epochs() {
        options_.epochs = take("epochs").template cast<Index>();
        options_.batch_size = take("batch_size").template cast<Index>();
        require(options_.epochs >= 0 && options_.batch_size >= 1, "epochs=", options_.epochs,
                " must be at least 0 and batch_size=", options_.batch_size, " at least 1");
        const VectorView<std::int64_t> counter =
            writable_vector<std::int64_t>(take("epochs_trained"), "epochs_trained");
        require(counter.size == 1 && counter[0] >= 0, "epochs_trained must be one count");
        options_.epochs_trained = counter.data;
        options_.shuffle = take("shuffle").template cast<bool>();
        options_.seed = take("seed").template cast<std::uint64_t>();
        options_.clipping = {take("clip_norm").template cast<double>(), take("clip_value").template cast<double>()};
        options_.seconds = take("seconds").template cast<double>();
        options_.stops_at_divergence = take("stops_at_divergence").template cast<bool>();
    }

    void read_threads(bool may_share) {
        const auto [asked, available] = take("threads").template cast<std::pair<int, int>>();
        const Index rows = std::min(options_.batch_size, samples_.size());
        const double operations = 3 * operations_per_sample(network_.model, samples_) * static_cast<double>(rows);
        options_.threads =
            may_share ? static_cast<int>(std::min<Index>(choose_threads(asked, available, operations, 1), rows)) : 1;
        options_.threads_were_asked_for = asked > 0;
    }

    void read_validation() {
        const py::object validation = take("validation");
        if (validation.is_none()) return;
        const auto arrays = py::reinterpret_borrow<py::tuple>(validation);
        options_.validation = read_samples(network_.model, loss_, arrays[0], arrays[1], arrays[2]);
        validation_loss_ = read_loss(network_.model.kernels(), py::reinterpret_borrow<py::object>(arrays[3]));
        options_.validation_loss = &validation_loss_;
    }

    // (decay, the average so far, of how many steps)
    void read_average() {
        const py::object average = take("average");
        if (average.is_none()) return;
        const auto parts = py::reinterpret_borrow<py::tuple>(average);
        const VectorView<T> values = network_.parameters(py::reinterpret_borrow<py::object>(parts[1]));
        const VectorView<std::int64_t> steps = writable_vector<std::int64_t>(parts[2], "the steps of the average");
        require(steps.size == 1, "the average needs one count of steps");
        options_.averaging = {parts[0].cast<double>(), values.data, steps.data};
    }

    void read_place() {
        const auto [step, loss_sum, weight_sum] = take("start").template cast<std::tuple<Index, double, double>>();
        options_.start = {step, loss_sum, weight_sum};
        require(step >= 0, "a fit cannot start at step ", step);
        if (const py::object last_finite = take("last_finite"); !last_finite.is_none())
            options_.last_finite = network_.parameters(last_finite);
        require(step == 0 || options_.last_finite.data, "a fit that starts inside an epoch needs last_finite");
        const py::object pause = take("pause");
        if (pause.is_none()) return;
        const auto parts = py::reinterpret_borrow<py::tuple>(pause);
        options_.pause_every = parts[0].cast<Index>();
        require(options_.pause_every >= 1, "pauses must be at least a step apart");
        options_.on_pause = [ask = py::object(parts[1])](Index epoch, const Place& place) {
            const InPython in_python;
            ask(epoch, place.step, place.loss_sum, place.weight_sum);
        };
    }

    void read_functions() {
        if (py::object score = take("score"); !score.is_none())
            options_.score = [score] {
                const InPython in_python;
                return score().template cast<double>();
            };
        if (py::object rates = take("rates"); !rates.is_none())
            options_.rates = [rates](Index epoch, Index step, Index count) {
                const InPython in_python;
                const py::object answer = rates(epoch, step, count);
                const VectorView<const double> values = vector_view<double>(answer, "the learning rates");
                require(values.size == 1 || values.size == count, "the schedule gave ", values.size,
                        " learning rates for ", count, " steps");
                return std::vector<double>(values.begin(), values.end());
            };
        if (py::object next = take("next_piece"); !next.is_none())
            options_.next_piece = [this, next](Index epoch) -> const Samples<T>* {
                const InPython in_python;
                piece_ = next(epoch); // which keeps its arrays alive
                if (piece_.is_none()) return nullptr;
                const auto arrays = py::reinterpret_borrow<py::tuple>(piece_);
                samples_of_piece_ = read_samples(network_.model, loss_, arrays[0], arrays[1], arrays[2]);
                return &samples_of_piece_;
            };
        if (py::object after = take("after_epoch"); !after.is_none())
            options_.after_epoch = [after](Index epoch, const EpochLog& log) {
                const InPython in_python;
                const py::object validation_value =
                    log.has_validation ? py::object(py::float_(log.validation_loss)) : py::object(py::none());
                return after(epoch, log.loss, validation_value, log.learning_rate, log.seconds).template cast<bool>();
            };
    }

    NetworkBinding<T>& network_;
    const py::object task_; // which holds all that is borrowed here
    const typename NetworkBinding<T>::Changing changing_;
    const VectorView<T> parameters_;
    const Loss<T> loss_;
    Optimizer<T> optimizer_;
    const Samples<T> samples_;
    Loss<T> validation_loss_;
    py::object piece_;
    Samples<T> samples_of_piece_;
    FitOptions<T> options_;
    FitResult result_;
};

} // namespace

template <class T> Optimizer<T> read_optimizer(const Model<T>& model, const py::tuple& spec) {
    return Optimizer<T>(find_optimizer(model.kernels(), spec[0].cast<std::string>()),
                        spec[1].cast<std::vector<double>>(), model.rate_factors());
}

template <class T>
void bind_state(Optimizer<T>& optimizer, const Model<T>& model, const py::object& state, const py::object& carry) {
    const VectorView<T> arrays = writable_vector<T>(state, "state");
    const VectorView<double> numbers = writable_vector<double>(carry, "carry");
    require(arrays.size == model.size() * optimizer.slots_in_use() && numbers.size == optimizer_carries,
            "the state of the optimizer has ", arrays.size, " and ", numbers.size, " elements, expected ",
            model.size() * optimizer.slots_in_use(), " and ", optimizer_carries);
    optimizer.bind(arrays.data, model.size(), numbers.data);
}

std::unique_ptr<AnyFitCall> make_fit_call(const py::handle& network, const py::object& task, bool may_share) {
    if (py::isinstance<NetworkBinding<float>>(network))
        return std::make_unique<FitCall<float>>(network.cast<NetworkBinding<float>&>(), task, may_share);
    return std::make_unique<FitCall<double>>(network.cast<NetworkBinding<double>&>(), task, may_share);
}

template Optimizer<float> read_optimizer(const Model<float>&, const py::tuple&);
template Optimizer<double> read_optimizer(const Model<double>&, const py::tuple&);
template void bind_state(Optimizer<float>&, const Model<float>&, const py::object&, const py::object&);
template void bind_state(Optimizer<double>&, const Model<double>&, const py::object&, const py::object&);

} // namespace deltarule
