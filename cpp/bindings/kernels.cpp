// Instruction sets, the vocabulary, and single kernels on row-major arrays: what the tests compare with the reference.
#include <limits>
#include <string>
#include <vector>

#include "base/cpu.hpp"
#include "base/random.hpp"
#include "bindings/arrays.hpp"
#include "isa/select.hpp"
#include "layers/registry.hpp"
#include "network/initialize.hpp"
#include "training/loss.hpp"
#include "training/optimizer.hpp"

namespace deltarule {

namespace {

template <class T> Index padded(Index size) { return (size + panel_width<T> - 1) / panel_width<T> * panel_width<T>; }

// f(z), or f'(z) where slope is asked for, of a vector
template <class T> py::array_t<T> activation(const std::string& name, const py::object& z, bool slope) {
    const VectorView<const T> from = vector_view<T>(z, "z");
    const ActivationKernel<T>& kernel = find_activation(kernels_of<T>(selected_table()), name);
    require(kernel.value != nullptr, "\"", name, "\" is no elementwise activation");
    const Buffer<T> values(padded<T>(from.size)), saved(padded<T>(from.size));
    for (Index i = 0; i < from.size; ++i) values[i] = from[i];
    kernel.value(values.data(), saved.data(), values.size());
    const Buffer<T> ones(values.size());
    for (Index i = 0; i < values.size(); ++i) ones[i] = 1;
    if (slope) kernel.slope(ones.data(), kernel.keeps_input ? saved.data() : values.data(), values.size());
    py::array_t<T> result(from.size);
    for (Index i = 0; i < from.size; ++i) result.mutable_data()[i] = slope ? ones[i] : values[i];
    return result;
}

// (value of each row, gradient) of a loss; targets are rows, or class indices
template <class T>
py::tuple loss(const std::string& name, double parameter, const py::object& output, const py::object& target) {
    const MatrixView<const T> z = matrix_view<T>(output, "output");
    const Kernels<T>& kernels = kernels_of<T>(selected_table());
    const LossKernel<T>& kernel = find_loss(kernels, name);
    const bool has_labels = kernel.takes_labels && py::reinterpret_borrow<py::array>(target).ndim() == 1;
    PanelView<T> panels{nullptr, z.rows, z.columns};
    const Buffer<T> z_panels(panels.size()), y_panels(panels.size()), delta(panels.size()), scale(z.rows),
        value(z.rows);
    kernels.gather(z.data, z.columns, nullptr, z.rows, z_panels.data(), z.rows, 0);
    if (!has_labels) {
        const MatrixView<const T> y = matrix_view<T>(target, "target");
        require(y.rows == z.rows && y.columns == z.columns, "target and output differ in shape");
        kernels.gather(y.data, y.columns, nullptr, y.rows, y_panels.data(), y.rows, 0);
    }
    if (has_labels) {
        const VectorView<const std::int32_t> labels = vector_view<std::int32_t>(target, "target");
        require(labels.size == z.rows, "target and output differ in length");
        for (const std::int32_t label : labels) require(label >= 0 && label < z.columns, "there is no class ", label);
    }
    for (Index row = 0; row < z.rows; ++row) scale[row] = 1;
    const T of_kernel = static_cast<T>(parameter);
    kernel.rows({.output = z_panels.data(),
                 .output_stride = z.rows,
                 .delta = delta.data(),
                 .delta_stride = z.rows,
                 .target = y_panels.data(),
                 .target_stride = z.rows,
                 .labels = has_labels ? vector_view<std::int32_t>(target, "target").data : nullptr,
                 .row_scale = scale.data(),
                 .row_value = value.data(),
                 .columns = z.columns,
                 .first_row = 0,
                 .last_row = z.rows,
                 .parameters = &of_kernel,
                 .value_share = T{1} / static_cast<T>(z.columns),
                 .gradient_share = T{1} / static_cast<T>(z.columns),
                 .least = -std::numeric_limits<T>::infinity(),
                 .most = std::numeric_limits<T>::infinity()});
    py::array_t<T> values(z.rows), gradient({z.rows, z.columns});
    for (Index row = 0; row < z.rows; ++row) values.mutable_data()[row] = value[row];
    kernels.scatter(delta.data(), z.rows, 0, z.rows, z.columns, gradient.mutable_data());
    return py::make_tuple(values, gradient);
}

// a · b + bias, aᵀ · b: the two products, from and to row-major matrices
template <class T> py::array_t<T> multiply(const py::object& left, const py::object& right, const py::object& bias) {
    const MatrixView<const T> a = matrix_view<T>(left, "left"), b = matrix_view<T>(right, "right");
    require(a.columns == b.rows, "left has ", a.columns, " columns, right ", b.rows, " rows");
    const Kernels<T>& kernels = kernels_of<T>(selected_table());
    const PanelView<T> shape_a{nullptr, a.rows, a.columns}, shape_b{nullptr, b.rows, b.columns},
        shape_c{nullptr, a.rows, b.columns};
    const Buffer<T> a_panels(shape_a.size()), b_panels(shape_b.size()), c_panels(shape_c.size()),
        start(padded<T>(b.columns));
    kernels.gather(a.data, a.columns, nullptr, a.rows, a_panels.data(), a.rows, 0);
    kernels.gather(b.data, b.columns, nullptr, b.rows, b_panels.data(), b.rows, 0);
    if (!bias.is_none()) {
        const VectorView<const T> from = vector_view<T>(bias, "bias");
        require(from.size == b.columns, "bias has ", from.size, " elements, right ", b.columns, " columns");
        for (Index i = 0; i < from.size; ++i) start[i] = from[i];
    }
    kernels.multiply({a_panels.data(), a.rows, b_panels.data(), b.rows, bias.is_none() ? nullptr : start.data(),
                      c_panels.data(), a.rows, b.columns, 0, a.rows, nullptr, nullptr});
    py::array_t<T> result({a.rows, b.columns});
    kernels.scatter(c_panels.data(), a.rows, 0, a.rows, b.columns, result.mutable_data());
    return result;
}

// a · b + bias by the kernel of few columns, which takes b transposed
template <class T>
py::array_t<T> multiply_narrow(const py::object& left, const py::object& right, const py::object& bias) {
    const MatrixView<const T> a = matrix_view<T>(left, "left"), b = matrix_view<T>(right, "right");
    const VectorView<const T> from = vector_view<T>(bias, "bias");
    require(a.columns == b.rows && from.size == b.columns && b.columns >= 1 && b.columns <= narrow_columns, "left is (",
            a.rows, ", ", a.columns, "), right (", b.rows, ", ", b.columns, ") and bias (", from.size, ",)");
    const Kernels<T>& kernels = kernels_of<T>(selected_table());
    const PanelView<T> shape_a{nullptr, a.rows, a.columns}, shape_c{nullptr, a.rows, b.columns};
    const Buffer<T> a_panels(shape_a.size()), c_panels(shape_c.size()), start(panel_width<T>);
    const Buffer<T> turned(PanelView<T>{nullptr, b.columns, b.rows}.size());
    const PanelView<T> b_panels{turned.data(), b.columns, b.rows};
    kernels.gather(a.data, a.columns, nullptr, a.rows, a_panels.data(), a.rows, 0);
    for (Index row = 0; row < b.rows; ++row)
        for (Index column = 0; column < b.columns; ++column) b_panels.at(column, row) = b.row(row)[column];
    for (Index i = 0; i < from.size; ++i) start[i] = from[i];
    kernels.multiply_narrow({a_panels.data(), a.rows, b_panels.data, b.rows, start.data(), c_panels.data(), a.rows,
                             b.columns, 0, a.rows, nullptr, nullptr});
    py::array_t<T> result({a.rows, b.columns});
    kernels.scatter(c_panels.data(), a.rows, 0, a.rows, b.columns, result.mutable_data());
    return result;
}

template <class T> py::array_t<T> multiply_transposed(const py::object& left, const py::object& right) {
    const MatrixView<const T> a = matrix_view<T>(left, "left"), b = matrix_view<T>(right, "right");
    require(a.rows == b.rows, "left has ", a.rows, " rows, right ", b.rows);
    const Kernels<T>& kernels = kernels_of<T>(selected_table());
    const PanelView<T> shape_a{nullptr, a.rows, a.columns}, shape_b{nullptr, b.rows, b.columns},
        shape_c{nullptr, a.columns, b.columns};
    const Buffer<T> a_panels(shape_a.size()), b_panels(shape_b.size()), c_panels(shape_c.size());
    kernels.gather(a.data, a.columns, nullptr, a.rows, a_panels.data(), a.rows, 0);
    kernels.gather(b.data, b.columns, nullptr, b.rows, b_panels.data(), b.rows, 0);
    kernels.weight_gradient({a_panels.data(), a.rows, b_panels.data(), b.rows, b.columns, a.rows, c_panels.data(),
                             a.columns, 0, a.columns, 0, shape_c.panels()});
    py::array_t<T> result({a.columns, b.columns});
    kernels.scatter(c_panels.data(), a.columns, 0, a.columns, b.columns, result.mutable_data());
    return result;
}

template <class T> bool all_finite(const py::array& array) {
    require((array.flags() & py::detail::npy_api::NPY_ARRAY_C_CONTIGUOUS_) != 0, "the array must be C-contiguous");
    const auto* const data = static_cast<const T*>(array.data());
    const Index size = array.size();
    const py::gil_scoped_release release;
    return kernels_of<T>(selected_table()).all_finite(data, size);
}

py::dict vocabulary() {
    const Kernels<float>& kernels = available_tables().front()->float32; // the words are the same in all
    std::vector<std::string> activations, losses, cells;
    py::dict optimizers;
    for (int i = 0; i < kernels.activation_count; ++i) activations.emplace_back(kernels.activations[i].name);
    for (int i = 0; i < kernels.loss_count; ++i) losses.emplace_back(kernels.losses[i].name);
    for (int i = 0; i < kernels.cell_count; ++i) cells.emplace_back(kernels.cells[i].name);
    for (int i = 0; i < kernels.optimizer_count; ++i) {
        const auto& kernel = kernels.optimizers[i];
        optimizers[kernel.name] =
            std::vector<std::string>(kernel.hyperparameters, kernel.hyperparameters + kernel.hyperparameter_count);
    }
    py::dict words;
    words["activations"] = activations;
    words["losses"] = losses;
    words["optimizers"] = optimizers;
    words["layers"] = layer_names();
    words["cells"] = cells;
    words["initializers"] = initializer_names();
    return words;
}

// The seconds are the caller's to take: the operations of so many rounds of multiply-adds
template <class T> double peak(Index repetitions) {
    T result = static_cast<T>(0.25);
    const py::gil_scoped_release release;
    return kernels_of<T>(selected_table()).peak(repetitions, &result);
}

template <class T> void bind_for(py::module_& module, const char* suffix) {
    const auto named = [suffix](const char* name) { return std::string(name) + suffix; };
    module.def(named("activation_").c_str(), &activation<T>, py::arg("name"), py::arg("z"), py::arg("slope"));
    module.def(named("loss_").c_str(), &loss<T>, py::arg("name"), py::arg("parameter"), py::arg("output"),
               py::arg("target"));
    module.def(named("multiply_").c_str(), &multiply<T>, py::arg("left"), py::arg("right"), py::arg("bias"));
    module.def(named("multiply_narrow_").c_str(), &multiply_narrow<T>, py::arg("left"), py::arg("right"),
               py::arg("bias"));
    module.def(named("peak_").c_str(), &peak<T>, py::arg("repetitions"));
    module.def(named("multiply_transposed_").c_str(), &multiply_transposed<T>, py::arg("left"), py::arg("right"));
}

} // namespace

void bind_kernels(py::module_& module) {
    module.def("isa", [] { return std::string(selected_table().name); });
    module.def("isas", [] {
        std::vector<std::string> names;
        for (const KernelTable* table : available_tables()) names.emplace_back(table->name);
        return names;
    });
    module.def("has_same_bits", [](const std::string& name) { return find_table(name).same_bits; }, py::arg("isa"));
    module.def("select_isa", &select_table, py::arg("isa"));
    module.def("vocabulary", &vocabulary);
    module.def(
        "all_finite",
        [](const py::array& array) {
            if (py::isinstance<py::array_t<float>>(array)) return all_finite<float>(array);
            if (py::isinstance<py::array_t<double>>(array)) return all_finite<double>(array);
            throw py::type_error("expected an array of float32 or float64");
        },
        py::arg("array"));
    module.def("philox", &philox, py::arg("counter"), py::arg("seed"));
    module.def(
        "shuffled",
        [](Index size, std::uint64_t seed, std::uint64_t epoch) {
            require(size >= 0, "size=", size, " must be at least 0");
            Buffer<std::int64_t> order(size);
            shuffle(order.view(), Random(seed, Stream::shuffle, epoch, selected_table().philox_blocks), [] {});
            return array_of(std::move(order));
        },
        py::arg("size"), py::arg("seed"), py::arg("epoch"));
    bind_for<float>(module, "float32");
    bind_for<double>(module, "float64");
}

} // namespace deltarule
