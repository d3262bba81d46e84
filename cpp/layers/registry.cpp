#include "layers/registry.hpp"

#include <cstdlib>
#include <limits>

#include "base/require.hpp"
#include "layers/batch_norm.hpp"
#include "layers/dense.hpp"
#include "layers/dropout.hpp"
#include "layers/layer_norm.hpp"
#include "layers/narrow_dense.hpp"
#include "layers/recurrent.hpp"

namespace deltarule {

namespace {

template <class T>
std::unique_ptr<Layer<T>> make_dense(const Kernels<T>& kernels, const LayerSpec& spec, Index inputs) {
    require(spec.units >= 1, "Dense(units=", spec.units, "): units must be at least 1");
    const ActivationKernel<T>& activation = find_activation(kernels, spec.activation);
    if (NarrowDense<T>::suits(inputs, spec.units))
        return std::make_unique<NarrowDense<T>>(kernels, inputs, spec.units, spec.use_bias, activation);
    return std::make_unique<Dense<T>>(kernels, inputs, spec.units, spec.use_bias, activation);
}

template <class T>
std::unique_ptr<Layer<T>> make_dropout(const Kernels<T>& kernels, const LayerSpec& spec, Index inputs) {
    require(spec.rate >= 0 && spec.rate < 1, "Dropout(rate=", spec.rate, "): rate must be at least 0 and less than 1");
    return std::make_unique<Dropout<T>>(kernels, inputs, spec.number, spec.rate);
}

template <class T>
std::unique_ptr<Layer<T>> make_recurrent(const Kernels<T>& kernels, const LayerSpec& spec, Index inputs) {
    require(spec.units >= 1, spec.type, "(units=", spec.units, "): units must be at least 1");
    const std::string name = spec.type == "rnn" ? "rnn_" + spec.activation : spec.type;
    for (int i = 0; i < kernels.cell_count; ++i)
        if (name == kernels.cells[i].name)
            return std::make_unique<Recurrent<T>>(
                kernels, kernels.cells[i], inputs,
                typename Recurrent<T>::Shape{spec.units, spec.return_sequences, spec.bidirectional});
    require(false, "there is no cell \"", name, "\": was the file written by a newer version of deltarule?");
    std::abort(); // not reached
}

template <class T> T checked_eps(const char* layer, double eps) {
    using Limits = std::numeric_limits<T>;
    require(eps >= Limits::min() && eps <= Limits::max(), layer, "(eps=", eps, "): eps must be at least ",
            Limits::min(), " and at most ", Limits::max(), ", as the network's dtype holds it");
    return static_cast<T>(eps);
}

template <class T>
std::unique_ptr<Layer<T>> make_batch_norm(const Kernels<T>& kernels, const LayerSpec& spec, Index inputs) {
    require(spec.momentum >= 0 && spec.momentum <= 1, "BatchNorm(momentum=", spec.momentum,
            "): momentum must be at least 0 and at most 1");
    return std::make_unique<BatchNorm<T>>(kernels, inputs, spec.momentum, checked_eps<T>("BatchNorm", spec.eps));
}

template <class T>
std::unique_ptr<Layer<T>> make_layer_norm(const Kernels<T>& kernels, const LayerSpec& spec, Index inputs) {
    return std::make_unique<LayerNorm<T>>(kernels, inputs, checked_eps<T>("LayerNorm", spec.eps));
}

template <class T> struct Row {
    const char* name;
    std::unique_ptr<Layer<T>> (*make)(const Kernels<T>&, const LayerSpec&, Index inputs);
};
template <class T> constexpr Row<T> rows[] = {
    {"dense", &make_dense<T>},           {"dropout", &make_dropout<T>}, {"layer_norm", &make_layer_norm<T>},
    {"batch_norm", &make_batch_norm<T>}, {"rnn", &make_recurrent<T>},   {"lstm", &make_recurrent<T>},
    {"gru", &make_recurrent<T>},
};

} // namespace

std::vector<std::string> layer_names() {
    std::vector<std::string> names;
    for (const auto& row : rows<float>) names.emplace_back(row.name);
    return names;
}

template <class T>
std::unique_ptr<Layer<T>> make_layer(const Kernels<T>& kernels, const LayerSpec& spec, Index inputs) {
    for (const auto& row : rows<T>)
        if (spec.type == row.name) return row.make(kernels, spec, inputs);
    require(false, "there is no layer of type \"", spec.type,
            "\": was the file written by a newer version of deltarule?");
    std::abort(); // not reached
}

template <class T> const ActivationKernel<T>& find_activation(const Kernels<T>& kernels, const std::string& name) {
    for (int i = 0; i < kernels.activation_count; ++i)
        if (name == kernels.activations[i].name) return kernels.activations[i];
    require(false, "there is no activation \"", name, "\": was the file written by a newer version of deltarule?");
    std::abort(); // not reached
}

template std::unique_ptr<Layer<float>> make_layer(const Kernels<float>&, const LayerSpec&, Index);
template std::unique_ptr<Layer<double>> make_layer(const Kernels<double>&, const LayerSpec&, Index);
template const ActivationKernel<float>& find_activation(const Kernels<float>&, const std::string&);
template const ActivationKernel<double>& find_activation(const Kernels<double>&, const std::string&);

} // namespace deltarule
