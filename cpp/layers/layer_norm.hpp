// LayerNorm: each row less its mean over the features, divided by their standard deviation; then a weight and a bias for each
// feature. J. L. Ba, J. R. Kiros and G. E. Hinton, arXiv:1607.06450.
#pragma once

#include "layers/layer.hpp"

namespace deltarule {

template <class T> class LayerNorm final : public Layer<T> {
  public:
    LayerNorm(const Kernels<T>& kernels, Index units, T eps) : Layer<T>(units, units), kernels_(kernels), eps_(eps) {}

    std::vector<TensorShape> tensors() const override;
    bool keeps_input() const override { return true; }   // normalized
    bool keeps_of_rows() const override { return true; } // 1 / sqrt(variance + eps)
    bool keeps_transposed() const override { return false; }
    double operations() const override; // in the time that these take
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
    const Kernels<T>& kernels_;
    const T eps_;
};

} // namespace deltarule
