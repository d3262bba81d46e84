#include "layers/batch_norm.hpp"

#include <algorithm>
#include <utility>

namespace deltarule {

namespace {

enum : std::size_t { weight, bias, running_mean, running_var };

// All rows of a batch, which lie in `memory`
template <class T> BatchNormColumns<T> columns(const LayerMemory<T>& memory, Index batch, Range panels) {
    return {.input = memory.input.data,
            .delta = memory.delta.data,
            .normalized = memory.saved,
            .stride = memory.output.rows,
            .rows = batch,
            .columns = memory.output.columns,
            .first_panel = panels.first,
            .last_panel = panels.last,
            .measured = memory.arrays[0].data};
}

template <class T> T* measured(const LayerMemory<T>& memory, BatchNormMeasure what, Index panel = 0) {
    return memory.arrays[0].panel(panel) + what * panel_width<T>;
}

} // namespace

template <class T> std::vector<TensorShape> BatchNorm<T>::tensors() const {
    const auto vector = [this](const char* name, double start, bool trained) {
        return TensorShape{.name = name,
                           .rows = 1,
                           .columns = this->inputs(),
                           .is_vector = true,
                           .penalized = false,
                           .start = start,
                           .trained = trained};
    };
    return {vector("weight", 1, true), vector("bias", 0, true), vector("running_mean", 0, false),
            vector("running_var", 1, false)};
}

template <class T> std::vector<ArrayShape> BatchNorm<T>::arrays(bool training, bool, bool) const {
    if (!training) return {};
    return {{.rows = ArrayShape::as_given, .columns = this->inputs(), .given = batch_norm_measures}};
}

template <class T> double BatchNorm<T>::operations() const { return 12 * static_cast<double>(this->inputs()); }

template <class T> void BatchNorm<T>::measure(const LayerMemory<T>& memory, Index batch, Range panels) const {
    kernels_.batch_norm_measure(columns(memory, batch, panels));
}

template <class T> void BatchNorm<T>::measure_back(const LayerMemory<T>& memory, Index batch, Range panels) const {
    kernels_.batch_norm_measure_back(columns(memory, batch, panels));
}

template <class T> void BatchNorm<T>::keep_measured(const LayerMemory<T>& memory, Index batch, Range panels) const {
    kernels_.batch_norm_keep(columns(memory, batch, panels), memory.tensors[running_mean].data,
                             memory.tensors[running_var].data, momentum_);
}

template <class T>
BatchNormRows<T> BatchNorm<T>::rows(const LayerMemory<T>& memory, Index batch_first, Index batch_last) const {
    const bool own = memory.measures_batch;
    const auto of_batch = [&](BatchNormMeasure what) { return own ? measured(memory, what) : nullptr; };
    return {.input = memory.input.data,
            .output = memory.output.data,
            .normalized = memory.saved,
            .delta = memory.delta.data,
            .input_gradient = memory.input_gradient.data,
            .stride = memory.output.rows,
            .columns = this->inputs(),
            .first_row = batch_first,
            .last_row = batch_last,
            .mean = own ? of_batch(batch_norm_mean) : memory.tensors[running_mean].data,
            .mean_rest = of_batch(batch_norm_mean_rest),
            .variance = own ? of_batch(batch_norm_variance) : memory.tensors[running_var].data,
            .mean_delta = of_batch(batch_norm_mean_delta),
            .mean_product = of_batch(batch_norm_mean_product),
            .statistics_stride = (own ? batch_norm_measures : 1) * panel_width<T>,
            .weight = memory.tensors[weight].data,
            .bias = memory.tensors[bias].data,
            .eps = eps_};
}

template <class T>
void BatchNorm<T>::forward(const LayerMemory<T>& memory, Index batch_first, Index batch_last, std::uint64_t) const {
    kernels_.batch_norm(rows(memory, batch_first, batch_last));
}

template <class T> void BatchNorm<T>::backward_input(const LayerMemory<T>& memory, Index batch_first, Index batch_last,
                                                     const Slope<T>& below) const {
    kernels_.batch_norm_back(rows(memory, batch_first, batch_last));
    if (!below.epilogue) return;
    const PanelView<T>& to = memory.input_gradient;
    for (Index panel = 0; panel < to.panels(); ++panel) {
        const Index offset = (panel * to.rows + batch_first) * panel_width<T>;
        below.epilogue(to.data + offset, below.saved + offset, (batch_last - batch_first) * panel_width<T>);
    }
}

template <class T> std::vector<Tile> BatchNorm<T>::tiles(Index) const {
    constexpr Index panel_step = 16; // of columns that one thread sums over the batch
    const Index panels = PanelView<T>{nullptr, 0, this->inputs()}.panels();
    std::vector<Tile> tiles;
    for (Index panel = 0; panel < panels; panel += panel_step) {
        Tile tile{{0, 1}, {panel, std::min(panel + panel_step, panels)}, {}};
        for (Index p = tile.panels.first; p < tile.panels.last; ++p) tile.stretches.push_back({weight, p, 1});
        tile.stretches.push_back({bias, tile.panels.first, tile.panels.size()});
        tiles.push_back(std::move(tile));
    }
    return tiles;
}

// dL/dw = Σ dL/dy x̂, dL/db = Σ dL/dy: measured already, where somebody needed them on the way back.
template <class T> void BatchNorm<T>::backward_weights(const LayerMemory<T>& memory, Range rows, const Tile& tile,
                                                       const TileGradient<T>& gradient, bool) const {
    if (!memory.measures_batch || !memory.input_gradient.data) measure_back(memory, rows.last, tile.panels);
    for (Index panel = tile.panels.first; panel < tile.panels.last; ++panel) {
        const Index offset = (panel - tile.panels.first) * panel_width<T>;
        std::copy_n(measured(memory, batch_norm_weight_gradient, panel), panel_width<T>, gradient.first + offset);
        std::copy_n(measured(memory, batch_norm_bias_gradient, panel), panel_width<T>, gradient.second + offset);
    }
}

template class BatchNorm<float>;
template class BatchNorm<double>;

} // namespace deltarule
