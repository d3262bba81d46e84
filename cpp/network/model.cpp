#include "network/model.hpp"

#include <algorithm>
#include <utility>

#include "base/require.hpp"

namespace deltarule {

template <class T> Model<T>::Model(Spec spec, const KernelTable& table)
    : spec_(std::move(spec)), table_(table), kernels_(kernels_of<T>(table)) {
    require(!spec_.layers.empty(), "a network needs at least one layer");
    require(spec_.inputs >= 1, "a network needs at least one input, got ", spec_.inputs);
    Index inputs = spec_.inputs;
    sequence_layers_ = spec_.layers.size() + 1; // unless one of them ends the sequences
    for (std::size_t i = 0; i < spec_.layers.size(); ++i) {
        const LayerSpec& of = spec_.layers[i];
        layers_.push_back(make_layer<T>(kernels_, of, inputs));
        for (TensorShape& shape : layers_.back()->tensors()) {
            const Index panels = (shape.template kept_columns<T>() - 1) / panel_width<T> + 1;
            const Index size = multiply(multiply(panels, shape.kept_rows()), panel_width<T>);
            multiply(size, static_cast<Index>(sizeof(T)) *
                               1024); // refuses what could never be addressed, gradients and optimizer included
            tensors_.push_back({of.name + "." + shape.name, static_cast<Index>(i), shape, size_, size});
            size_ += size;
            multiply(size_, static_cast<Index>(sizeof(T)) * 1024);
        }
        inputs = layers_.back()->outputs();
        is_random_ = is_random_ || layers_.back()->is_random();
        is_bidirectional_ = is_bidirectional_ || of.bidirectional;
        require(!layers_.back()->unrolls() || is_sequence(i), "layer ", of.name, " (", of.type,
                ") reads sequences, but is given one row for each sample: ",
                takes_sequences() ? "the recurrent layer below it needs return_sequences=True"
                                  : "the network needs input_shape=(n_steps, n_features)");
        require(!layers_.back()->needs_batch() || !takes_sequences(), "layer ", of.name, " (", of.type,
                ") measures the rows of a batch, which is not defined for the steps of sequences: use LayerNorm there");
        if (layers_.back()->unrolls() && !layers_.back()->gives_sequences()) sequence_layers_ = i + 1;
        require(i + 1 == spec_.layers.size() || find_activation(kernels_, of.activation).value, "layer ", of.name,
                ": softmax is for the last layer only; use relu, tanh or another elementwise activation inside the "
                "network");
    }
    group_layers();
    require(spec_.layers.back().type == "dense", "the last layer is of type \"", spec_.layers.back().type,
            "\": end in Dense, whose units are the outputs");
}

template <class T> void Model<T>::group_layers() {
    rate_factors_.clear();
    for (const LayerSpec& of : spec_.layers)
        if (std::find(rate_factors_.begin(), rate_factors_.end(), of.lr_factor) == rate_factors_.end())
            rate_factors_.push_back(of.lr_factor);
}

template <class T> void Model<T>::set_learning(const std::vector<std::pair<bool, double>>& learning) {
    require(learning.size() == spec_.layers.size(), "there are ", spec_.layers.size(), " layers, and something for ",
            learning.size());
    for (std::size_t i = 0; i < learning.size(); ++i) {
        spec_.layers[i].trainable = learning[i].first;
        spec_.layers[i].lr_factor = learning[i].second;
    }
    group_layers();
}

template <class T> bool Model<T>::all_trainable() const {
    return std::all_of(spec_.layers.begin(), spec_.layers.end(), [](const LayerSpec& of) { return of.trainable; });
}

template <class T> std::size_t Model<T>::group_of(std::size_t layer) const {
    const auto place = std::find(rate_factors_.begin(), rate_factors_.end(), spec_.layers[layer].lr_factor);
    return static_cast<std::size_t>(place - rate_factors_.begin());
}

template <class T> double Model<T>::operations_per_sample(double steps) const {
    double sum = 0;
    for (std::size_t i = 0; i < layers_.size(); ++i) sum += layers_[i]->operations() * (is_sequence(i) ? steps : 1.0);
    return sum;
}

template <class T> std::vector<std::pair<std::string, Index>> Model<T>::state_shapes() const {
    std::vector<std::pair<std::string, Index>> shapes;
    for (std::size_t i = 0; i < layers_.size(); ++i)
        for (const std::string& name : layers_[i]->states()) {
            const LayerSpec& of = spec_.layers[i];
            shapes.emplace_back(of.name + "." + name, of.units);
        }
    return shapes;
}

template <class T> std::unique_ptr<Layer<T>> Model<T>::last_layer_with(const std::string& activation) const {
    LayerSpec changed = spec_.layers.back();
    changed.activation = activation;
    return make_layer<T>(kernels_, changed, layers_.back()->inputs());
}

// One element after the other: for those few who look at parameters, not for the training.
template <class T> void Model<T>::read(const Tensor& tensor, const T* flat, T* matrix) const {
    for (Index row = 0; row < tensor.shape.rows; ++row)
        for (Index column = 0; column < tensor.shape.columns; ++column) *matrix++ = flat[place(tensor, row, column)];
}

template <class T> void Model<T>::write(const Tensor& tensor, T* flat, const T* matrix) const {
    for (Index row = 0; row < tensor.shape.rows; ++row)
        for (Index column = 0; column < tensor.shape.columns; ++column) flat[place(tensor, row, column)] = *matrix++;
}

template class Model<float>;
template class Model<double>;

} // namespace deltarule
