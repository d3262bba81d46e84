// What a network is asked without being trained: predictions, losses, gradients.
#include <algorithm>
#include <cmath>
#include <exception>
#include <memory>
#include <optional>
#include <utility>

#include "base/random.hpp"
#include "bindings/network.hpp"
#include "training/evaluate.hpp"

namespace deltarule {

namespace {

// The outputs and, of sequences, the states after the last steps
template <class T> py::tuple predict_outputs(const NetworkBinding<T>& network, const py::object& flat,
                                             const py::object& inputs, const std::string& activation, int asked,
                                             int available) {
    const typename NetworkBinding<T>::Reading reading(network, "predict was called");
    const VectorView<T> parameters = network.parameters(flat);
    const Samples<T> samples = read_inputs(network.model, inputs);
    const Index rows = network.model.gives_sequences() ? samples.inputs.rows : samples.size();
    py::array_t<T> outputs({rows, network.model.outputs()});
    const MatrixView<T> to{outputs.mutable_data(), rows, network.model.outputs()};
    if (samples.lengths) std::fill_n(to.data, to.rows * to.columns, T{}); // steps that do not exist give 0
    py::list states;
    std::vector<MatrixView<T>> to_states;
    for (const auto& [name, units] : network.model.state_shapes()) {
        py::array_t<T> state({samples.size(), units});
        to_states.push_back({state.mutable_data(), samples.size(), units});
        states.append(state);
    }
    Interrupt interrupt;
    Monitor monitor(std::ref(interrupt));
    {
        const py::gil_scoped_release release;
        const int threads = choose_threads(
            asked, available, operations_per_sample(network.model, samples) * static_cast<double>(samples.size()));
        predict(network.model, parameters.data, samples, activation, to, threads, monitor, to_states);
    }
    interrupt.raise_if_set();
    return py::make_tuple(outputs, states);
}

// A few rows that need neither conversion nor complaint, as a loop of a policy or a controller asks for them one after the
// other; None for all else. One plan serves all such calls; the interpreter's lock, which is kept, guards it.
template <class T> py::object predict_small(NetworkBinding<T>& network, const py::object& flat,
                                            const py::object& inputs, const std::string& activation) {
    const Model<T>& model = network.model;
    if (model.takes_sequences() || !is_ready<T>(inputs, 2) || !is_ready<T>(flat, 1)) return py::none();
    const MatrixView<const T> samples = ready_matrix<T>(inputs);
    if (samples.rows < 1 || samples.rows > small_batch || samples.columns != model.inputs() ||
        !is_short(model.operations_per_sample() * static_cast<double>(samples.rows)) ||
        !model.kernels().all_finite(samples.data, samples.rows * samples.columns))
        return py::none();
    const typename NetworkBinding<T>::Reading reading(network, "predict was called");
    const VectorView<T> parameters = network.parameters(flat);
    if (!network.small || network.small_activation != activation) {
        network.small = std::make_unique<Plan<T>>(model, Capacity{small_batch}, Purpose::inference, activation);
        network.small_activation = activation;
    }
    Plan<T>& plan = *network.small;
    if (plan.parameters() != parameters.data) plan.bind(parameters.data);
    py::array_t<T> outputs = new_matrix<T>(samples.rows, model.outputs());
    const FlushDenormals flush;
    const PanelView<T> input = plan.input(), output = plan.output();
    model.kernels().gather(samples.data, samples.columns, nullptr, samples.rows, input.data, input.rows, 0);
    plan.forward(0, samples.rows);
    model.kernels().scatter(output.data, output.rows, 0, samples.rows, output.columns, outputs.mutable_data());
    return outputs;
}

template <class T> double evaluate_loss(const NetworkBinding<T>& network, const py::object& flat,
                                        const py::object& loss_spec, const py::object& X, const py::object& y,
                                        const py::object& weights, int asked, int available) {
    const typename NetworkBinding<T>::Reading reading(network, "evaluate was called");
    const VectorView<T> parameters = network.parameters(flat);
    const Loss<T> loss = read_loss(network.model.kernels(), loss_spec);
    const Samples<T> samples = read_samples(network.model, loss, X, y, weights);
    const int threads = choose_threads(
        asked, available, operations_per_sample(network.model, samples) * static_cast<double>(samples.size()));
    Interrupt interrupt;
    Monitor monitor(std::ref(interrupt));
    std::exception_ptr failure;
    double value = 0;
    {
        const py::gil_scoped_release release;
        Evaluation<T> evaluation(network.model, parameters.data, loss, samples, threads);
        run_team(evaluation.workers(),
                 [&](int thread, Barrier&) { evaluation.run(thread, evaluation.workers(), monitor); });
        failure = evaluation.failure();
        value = evaluation.value();
    }
    interrupt.raise_if_set();
    if (failure) std::rethrow_exception(failure);
    return value;
}

// (seed, epochs trained): the key of the next step of training; None: the network is to be as it predicts
std::optional<std::uint64_t> read_training(const py::object& training) {
    if (training.is_none()) return {};
    const auto [seed, epochs] = training.cast<std::pair<std::uint64_t, std::uint64_t>>();
    return step_key(seed, epochs, 0);
}

template <class T> double loss_and_gradients(const NetworkBinding<T>& network, const py::object& flat,
                                             const py::object& loss_spec, const py::object& X, const py::object& y,
                                             const py::object& weights, const py::object& gradients, int asked,
                                             int available, const py::tuple& cut, const py::object& training) {
    const typename NetworkBinding<T>::Reading reading(network, "loss_and_gradients was called");
    const VectorView<T> parameters = network.parameters(flat), to = network.parameters(gradients);
    const Loss<T> loss = read_loss(network.model.kernels(), loss_spec);
    const Samples<T> samples = read_samples(network.model, loss, X, y, weights);
    Interrupt interrupt;
    Stepper<T> stepper(network.model, parameters.data, nullptr, loss, {}, read_cut(cut));
    const std::optional<std::uint64_t> key = read_training(training);
    if (key) stepper.as_in_training();
    Outcome outcome{};
    {
        const py::gil_scoped_release release;
        const int threads = choose_threads(
            asked, available, operations_per_sample(network.model, samples) * static_cast<double>(samples.size()));
        outcome = stepper.step(samples, threads, std::ref(interrupt), key.value_or(0));
        if (outcome == Outcome::updated) std::copy_n(stepper.gradients(), to.size, to.data);
    }
    interrupt.raise_if_set();
    if (outcome == Outcome::failed) std::rethrow_exception(stepper.take_failure());
    if (outcome == Outcome::diverged) std::fill_n(to.data, to.size, static_cast<T>(NAN));
    return stepper.loss();
}

// (loss, for each layer (squares of each direction and step, samples of each step, units, dead units)); gradients as above
template <class T> py::tuple gradient_flow(const NetworkBinding<T>& network, const py::object& flat,
                                           const py::object& loss_spec, const py::object& X, const py::object& y,
                                           const py::object& weights, const py::object& gradients, int asked,
                                           int available) {
    const typename NetworkBinding<T>::Reading reading(network, "gradient_flow was called");
    const VectorView<T> parameters = network.parameters(flat), to = network.parameters(gradients);
    const Loss<T> loss = read_loss(network.model.kernels(), loss_spec);
    const Samples<T> samples = read_samples(network.model, loss, X, y, weights);
    Interrupt interrupt;
    Stepper<T> stepper(network.model, parameters.data, nullptr, loss, {});
    stepper.record_flow();
    std::vector<typename Plan<T>::Flow> flows;
    Outcome outcome{};
    {
        const py::gil_scoped_release release;
        const int threads = choose_threads(
            asked, available, operations_per_sample(network.model, samples) * static_cast<double>(samples.size()));
        outcome = stepper.step(samples, threads, std::ref(interrupt));
        if (outcome == Outcome::updated) {
            std::copy_n(stepper.gradients(), to.size, to.data);
            for (std::size_t layer = 0; layer < network.model.layers().size(); ++layer)
                flows.push_back(stepper.flow(layer, samples.size()));
        }
    }
    interrupt.raise_if_set();
    if (outcome == Outcome::failed) std::rethrow_exception(stepper.take_failure());
    py::list layers;
    for (const auto& flow : flows)
        layers.append(py::make_tuple(flow.squares, flow.samples, flow.units, flow.dead_units));
    return py::make_tuple(stepper.loss(), layers);
}

// visit(first, count) for all rows, with a look for Ctrl-C in between
template <class T, class Visit>
void in_blocks(const Model<T>& model, Index rows, Monitor& monitor, const Visit& visit) {
    const Index block = rows_at_a_time(model.operations_per_sample(), 256);
    for (Index first = 0; first < rows && !monitor.should_stop(); first += block) {
        const Index count = std::min(block, rows - first);
        visit(first, count);
        monitor.poll(model.operations_per_sample() * static_cast<double>(count));
    }
}

// Those before a segment that are to be measured, one after the other
template <class T, class Measure>
void for_measured(const Plan<T>& plan, Index segment, Index rows, Monitor& monitor, const Measure& measure) {
    for (Index panel = 0; panel < plan.panels_before(segment) && !monitor.should_stop(); ++panel) {
        measure(Range{panel, panel + 1});
        monitor.poll(4 * static_cast<double>(rows * panel_width<T>));
    }
}

// Rows of the user's into the panels of a pass, or back: of sequences those that exist
template <class T> Batch users_rows(const NetworkBinding<T>& network, bool of_output) {
    if (!network.pass_packing) return {nullptr, 0, network.pass_rows};
    return of_output ? network.pass_packing->outputs() : network.pass_packing->inputs();
}

template <class T> void gather_rows(const Kernels<T>& kernels, const Batch& rows, MatrixView<const T> from,
                                    PanelView<T> to, Index first, Index count) {
    kernels.gather(rows.order ? from.data : from.row(first), from.columns, rows.order ? rows.order + first : nullptr,
                   count, to.data, to.rows, first);
}

template <class T> void scatter_rows(const Kernels<T>& kernels, const Batch& rows, PanelView<T> from, MatrixView<T> to,
                                     Index first, Index count) {
    if (!rows.order) return kernels.scatter(from.data, from.rows, first, count, from.columns, to.row(first));
    for (Index row = first; row < first + count; ++row)
        kernels.scatter(from.data, from.rows, row, 1, from.columns, to.row(rows.sample(row)));
}

template <class T> py::array_t<T> forward(NetworkBinding<T>& network, const py::object& flat, const py::object& inputs,
                                          const py::object& training) {
    const typename NetworkBinding<T>::Changing changing(network, "forward was called");
    const Model<T>& model = network.model;
    const VectorView<T> parameters = network.parameters(flat);
    const Samples<T> samples = read_inputs(model, inputs);
    require(samples.size() >= 1, "X is empty");
    const Index rows = model.gives_sequences() ? samples.inputs.rows : samples.size();
    py::array_t<T> outputs({rows, model.outputs()});
    const MatrixView<T> to{outputs.mutable_data(), rows, model.outputs()};
    std::fill_n(to.data, samples.lengths ? rows * to.columns : 0, T{});
    const Capacity needed = step_capacity(samples, samples.size(), {});
    const std::optional<std::uint64_t> key = read_training(training);
    const Purpose purpose = key ? Purpose::gradients_in_training_with_input : Purpose::gradients_with_input;
    Interrupt interrupt;
    {
        const py::gil_scoped_release release;
        const FlushDenormals flush;
        Monitor monitor(std::ref(interrupt));
        network.pass_rows = 0; // until it is complete
        if (!network.pass || network.pass_purpose != purpose || network.pass_learning != network.learning ||
            !network.pass->capacity().holds(needed)) {
            auto plan = std::make_unique<Plan<T>>(model, needed, purpose);
            auto packing = samples.steps > 0 ? std::make_unique<Packing<T>>(*plan) : nullptr;
            network.pass_packing = std::move(packing); // which looks at the plan: gone before its own
            network.pass = std::move(plan);
            network.pass_purpose = purpose;
            network.pass_learning = network.learning;
        }
        const Plan<T>& plan = *network.pass;
        network.pass->bind(parameters.data);
        network.pass_version = network.version;
        if (samples.steps > 0) {
            Sequence& sequence = plan.sequence();
            sequence.go_on = [&monitor](double work) { return monitor.poll(work), !monitor.should_stop(); };
            network.pass_packing->begin(samples, {nullptr, 0, samples.size()});
            network.pass_packing->take(0, true);
            gather_inputs(samples, network.pass_packing->inputs(), plan, 0, sequence.rows);
            plan.forward(0, sequence.samples, key.value_or(0));
            sequence.go_on = {};
            if (!monitor.should_stop())
                scatter_rows(model.kernels(), users_rows(network, true), plan.output(), to, 0,
                             network.pass_packing->output_rows().last);
        } else {
            for (Index segment = 0; segment < plan.segments(); ++segment) {
                if (segment > 0)
                    for_measured(plan, segment, rows, monitor,
                                 [&](Range panels) { plan.measure(segment, rows, panels); });
                in_blocks(model, rows, monitor, [&](Index first, Index count) {
                    if (segment == 0) gather_inputs(samples, {nullptr, 0, samples.size()}, plan, first, first + count);
                    plan.forward_segment(segment, first, first + count, key.value_or(0));
                    if (segment + 1 == plan.segments())
                        scatter_rows(model.kernels(), {}, plan.output(), to, first, count);
                });
            }
        }
        if (!monitor.should_stop()) {
            network.pass_rows = rows;
            network.pass_input_rows = samples.inputs.rows;
        }
    }
    interrupt.raise_if_set();
    return outputs;
}

template <class T>
py::array_t<T> backward(NetworkBinding<T>& network, const py::object& grad_output, const py::object& gradients) {
    const typename NetworkBinding<T>::Changing changing(network, "backward was called");
    const Model<T>& model = network.model;
    require(network.pass_rows > 0,
            "backward was called before forward: call network.forward(X) first, then backward "
            "with the gradient of its output",
            model.takes_sequences() ? "; a network of sequences goes back once for each forward" : "");
    require(network.pass_version == network.version,
            "the parameters have changed since forward: call network.forward(X) again, then backward");
    const MatrixView<const T> from = matrix_view<T>(grad_output, "grad_output");
    require(from.rows == network.pass_rows && from.columns == model.outputs(), "grad_output has shape (", from.rows,
            ", ", from.columns, "), expected that of the output of forward, (", network.pass_rows, ", ",
            model.outputs(), ")");
    const VectorView<T> to = network.parameters(gradients);
    py::array_t<T> input_gradient({network.pass_input_rows, model.inputs()});
    const MatrixView<T> to_input{input_gradient.mutable_data(), network.pass_input_rows, model.inputs()};
    Interrupt interrupt;
    {
        const py::gil_scoped_release release;
        const FlushDenormals flush;
        Monitor monitor(std::ref(interrupt));
        const Plan<T>& plan = *network.pass;
        if (network.pass_packing) {
            network.pass_rows = 0; // what forward has kept is used up
            Sequence& sequence = plan.sequence();
            sequence.go_on = [&monitor](double work) { return monitor.poll(work), !monitor.should_stop(); };
            gather_rows(model.kernels(), users_rows(network, true), from, plan.output_gradient(), 0,
                        network.pass_packing->output_rows().last);
            plan.backward(0, sequence.samples);
            sequence.go_on = {};
            std::fill_n(to_input.data, sequence.is_ragged ? to_input.rows * to_input.columns : 0, T{});
            scatter_rows(model.kernels(), users_rows(network, false), plan.input_gradient(), to_input, 0,
                         sequence.rows);
        } else {
            for (Index segment = plan.segments(); segment-- > 0;) {
                in_blocks(model, from.rows, monitor, [&](Index first, Index count) {
                    if (segment + 1 == plan.segments())
                        gather_rows(model.kernels(), {}, from, plan.output_gradient(), first, count);
                    plan.backward_segment(segment, first, first + count);
                    if (segment == 0) scatter_rows(model.kernels(), {}, plan.input_gradient(), to_input, first, count);
                });
                if (segment > 0)
                    for_measured(plan, segment, from.rows, monitor,
                                 [&](Range panels) { plan.measure_back(segment, from.rows, panels); });
            }
        }
        for (const PlanTile<T>& tile : plan.tiles()) {
            if (monitor.should_stop()) break;
            plan.gradient(tile, from.rows);
            monitor.poll(tile.cost * static_cast<double>(from.rows));
        }
        std::copy_n(plan.gradients(), to.size, to.data);
    }
    interrupt.raise_if_set();
    return input_gradient;
}

// Bytes of the memory for steps of so many samples: workspace and gradients, without parameters and optimizer
template <class T> Index workspace_bytes(const NetworkBinding<T>& network, Index samples, Index steps, bool is_ragged,
                                         const py::tuple& cut, bool clips) {
    Samples<T> of;
    of.steps = network.model.takes_sequences() ? steps : 0;
    const std::int64_t some_lengths = 0;
    if (is_ragged) of.lengths = &some_lengths;
    const Capacity capacity = step_capacity(of, samples, read_cut(cut));
    const double operations = network.model.operations_per_sample(static_cast<double>(capacity.steps));
    const Purpose purpose = step_purpose(operations, capacity, {clips ? 1.0 : 0.0, 0});
    const Index of_steps = multiply(capacity.samples, capacity.steps);
    const Index rows = network.model.gives_sequences() ? of_steps : capacity.samples;
    const Index panels = PanelView<T>{nullptr, 0, network.model.outputs()}.panels() * panel_width<T>;
    const Index of_loss =
        rows * (panels + 3) * static_cast<Index>(sizeof(T)); // targets, and three numbers for each row
    const Index of_packing = multiply(of_steps, static_cast<Index>(sizeof(std::int64_t)));
    return Plan<T>::bytes(network.model, capacity, purpose) + of_loss + of_packing;
}

} // namespace

template <class T> void bind_passes(py::class_<NetworkBinding<T>>& network) {
    network
        .def("predict", &predict_outputs<T>, py::arg("parameters"), py::arg("inputs"), py::arg("activation"),
             py::arg("n_threads"), py::arg("available_threads"))
        .def("predict_small", &predict_small<T>, py::arg("parameters"), py::arg("inputs"), py::arg("activation") = "")
        .def("evaluate", &evaluate_loss<T>, py::arg("parameters"), py::arg("loss"), py::arg("inputs"),
             py::arg("targets"), py::arg("sample_weight"), py::arg("n_threads"), py::arg("available_threads"))
        .def("loss_and_gradients", &loss_and_gradients<T>, py::arg("parameters"), py::arg("loss"), py::arg("inputs"),
             py::arg("targets"), py::arg("sample_weight"), py::arg("gradients"), py::arg("n_threads"),
             py::arg("available_threads"), py::arg("cut") = py::make_tuple(0, false), py::arg("training") = py::none())
        .def("gradient_flow", &gradient_flow<T>, py::arg("parameters"), py::arg("loss"), py::arg("inputs"),
             py::arg("targets"), py::arg("sample_weight"), py::arg("gradients"), py::arg("n_threads"),
             py::arg("available_threads"))
        .def("workspace_bytes", &workspace_bytes<T>, py::arg("samples"), py::arg("steps"), py::arg("is_ragged"),
             py::arg("cut"), py::arg("clips"))
        .def("forward", &forward<T>, py::arg("parameters"), py::arg("inputs"), py::arg("training") = py::none())
        .def("backward", &backward<T>, py::arg("grad_output"), py::arg("gradients"));
}

template void bind_passes(py::class_<NetworkBinding<float>>&);
template void bind_passes(py::class_<NetworkBinding<double>>&);

} // namespace deltarule
