// Recurrent: a cell (kernels/cells.hpp) unrolled over the steps of sequences, in one direction or in both, and backpropagation
// through time: the one loop for every cell. P. Werbos, Proceedings of the IEEE 78 (1990) 1550.
//
//   forward:  z of all steps = x W_ih + b_ih;   then step by step   z += h₋ W_hh + b_hh,   h = cell(z, h₋)
//   backward: step by step   dz = cell'(dh),   dh₋ = dz W_hhᵀ;   then of all steps   dx = dz W_ihᵀ
//   weights:  dW_ih = Σ xᵀ dz,   dW_hh = Σ h₋ᵀ dz   over all steps, each as one product
#pragma once

#include "layers/layer.hpp"

namespace deltarule {

template <class T> class Recurrent final : public Layer<T> {
  public:
    struct Shape {
        Index units;
        bool gives_sequences; // the state at every step, else the one after the last
        bool is_bidirectional;
    };
    Recurrent(const Kernels<T>& kernels, const CellKernel<T>& cell, Index inputs, const Shape& shape)
        : Layer<T>(inputs, shape.units * (shape.is_bidirectional ? 2 : 1)), kernels_(kernels), cell_(cell),
          shape_(shape), directions_(shape.is_bidirectional ? 2 : 1),
          panels_(PanelView<T>{nullptr, 0, shape.units}.panels()),
          gate_columns_(cell.gates * panels_ * panel_width<T>) {}

    std::vector<TensorShape> tensors() const override;
    bool unrolls() const override { return true; }
    bool gives_sequences() const override { return shape_.gives_sequences; }
    std::vector<std::string> states() const override;
    Index output_array() const override;
    std::vector<ArrayShape> arrays(bool training, bool with_input_gradient, bool is_ragged) const override;
    bool keeps_input() const override { return false; }
    bool keeps_transposed() const override { return false; } // but among its arrays
    double operations() const override {
        return static_cast<double>(directions_ * cell_.gates * shape_.units) *
               static_cast<double>(this->inputs() + shape_.units);
    }
    void forward(const LayerMemory<T>& memory, Index first, Index last, std::uint64_t key) const override;
    Slope<T> slope(const LayerMemory<T>&) const override { return {}; }
    void output_slope(const LayerMemory<T>&, Index, Index) const override {}
    void backward_input(const LayerMemory<T>& memory, Index first, Index last, const Slope<T>& below) const override;
    std::vector<Tile> tiles(Index batch) const override;
    void backward_weights(const LayerMemory<T>& memory, Range rows, const Tile& tile, const TileGradient<T>& gradient,
                          bool accumulate) const override;
    void refresh(const LayerMemory<T>& memory, const Tile& tile) const override;

  private:
    // What one direction works on. Rows of `hidden` and `cell` are those of the gates; beside each lies, in `…_before`, the
    // state that the step began with. Where all samples have all steps these are the same memory, a step further on.
    struct Direction {
        Index number;
        bool is_reverse;
        PanelView<T> weight_ih, weight_hh, bias_ih, bias_hh;
        PanelView<T> gates, hidden, cell, hidden_before, cell_before, start_hidden, start_cell;
        PanelView<T> hidden_gradient, cell_gradient, transposed_ih, transposed_hh;
        PanelView<T> output_gradient; // dL/dh of each step (or sample), without data where it is dL/d(output) as it is
        PanelView<T> hidden_state, cell_state;
    };
    Direction direction(const LayerMemory<T>& memory, Index number) const;
    // Some steps at a time, as many as stay in the cache, in time's direction or against it, until it is told to give up
    template <class Visit> void for_groups(const Sequence& sequence, Range of, bool upward, const Visit& visit) const;
    void project(const LayerMemory<T>& memory, const Direction& d, Range of, Range steps) const;
    void keep_before(const Sequence& sequence, const Direction& d, Index step, Range of) const;
    CellRows<T> cell_rows(const Sequence& sequence, const Direction& d, Index step, Range active) const;
    void step_forward(const Sequence& sequence, const Direction& d, Index step, Range of) const;
    void finish(const LayerMemory<T>& memory, const Direction& d, Range of) const;
    void concatenate(const LayerMemory<T>& memory, const Direction& d, Range of) const;
    void split(const LayerMemory<T>& memory, const Direction& d, Range of) const;
    void begin_backward(const LayerMemory<T>& memory, const Direction& d, Index step, Range of) const;
    void step_backward(const LayerMemory<T>& memory, const Direction& d, Index step, Range of) const;

    const Kernels<T>& kernels_;
    const CellKernel<T>& cell_;
    const Shape shape_;
    const Index directions_;
    const Index panels_;       // of the units
    const Index gate_columns_; // of all gates, with padding
};

} // namespace deltarule
