#include "layers/narrow_dense.hpp"

#include <algorithm>
#include <utility>

namespace deltarule {

template <class T> std::vector<TensorShape> NarrowDense<T>::tensors() const {
    std::vector<TensorShape> shapes = Dense<T>::tensors();
    shapes[0].is_kept_transposed = true;
    return shapes;
}

template <class T>
void NarrowDense<T>::forward(const LayerMemory<T>& memory, Index batch_first, Index batch_last, std::uint64_t) const {
    this->kernels_.multiply_narrow(this->forward_product(memory, batch_first, batch_last));
    this->softmax_where_asked(memory, batch_first, batch_last);
}

template <class T> void NarrowDense<T>::backward_input(const LayerMemory<T>& memory, Index batch_first,
                                                       Index batch_last, const Slope<T>& below) const {
    Multiply<T> product = this->backward_product(memory, batch_first, batch_last, below);
    product.weight = memory.tensors[0].data; // transposed as it is
    this->kernels_.multiply(product);
}

// Rows of a tile are units, panels are inputs. The bias goes with the first tile.
template <class T> std::vector<Tile> NarrowDense<T>::tiles(Index) const {
    constexpr Index panel_step = 64;
    const Index panels = PanelView<T>{nullptr, 0, this->inputs()}.panels(), units = this->outputs();
    std::vector<Tile> tiles;
    for (Index panel = 0; panel < panels; panel += panel_step) {
        Tile tile{{0, units}, {panel, std::min(panel + panel_step, panels)}, {}};
        for (Index p = tile.panels.first; p < tile.panels.last; ++p) tile.stretches.push_back({0, p * units, units});
        if (this->use_bias_ && panel == 0) tile.stretches.push_back({1, 0, 1});
        tiles.push_back(std::move(tile));
    }
    return tiles;
}

// dL/dWᵀ = δᵀ x
template <class T> void NarrowDense<T>::backward_weights(const LayerMemory<T>& memory, Range rows, const Tile& tile,
                                                         const TileGradient<T>& gradient, bool accumulate) const {
    const Index first = rows.first * panel_width<T>;
    this->kernels_.weight_gradient({.input = memory.delta.data + first,
                                    .input_stride = memory.delta.rows,
                                    .delta = memory.input.data + first,
                                    .delta_stride = memory.input.rows,
                                    .columns = this->inputs(),
                                    .batch = rows.size(),
                                    .gradient = gradient.first,
                                    .gradient_stride = gradient.stride,
                                    .first_row = tile.rows.first,
                                    .last_row = tile.rows.last,
                                    .first_panel = tile.panels.first,
                                    .last_panel = tile.panels.last,
                                    .clears_padding = true,
                                    .sparse = memory.sparse,
                                    .accumulate = accumulate});
    if (tile.panels.first == 0) this->bias_gradient(memory, rows, {0, 1}, gradient.second, accumulate);
}

template class NarrowDense<float>;
template class NarrowDense<double>;

} // namespace deltarule
