// Dropout: in training, each number is 0 with probability `rate` and 1 / (1 - rate) times as large otherwise; elsewhere the
// layer is not there. N. Srivastava et al., JMLR 15 (2014) 1929; the masks are those of kernels/dropout.hpp.
#pragma once

#include "layers/layer.hpp"

namespace deltarule {

template <class T> class Dropout final : public Layer<T> {
  public:
    Dropout(const Kernels<T>& kernels, Index units, Index number, double rate)
        : Layer<T>(units, units), kernels_(kernels), number_(number), rate_(rate) {}

    std::vector<TensorShape> tensors() const override { return {}; }
    bool keeps_input() const override { return is_random(); } // not its input, but what it multiplied it by
    bool keeps_transposed() const override { return false; }
    bool trains_only() const override { return true; }
    bool is_random() const override { return rate_ > 0; }
    double operations() const override { return static_cast<double>(this->outputs()); }
    void forward(const LayerMemory<T>& memory, Index batch_first, Index batch_last, std::uint64_t key) const override;
    Slope<T> slope(const LayerMemory<T>& memory) const override;
    void output_slope(const LayerMemory<T>&, Index, Index) const override {} // it is never the last
    void backward_input(const LayerMemory<T>& memory, Index batch_first, Index batch_last,
                        const Slope<T>& below) const override;
    std::vector<Tile> tiles(Index) const override { return {}; }
    void backward_weights(const LayerMemory<T>&, Range, const Tile&, const TileGradient<T>&, bool) const override {}
    void refresh(const LayerMemory<T>&, const Tile&) const override {}

  private:
    const Kernels<T>& kernels_;
    const Index number_; // each layer has masks of its own
    const double rate_;
};

} // namespace deltarule
