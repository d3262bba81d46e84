// Dense for a few units, fewer than inputs: the weight is kept transposed, which fills the panels that a handful of columns
// would leave almost empty, and the gradient of the input needs no copy of it.
#pragma once

#include "layers/dense.hpp"

namespace deltarule {

template <class T> class NarrowDense final : public Dense<T> {
  public:
    using Dense<T>::Dense;
    static bool suits(Index inputs, Index units) { return units <= narrow_columns && units < inputs; }

    std::vector<TensorShape> tensors() const override;
    bool keeps_transposed() const override { return false; }
    bool can_forward_panels() const override { return false; }
    void forward(const LayerMemory<T>& memory, Index batch_first, Index batch_last, std::uint64_t key) const override;
    void backward_input(const LayerMemory<T>& memory, Index batch_first, Index batch_last,
                        const Slope<T>& below) const override;
    std::vector<Tile> tiles(Index batch) const override;
    void backward_weights(const LayerMemory<T>& memory, Range rows, const Tile& tile, const TileGradient<T>& gradient,
                          bool accumulate) const override;
    void refresh(const LayerMemory<T>&, const Tile&) const override {}
};

} // namespace deltarule
