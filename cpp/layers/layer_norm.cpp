#include "layers/layer_norm.hpp"

#include <algorithm>
#include <utility>

namespace deltarule {

template <class T> std::vector<TensorShape> LayerNorm<T>::tensors() const {
    return {{.name = "weight", .rows = 1, .columns = this->inputs(), .is_vector = true, .penalized = false, .start = 1},
            {.name = "bias", .rows = 1, .columns = this->inputs(), .is_vector = true, .penalized = false}};
}

template <class T> double LayerNorm<T>::operations() const { return 12 * static_cast<double>(this->inputs()); }

// y = x̂ w + b
template <class T>
void LayerNorm<T>::forward(const LayerMemory<T>& memory, Index batch_first, Index batch_last, std::uint64_t) const {
    kernels_.layer_norm({.input = memory.input.data,
                         .output = memory.output.data,
                         .normalized = memory.saved,
                         .inverse_deviation = memory.of_rows,
                         .weight = memory.tensors[0].data,
                         .bias = memory.tensors[1].data,
                         .stride = memory.output.rows,
                         .columns = this->inputs(),
                         .first_row = batch_first,
                         .last_row = batch_last,
                         .eps = eps_});
}

// dL/dx = (g - mean(g) - x̂ mean(g x̂)) / sqrt(variance + eps), g = dL/dy w
template <class T> void LayerNorm<T>::backward_input(const LayerMemory<T>& memory, Index batch_first, Index batch_last,
                                                     const Slope<T>& below) const {
    const PanelView<T>& to = memory.input_gradient;
    kernels_.layer_norm_back({.delta = memory.delta.data,
                              .normalized = memory.saved,
                              .inverse_deviation = memory.of_rows,
                              .weight = memory.tensors[0].data,
                              .input_gradient = to.data,
                              .stride = memory.delta.rows,
                              .columns = this->inputs(),
                              .first_row = batch_first,
                              .last_row = batch_last});
    if (!below.epilogue) return;
    for (Index panel = 0; panel < to.panels(); ++panel) {
        const Index offset = (panel * to.rows + batch_first) * panel_width<T>;
        below.epilogue(to.data + offset, below.saved + offset, (batch_last - batch_first) * panel_width<T>);
    }
}

template <class T> std::vector<Tile> LayerNorm<T>::tiles(Index) const {
    constexpr Index panel_step = 16; // of columns that one thread sums over the batch
    const Index panels = PanelView<T>{nullptr, 0, this->inputs()}.panels();
    std::vector<Tile> tiles;
    for (Index panel = 0; panel < panels; panel += panel_step) {
        Tile tile{{0, 1}, {panel, std::min(panel + panel_step, panels)}, {}};
        for (Index p = tile.panels.first; p < tile.panels.last; ++p) tile.stretches.push_back({0, p, 1});
        tile.stretches.push_back({1, tile.panels.first, tile.panels.size()});
        tiles.push_back(std::move(tile));
    }
    return tiles;
}

// dL/dw = Σ dL/dy x̂, dL/db = Σ dL/dy
template <class T> void LayerNorm<T>::backward_weights(const LayerMemory<T>& memory, Range rows, const Tile& tile,
                                                       const TileGradient<T>& gradient, bool accumulate) const {
    const Index first = rows.first * panel_width<T>, stride = memory.delta.rows;
    const T* const delta = memory.delta.data + first;
    kernels_.product_sums(delta, memory.saved + first, stride, rows.size(), gradient.first, tile.panels.first,
                          tile.panels.last, accumulate);
    if (!memory.sums_in_order)
        return kernels_.column_sums(delta, stride, rows.size(), gradient.second, tile.panels.first, tile.panels.last);
    if (!accumulate) std::fill_n(gradient.second, tile.panels.size() * panel_width<T>, T{});
    kernels_.add_rows(delta, stride, rows.size(), gradient.second, tile.panels.first, tile.panels.last);
}

template class LayerNorm<float>;
template class LayerNorm<double>;

} // namespace deltarule
