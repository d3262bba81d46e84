// A loss and the samples it is of, from what Python hands over.
#include <algorithm>
#include <atomic>

#include "bindings/network.hpp"

namespace deltarule {

namespace {

LossConvention read_convention(const py::dict& words) {
    LossConvention convention;
    const auto number = [&](const char* name, double& value) {
        if (words.contains(name)) value = words[name].cast<double>();
    };
    number("value_share", convention.value_share);
    number("gradient_share", convention.gradient_share);
    number("least", convention.least);
    number("most", convention.most);
    const auto flag = [&](const char* name) { return words.contains(name) && words[name].cast<bool>(); };
    convention.penalty_in_sum = flag("penalty_in_sum");
    convention.epoch_by_samples = flag("epoch_by_samples");
    return convention;
}

// (starts, columns, values, number of columns) as SciPy's CSR has them
template <class T> void read_sparse(const py::tuple& from, Samples<T>& samples) {
    const VectorView<const std::int64_t> starts = vector_view<std::int64_t>(from[0], "X.indptr");
    const VectorView<const std::int32_t> columns = vector_view<std::int32_t>(from[1], "X.indices");
    const VectorView<const T> values = vector_view<T>(from[2], "X.data");
    const auto width = from[3].cast<Index>();
    require(starts.size >= 1 && starts[0] == 0 && starts[starts.size - 1] == values.size && columns.size == values.size,
            "X is no valid CSR matrix: indptr must go from 0 to the number of values");
    for (Index row = 0; row + 1 < starts.size; ++row)
        require(starts[row] <= starts[row + 1], "X is no valid CSR matrix: indptr falls at row ", row);
    for (Index row = 0; row + 1 < starts.size; ++row)
        for (std::int64_t i = starts[row]; i < starts[row + 1]; ++i)
            require(columns[i] >= 0 && columns[i] < width && (i == starts[row] || columns[i - 1] < columns[i]),
                    "X is no valid CSR matrix: the columns of row ", row, " must ascend from 0 to ", width - 1);
    samples.inputs = {nullptr, starts.size - 1, width};
    samples.sparse = {starts.data, starts.data + 1, columns.data, values.data};
}

// (X of shape (samples, steps, features), lengths or None, first states or None)
template <class T> void read_sequences(const Model<T>& model, const py::tuple& from, Samples<T>& samples) {
    const py::array X = checked<T>(from[0], "X", 3);
    samples.steps = X.shape(1);
    require(samples.steps >= 1, "X has shape ", shape_of(X), ": sequences need at least one step");
    samples.inputs = {static_cast<const T*>(X.data()), multiply(X.shape(0), samples.steps), X.shape(2)};
    if (!from[1].is_none()) {
        const VectorView<const std::int64_t> lengths = vector_view<std::int64_t>(from[1], "lengths");
        require(lengths.size == X.shape(0), "lengths has ", lengths.size, " elements, X has ", X.shape(0), " samples");
        for (const std::int64_t length : lengths)
            require(length >= 1 && length <= samples.steps, "lengths holds ", length, ", X has ", samples.steps,
                    " steps");
        samples.lengths = lengths.data;
    }
    if (from[2].is_none()) return;
    for (const py::handle state : py::reinterpret_borrow<py::list>(from[2]))
        samples.first_state.push_back(state.is_none() ? MatrixView<const T>{} : matrix_view<T>(state, "initial_state"));
    std::size_t next = 0;
    for (const auto& [name, units] : model.state_shapes()) {
        require(next < samples.first_state.size(), "initial_state lacks ", name);
        const MatrixView<const T>& state = samples.first_state[next++];
        require(!state.data || (state.rows == X.shape(0) && state.columns == units), name,
                " of initial_state has shape (", state.rows, ", ", state.columns, "), expected (", X.shape(0), ", ",
                units, ")");
    }
}

} // namespace

template <class T> Loss<T> read_loss(const Kernels<T>& kernels, const py::object& loss) {
    Loss<T> result;
    if (py::isinstance<py::tuple>(loss)) {
        const auto pair = py::reinterpret_borrow<py::tuple>(loss);
        result.kernel = &find_loss(kernels, pair[0].cast<std::string>());
        result.parameter = pair[1].cast<T>();
        if (pair.size() > 2) result.convention = read_convention(pair[2].cast<py::dict>());
        return result;
    }
    // Runs with the lock taken back; its result is copied out, whatever the caller does with it later.
    result.custom = [loss](MatrixView<const T> output, const Batch& batch, MatrixView<T> gradient) {
        const InPython in_python;
        py::array_t<std::int64_t> samples(batch.count);
        for (Index row = 0; row < batch.count; ++row) samples.mutable_data()[row] = batch.sample(row);
        py::array_t<T> copy({output.rows, output.columns});
        std::copy_n(output.data, output.rows * output.columns, copy.mutable_data());
        const py::tuple answer = loss(copy, samples);
        const MatrixView<const T> of_output = matrix_view<T>(answer[1], "the gradient of the loss");
        require(of_output.rows == gradient.rows && of_output.columns == gradient.columns,
                "the gradient of the loss has shape (", of_output.rows, ", ", of_output.columns,
                "), expected that of the output, (", gradient.rows, ", ", gradient.columns, ")");
        std::copy_n(of_output.data, gradient.rows * gradient.columns, gradient.data);
        return answer[0].cast<double>();
    };
    return result;
}

Cut read_cut(const py::tuple& cut) {
    const auto steps = cut[0].cast<Index>();
    require(steps >= 0, "steps=", steps, " at a time must be at least 0");
    return {steps, cut[1].cast<bool>() ? Pieces::truncated : Pieces::of_one_gradient};
}

template <class T> Samples<T> read_inputs(const Model<T>& model, const py::object& inputs) {
    Samples<T> samples;
    const bool is_tuple = py::isinstance<py::tuple>(inputs);
    if (model.takes_sequences())
        read_sequences(model, py::reinterpret_borrow<py::tuple>(inputs), samples);
    else if (is_tuple)
        read_sparse(py::reinterpret_borrow<py::tuple>(inputs), samples);
    else
        samples.inputs = matrix_view<T>(inputs, "X");
    require(samples.inputs.columns == model.inputs(), "X has ", samples.inputs.columns, " features, the network takes ",
            model.inputs());
    return samples;
}

template <class T> Samples<T> read_samples(const Model<T>& model, const Loss<T>& loss, const py::object& inputs,
                                           const py::object& targets, const py::object& weights) {
    Samples<T> samples = read_inputs(model, inputs);
    require(samples.size() >= 1, "X is empty");
    const Index rows = model.gives_sequences() ? samples.inputs.rows : samples.size(); // of the outputs
    if (!weights.is_none()) {
        const VectorView<const T> view = vector_view<T>(weights, "sample_weight");
        require(view.size == rows, "sample_weight has ", view.size, " elements, expected ", rows);
        samples.weights = view.data;
    }
    if (!loss.kernel) return samples;
    if (loss.kernel->takes_labels && py::isinstance<py::array>(targets) &&
        py::reinterpret_borrow<py::array>(targets).ndim() == 1) {
        const VectorView<const std::int32_t> labels = vector_view<std::int32_t>(targets, "y");
        require(labels.size == rows, "y has ", labels.size, " rows, expected ", rows);
        for (const std::int32_t label : labels)
            require(label >= 0 && label < model.outputs(), "y holds the class ", label, ", the network has ",
                    model.outputs(), " outputs");
        samples.labels = labels.data;
        return samples;
    }
    samples.targets = matrix_view<T>(targets, "y");
    require(samples.targets.rows == rows && samples.targets.columns == model.outputs(), "y has shape (",
            samples.targets.rows, ", ", samples.targets.columns, "), expected (", rows, ", ", model.outputs(), ")");
    return samples;
}

namespace {
std::atomic<int> fits_under_way{0};
}

FitUnderWay::FitUnderWay() { ++fits_under_way; }
FitUnderWay::~FitUnderWay() { --fits_under_way; }
void FitUnderWay::forget() { fits_under_way = 0; }

int choose_threads(int asked, int available, double operations, int own_fits) {
    constexpr double worth_another = 1.5e6; // multiply-adds a step, some 15 µs: a hand-over costs more below
    if (asked > 0) return asked;
    if (fits_under_way > own_fits) return 1; // the cores have work
    const double most = 1 + operations / worth_another;
    if (operations < worth_another || available <= 1) return 1;
    return most < available ? static_cast<int>(most) : available;
}

template Loss<float> read_loss(const Kernels<float>&, const py::object&);
template Loss<double> read_loss(const Kernels<double>&, const py::object&);
template Samples<float> read_inputs(const Model<float>&, const py::object&);
template Samples<double> read_inputs(const Model<double>&, const py::object&);
template Samples<float> read_samples(const Model<float>&, const Loss<float>&, const py::object&, const py::object&,
                                     const py::object&);
template Samples<double> read_samples(const Model<double>&, const Loss<double>&, const py::object&, const py::object&,
                                      const py::object&);

} // namespace deltarule
