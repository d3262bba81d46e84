// BatchNorm: each column less its mean over the batch, divided by its standard deviation there; then a weight and a bias for
// each. Elsewhere than in training mean and variance are those that training has kept. S. Ioffe and C. Szegedy,
// arXiv:1502.03167.
#pragma once

#include "layers/layer.hpp"

namespace deltarule {

template <class T> class BatchNorm final : public Layer<T> {
  public:
    BatchNorm(const Kernels<T>& kernels, Index units, double momentum, T eps)
        : Layer<T>(units, units), kernels_(kernels), momentum_(momentum), eps_(eps) {}

    std::vector<TensorShape> tensors() const override;
    std::vector<ArrayShape> arrays(bool training, bool with_input_gradient, bool is_ragged) const override;
    bool keeps_input() const override { return true; } // normalized
    bool keeps_transposed() const override { return false; }
    double operations() const override; // in the time that these take
    bool needs_batch() const override { return true; }
    void measure(const LayerMemory<T>& memory, Index batch, Range panels) const override;
    void measure_back(const LayerMemory<T>& memory, Index batch, Range panels) const override;
    void keep_measured(const LayerMemory<T>& memory, Index batch, Range panels) const override;
    void forward(const LayerMemory<T>& memory, Index batch_first, Index batch_last, std::uint64_t key) const override;
    Slope<T> slope(const LayerMemory<T>&) const override { return {}; }
    void output_slope(const LayerMemory<T>&, Index, Index) const override {} // it is never the last
    void backward_input(const LayerMemory<T>& memory, Index batch_first, Index batch_last,
                        const Slope<T>& below) const override;
    std::vector<Tile> tiles(Index batch) const override;
    void backward_weights(const LayerMemory<T>& memory, Range rows, const Tile& tile, const TileGradient<T>& gradient,
                          bool accumulate) const override;
    void refresh(const LayerMemory<T>&, const Tile&) const override {}

  private:
    BatchNormRows<T> rows(const LayerMemory<T>& memory, Index batch_first, Index batch_last) const;

    const Kernels<T>& kernels_;
    const double momentum_;
    const T eps_;
};

} // namespace deltarule
