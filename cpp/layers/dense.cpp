#include "layers/dense.hpp"

#include <algorithm>
#include <string_view>
#include <utility>

namespace deltarule {

template <class T> Dense<T>::Dense(const Kernels<T>& kernels, Index inputs, Index units, bool use_bias,
                                   const ActivationKernel<T>& activation)
    : Layer<T>(inputs, units), kernels_(kernels), activation_(activation), use_bias_(use_bias),
      is_identity_(std::string_view(activation.name) == "identity"), is_softmax_(activation.value == nullptr) {}

template <class T> std::vector<TensorShape> Dense<T>::tensors() const {
    std::vector<TensorShape> shapes{{"weight", this->inputs(), this->outputs(), false, true}};
    if (use_bias_) shapes.push_back({"bias", 1, this->outputs(), true, false});
    return shapes;
}

template <class T>
Multiply<T> Dense<T>::forward_product(const LayerMemory<T>& memory, Index batch_first, Index batch_last) const {
    return {.input = memory.input.data,
            .input_stride = memory.input.rows,
            .weight = memory.tensors[0].data,
            .depth = this->inputs(),
            .bias = use_bias_ ? memory.tensors[1].data : nullptr,
            .output = memory.output.data,
            .output_stride = memory.output.rows,
            .columns = this->outputs(),
            .first_row = batch_first,
            .last_row = batch_last,
            .epilogue = is_identity_ ? nullptr : activation_.value,
            .saved = memory.saved,
            .sparse = memory.sparse};
}

template <class T>
void Dense<T>::softmax_where_asked(const LayerMemory<T>& memory, Index batch_first, Index batch_last) const {
    if (is_softmax_) kernels_.softmax(memory.output.data, memory.output.rows, this->outputs(), batch_first, batch_last);
}

// z = x W + b, a = f(z)
template <class T>
void Dense<T>::forward(const LayerMemory<T>& memory, Index batch_first, Index batch_last, std::uint64_t) const {
    kernels_.multiply(forward_product(memory, batch_first, batch_last));
    softmax_where_asked(memory, batch_first, batch_last);
}

template <class T> bool Dense<T>::describe_small(const LayerMemory<T>& memory, SmallLayer<T>& small) const {
    if (is_softmax_ || memory.sparse || this->inputs() > panel_width<T> || this->outputs() > panel_width<T>)
        return false;
    const Slope<T> own = slope(memory);
    const bool is_kept_transposed = !keeps_transposed();
    small = {.inputs = this->inputs(),
             .units = this->outputs(),
             .is_kept_transposed = is_kept_transposed,
             .weight = memory.tensors[0].data,
             .bias = use_bias_ ? memory.tensors[1].data : nullptr,
             .transposed = is_kept_transposed ? memory.tensors[0].data : memory.transposed.data,
             .input = memory.input.data,
             .output = memory.output.data,
             .saved = memory.saved,
             .delta = memory.delta.data,
             .value = is_identity_ ? nullptr : activation_.value,
             .slope = own.epilogue,
             .slope_saved = own.saved};
    return true;
}

template <class T>
void Dense<T>::forward_panels(const LayerMemory<T>& memory, Index batch_first, Index batch_last, Range panels) const {
    constexpr Index width = panel_width<T>;
    Multiply<T> product = forward_product(memory, batch_first, batch_last);
    product.weight += panels.first * product.depth * width;
    if (product.bias) product.bias += panels.first * width;
    product.output += panels.first * product.output_stride * width;
    if (product.saved) product.saved += panels.first * product.output_stride * width;
    product.columns = std::min(product.columns, panels.last * width) - panels.first * width;
    kernels_.multiply(product);
}

template <class T> Slope<T> Dense<T>::slope(const LayerMemory<T>& memory) const {
    if (is_identity_ || is_softmax_) return {};
    return {activation_.slope, activation_.keeps_input ? memory.saved : memory.output.data};
}

template <class T>
void Dense<T>::output_slope(const LayerMemory<T>& memory, Index batch_first, Index batch_last) const {
    if (is_softmax_)
        return kernels_.softmax_slope(memory.output.data, memory.output.rows, memory.delta.data, memory.delta.rows,
                                      this->outputs(), batch_first, batch_last);
    const Slope<T> own = slope(memory);
    if (!own.epilogue) return;
    for (Index panel = 0; panel < memory.delta.panels(); ++panel) {
        const Index offset = (panel * memory.delta.rows + batch_first) * panel_width<T>;
        own.epilogue(memory.delta.data + offset, own.saved + offset, (batch_last - batch_first) * panel_width<T>);
    }
}

template <class T> Multiply<T> Dense<T>::backward_product(const LayerMemory<T>& memory, Index batch_first,
                                                          Index batch_last, const Slope<T>& below) const {
    return {.input = memory.delta.data,
            .input_stride = memory.delta.rows,
            .weight = memory.transposed.data,
            .depth = this->outputs(),
            .bias = nullptr,
            .output = memory.input_gradient.data,
            .output_stride = memory.input_gradient.rows,
            .columns = this->inputs(),
            .first_row = batch_first,
            .last_row = batch_last,
            .epilogue = below.epilogue,
            .saved = below.saved};
}

// dL/dx = δ Wᵀ
template <class T> void Dense<T>::backward_input(const LayerMemory<T>& memory, Index batch_first, Index batch_last,
                                                 const Slope<T>& below) const {
    kernels_.multiply(backward_product(memory, batch_first, batch_last, below));
}

// About 64 rows by up to 5 panels of the weight, as the kernels take them: enough work to be worth handing out, little
// enough to stay in the cache. The bias goes with the tiles of the first row.
template <class T> std::vector<Tile> Dense<T>::tiles(Index batch) const {
    // A huge batch is work enough for a few rows; they fill panels of the transposed weight, which are written whole.
    const Index row_step = batch <= 16384 ? 64 : panel_width<T>;
    constexpr Index most_panels = 5;
    const Index panels = PanelView<T>{nullptr, 0, this->outputs()}.panels();
    const Index parts = (panels + most_panels - 1) / most_panels;
    std::vector<Tile> tiles;
    for (Index part = 0; part < parts; ++part)
        for (Index row = 0; row < this->inputs(); row += row_step) {
            Tile tile{{row, std::min(row + row_step, this->inputs())}, share(panels, part, parts), {}};
            for (Index p = tile.panels.first; p < tile.panels.last; ++p)
                tile.stretches.push_back({0, p * this->inputs() + row, tile.rows.size()});
            if (use_bias_ && row == 0) tile.stretches.push_back({1, tile.panels.first, tile.panels.size()});
            tiles.push_back(std::move(tile));
        }
    return tiles;
}

// dL/dW = xᵀ δ, dL/db = Σ δ
template <class T> void Dense<T>::backward_weights(const LayerMemory<T>& memory, Range rows, const Tile& tile,
                                                   const TileGradient<T>& gradient, bool accumulate) const {
    const Index first = rows.first * panel_width<T>;
    kernels_.weight_gradient({.input = memory.input.data + first,
                              .input_stride = memory.input.rows,
                              .delta = memory.delta.data + first,
                              .delta_stride = memory.delta.rows,
                              .columns = this->outputs(),
                              .batch = rows.size(),
                              .gradient = gradient.first,
                              .gradient_stride = gradient.stride,
                              .first_row = tile.rows.first,
                              .last_row = tile.rows.last,
                              .first_panel = tile.panels.first,
                              .last_panel = tile.panels.last,
                              .sparse = memory.sparse,
                              .accumulate = accumulate});
    if (tile.rows.first == 0) bias_gradient(memory, rows, tile.panels, gradient.second, accumulate);
}

template <class T> void Dense<T>::bias_gradient(const LayerMemory<T>& memory, Range rows, Range panels, T* gradient,
                                                bool accumulate) const {
    if (!use_bias_) return;
    const T* const delta = memory.delta.data + rows.first * panel_width<T>;
    if (!memory.sums_in_order)
        return kernels_.column_sums(delta, memory.delta.rows, rows.size(), gradient, panels.first, panels.last);
    if (!accumulate) std::fill_n(gradient, panels.size() * panel_width<T>, T{});
    kernels_.add_rows(delta, memory.delta.rows, rows.size(), gradient, panels.first, panels.last);
}

template <class T> void Dense<T>::refresh(const LayerMemory<T>& memory, const Tile& tile) const {
    if (!memory.transposed.data) return;
    kernels_.transpose({.source = memory.tensors[0].data,
                        .source_stride = memory.tensors[0].rows,
                        .target = memory.transposed.data,
                        .target_stride = memory.transposed.rows,
                        .columns = this->outputs(),
                        .first_row = tile.rows.first,
                        .last_row = tile.rows.last,
                        .first_panel = tile.panels.first,
                        .last_panel = tile.panels.last});
}

template class Dense<float>;
template class Dense<double>;

} // namespace deltarule
