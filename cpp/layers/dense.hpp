// Dense: output = f(input · weight + bias).
#pragma once

#include "layers/layer.hpp"

namespace deltarule {

template <class T> class Dense : public Layer<T> {
  public:
    // activation: a row of the kernel table; the linear part alone where it is null
    Dense(const Kernels<T>& kernels, Index inputs, Index units, bool use_bias, const ActivationKernel<T>& activation);

    std::vector<TensorShape> tensors() const override;
    bool keeps_input() const override { return activation_.keeps_input; }
    bool keeps_transposed() const override { return true; }
    void forward(const LayerMemory<T>& memory, Index batch_first, Index batch_last, std::uint64_t key) const override;
    bool can_forward_panels() const override { return !is_softmax_; }
    bool takes_sparse() const override { return true; }
    bool describe_small(const LayerMemory<T>& memory, SmallLayer<T>& small) const override;
    void forward_panels(const LayerMemory<T>& memory, Index batch_first, Index batch_last, Range panels) const override;
    Slope<T> slope(const LayerMemory<T>& memory) const override;
    void output_slope(const LayerMemory<T>& memory, Index batch_first, Index batch_last) const override;
    void backward_input(const LayerMemory<T>& memory, Index batch_first, Index batch_last,
                        const Slope<T>& below) const override;
    std::vector<Tile> tiles(Index batch) const override;
    void backward_weights(const LayerMemory<T>& memory, Range rows, const Tile& tile, const TileGradient<T>& gradient,
                          bool accumulate) const override;
    void refresh(const LayerMemory<T>& memory, const Tile& tile) const override;

  protected:
    Multiply<T> forward_product(const LayerMemory<T>& memory, Index batch_first, Index batch_last) const;
    Multiply<T> backward_product(const LayerMemory<T>& memory, Index batch_first, Index batch_last,
                                 const Slope<T>& below) const;
    void softmax_where_asked(const LayerMemory<T>& memory, Index batch_first, Index batch_last) const;
    void bias_gradient(const LayerMemory<T>& memory, Range rows, Range panels, T* gradient, bool accumulate) const;

    const Kernels<T>& kernels_;
    const ActivationKernel<T>& activation_;
    const bool use_bias_, is_identity_, is_softmax_;
};

} // namespace deltarule
