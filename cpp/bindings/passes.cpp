// What a network is asked without being trained: predictions, losses, gradients.
#include <algorithm>
#include <cmath>
#include <exception>
#include <memory>

#include "bindings/network.hpp"
#include "training/evaluate.hpp"

namespace deltarule {

namespace {

template <class T> py::array_t<T> predict_outputs(const NetworkBinding<T>& network, const py::object& flat,
                                                  const py::object& inputs, const std::string& activation, int asked,
                                                  int available) {
    const typename NetworkBinding<T>::Reading reading(network, "predict was called");
    const VectorView<T> parameters = network.parameters(flat);
    const Samples<T> samples = read_inputs(network.model, inputs);
    py::array_t<T> outputs({samples.size(), network.model.outputs()});
    const MatrixView<T> to{outputs.mutable_data(), samples.size(), network.model.outputs()};
    Interrupt interrupt;
    Monitor monitor(std::ref(interrupt));
    {
        const py::gil_scoped_release release;
        const int threads = choose_threads(
            asked, available, operations_per_sample(network.model, samples) * static_cast<double>(samples.size()));
        predict(network.model, parameters.data, samples, activation, to, threads, monitor);
    }
    interrupt.raise_if_set();
    return outputs;
}

// A few rows that need neither conversion nor complaint, as a loop of a policy or a controller asks for them one after the
// other; None for all else. One plan serves all such calls; the interpreter's lock, which is kept, guards it.
template <class T> py::object predict_small(NetworkBinding<T>& network, const py::object& flat,
                                            const py::object& inputs, const std::string& activation) {
    const Model<T>& model = network.model;
    if (!is_ready<T>(inputs, 2) || !is_ready<T>(flat, 1)) return py::none();
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

template <class T> double loss_and_gradients(const NetworkBinding<T>& network, const py::object& flat,
                                             const py::object& loss_spec, const py::object& X, const py::object& y,
                                             const py::object& weights, const py::object& gradients, int asked,
                                             int available) {
    const typename NetworkBinding<T>::Reading reading(network, "loss_and_gradients was called");
    const VectorView<T> parameters = network.parameters(flat), to = network.parameters(gradients);
    const Loss<T> loss = read_loss(network.model.kernels(), loss_spec);
    const Samples<T> samples = read_samples(network.model, loss, X, y, weights);
    Interrupt interrupt;
    Stepper<T> stepper(network.model, parameters.data, nullptr, loss, {});
    Outcome outcome{};
    {
        const py::gil_scoped_release release;
        const int threads = choose_threads(
            asked, available, operations_per_sample(network.model, samples) * static_cast<double>(samples.size()));
        outcome = stepper.step(samples, threads, std::ref(interrupt));
        if (outcome == Outcome::updated) std::copy_n(stepper.gradients(), to.size, to.data);
    }
    interrupt.raise_if_set();
    if (outcome == Outcome::failed) std::rethrow_exception(stepper.take_failure());
    if (outcome == Outcome::diverged) std::fill_n(to.data, to.size, static_cast<T>(NAN));
    return stepper.loss();
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

template <class T>
py::array_t<T> forward(NetworkBinding<T>& network, const py::object& flat, const py::object& inputs) {
    const typename NetworkBinding<T>::Changing changing(network, "forward was called");
    const VectorView<T> parameters = network.parameters(flat);
    const MatrixView<const T> samples = matrix_view<T>(inputs, "X");
    require(samples.rows >= 1 && samples.columns == network.model.inputs(), "X has shape (", samples.rows, ", ",
            samples.columns, "), the network takes ", network.model.inputs(), " features");
    py::array_t<T> outputs({samples.rows, network.model.outputs()});
    T* const to = outputs.mutable_data();
    Interrupt interrupt;
    {
        const py::gil_scoped_release release;
        const FlushDenormals flush;
        Monitor monitor(std::ref(interrupt));
        if (!network.pass || network.pass->batch_size() < samples.rows)
            network.pass =
                std::make_unique<Plan<T>>(network.model, Capacity{samples.rows}, Purpose::gradients_with_input);
        const Plan<T>& plan = *network.pass;
        network.pass->bind(parameters.data);
        network.pass_version = network.version;
        network.pass_rows = 0; // until it is complete
        in_blocks(network.model, samples.rows, monitor, [&](Index first, Index count) {
            network.model.kernels().gather(samples.row(first), samples.columns, nullptr, count, plan.input().data,
                                           plan.input().rows, first);
            plan.forward(first, first + count);
            network.model.kernels().scatter(plan.output().data, plan.output().rows, first, count, plan.output().columns,
                                            to + first * plan.output().columns);
        });
        if (!monitor.should_stop()) network.pass_rows = samples.rows;
    }
    interrupt.raise_if_set();
    return outputs;
}

template <class T>
py::array_t<T> backward(NetworkBinding<T>& network, const py::object& grad_output, const py::object& gradients) {
    const typename NetworkBinding<T>::Changing changing(network, "backward was called");
    require(network.pass_rows > 0, "backward was called before forward: call network.forward(X) first, then backward "
                                   "with the gradient of its output");
    require(network.pass_version == network.version,
            "the parameters have changed since forward: call network.forward(X) again, then backward");
    const MatrixView<const T> from = matrix_view<T>(grad_output, "grad_output");
    require(from.rows == network.pass_rows && from.columns == network.model.outputs(), "grad_output has shape (",
            from.rows, ", ", from.columns, "), expected that of the output of forward, (", network.pass_rows, ", ",
            network.model.outputs(), ")");
    const VectorView<T> to = network.parameters(gradients);
    py::array_t<T> input_gradient({from.rows, network.model.inputs()});
    T* const to_input = input_gradient.mutable_data();
    Interrupt interrupt;
    {
        const py::gil_scoped_release release;
        const FlushDenormals flush;
        Monitor monitor(std::ref(interrupt));
        const Plan<T>& plan = *network.pass;
        in_blocks(network.model, from.rows, monitor, [&](Index first, Index count) {
            network.model.kernels().gather(from.row(first), from.columns, nullptr, count, plan.output_gradient().data,
                                           plan.output_gradient().rows, first);
            plan.backward(first, first + count);
            network.model.kernels().scatter(plan.input_gradient().data, plan.input_gradient().rows, first, count,
                                            network.model.inputs(), to_input + first * network.model.inputs());
        });
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
             py::arg("available_threads"))
        .def("forward", &forward<T>, py::arg("parameters"), py::arg("inputs"))
        .def("backward", &backward<T>, py::arg("grad_output"), py::arg("gradients"));
}

template void bind_passes(py::class_<NetworkBinding<float>>&);
template void bind_passes(py::class_<NetworkBinding<double>>&);

} // namespace deltarule
