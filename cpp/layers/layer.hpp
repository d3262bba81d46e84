// The contract of a layer: stateless and const, all memory handed in. A layer knows its sizes and its mathematics; who
// owns what, which rows a thread takes and when is the plan's affair (network/plan.hpp).
//
// Backward, a layer is given delta = dL/dz, since whoever made dL/d(output) has already multiplied it by this layer's slope
// while it was in the cache (slope_epilogue); and so it does for the layer below.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "base/view.hpp"
#include "kernels/table.hpp"
#include "layers/sequence.hpp"

namespace deltarule {

// A tensor that a layer learns or measures, as users see it: weight (inputs, units), bias (units).
struct TensorShape {
    std::string name;
    Index rows, columns;
    bool is_vector; // (columns,), not (1, columns)
    bool penalized; // l1 and l2 act on it
    bool is_kept_transposed = false;
    // The columns are those of so many gates, each of which begins a panel; gate 0 is kept behind `rotation` others.
    Index gates = 1, rotation = 0;
    bool is_recurrent = false; // from the units to themselves
    double start = 0;          // of every element of a vector; a matrix is drawn
    bool trained = true;       // by gradients; else measured while others are, and without a gradient

    Index gate_columns() const { return columns / gates; }
    template <class T> Index kept_gate_columns() const {
        return gates == 1 ? columns : PanelView<T>{nullptr, 0, gate_columns()}.panels() * panel_width<T>;
    }
    Index kept_rows() const { return is_kept_transposed ? columns : rows; } // as it lies in memory
    template <class T> Index kept_columns() const { return is_kept_transposed ? rows : gates * kept_gate_columns<T>(); }
};

// An array that a layer asks for beside its input and output.
struct ArrayShape {
    enum Rows { none, of_steps, of_steps_and_start, of_samples, as_given } rows = none;
    Index columns = 0, given = 0;
};

// A part of a layer's tensors: what one thread differentiates and updates at a time. Tiles depend on the shapes alone,
// never on the number of threads.
struct Tile {
    struct Stretch { // contiguous in memory: `size` panel rows (of 64 bytes) from `first` on, counted within the tensor
        Index tensor, first, size;
    };
    Range rows, panels; // of the first tensor
    std::vector<Stretch> stretches;
};

template <class T> struct LayerMemory {
    PanelView<T> input, output;
    T* saved = nullptr;          // beside the output, where the activation keeps its input
    T* of_rows = nullptr;        // one number for each row, from the way forward to the way back
    PanelView<T> delta;          // dL/dz, of the output's shape
    PanelView<T> input_gradient; // dL/d(input), or the delta of the layer below; data is null where nobody needs it
    std::vector<PanelView<T>> tensors;     // in the order of Layer::tensors
    PanelView<T> transposed;               // of the weight, where backward_input needs it
    const SparseRows<T>* sparse = nullptr; // in place of the input, whose data is null then
    std::vector<PanelView<T>> arrays;      // in the order of Layer::arrays; without data where there are none
    std::vector<PanelView<T>> states;      // (samples, units), in the order of Layer::states
    const Sequence* sequence = nullptr;    // of the rows of the input; null: each row is a sample of its own
    bool sums_in_order = false;            // over rows, so that they may come in pieces
    bool measures_batch = false;           // a layer that needs_batch: whether it is given whole ones to measure
    double* gradient_squares = nullptr;    // if asked for: Σ (dL/dh)² of each row, one direction after the other
};

// Where the gradient of one tile goes: into the array of all gradients, or, packed, into a thread's own small memory.
template <class T> struct TileGradient {
    T* first;     // of the tile's part of the first tensor
    Index stride; // rows between its panels
    T* second;    // of its part of the second tensor, if the tile has one
};

// Multiplies dL/d(output) by the slope: values *= f'(saved). Null where there is nothing to do.
template <class T> struct Slope {
    Epilogue<T> epilogue = nullptr;
    T* saved = nullptr; // begins where the output begins
};

template <class T> class Layer {
  public:
    Layer(Index inputs, Index outputs) : inputs_(inputs), outputs_(outputs) {}
    virtual ~Layer() = default;
    Layer(const Layer&) = delete;
    Layer& operator=(const Layer&) = delete;

    Index inputs() const { return inputs_; }
    Index outputs() const { return outputs_; }
    virtual std::vector<TensorShape> tensors() const = 0;
    virtual bool keeps_input() const = 0;                // needs `saved`
    virtual bool keeps_of_rows() const { return false; } // needs `of_rows`
    virtual bool keeps_transposed() const = 0; // needs `transposed`, where the gradient of the input is wanted
    // Whether its input is sequences, whole: then batch_first … batch_last are samples, not rows.
    virtual bool unrolls() const { return false; }
    virtual bool gives_sequences() const { return true; }          // where it unrolls
    virtual std::vector<std::string> states() const { return {}; } // what it remembers from step to step
    virtual std::vector<ArrayShape> arrays(bool /*training*/, bool /*with_input_gradient*/, bool /*is_ragged*/) const {
        return {};
    }
    virtual Index output_array() const { return -1; } // which of them is its output; -1: none
    // key: decides all that is random in this step
    virtual void forward(const LayerMemory<T>& memory, Index batch_first, Index batch_last,
                         std::uint64_t key) const = 0;
    // Whether it is there for training alone: elsewhere it has no memory of its own, and hands on what it is given. Its delta
    // lies where that of the layer below does and is turned into it in place.
    virtual bool trains_only() const { return false; }
    virtual bool is_random() const { return false; } // where it trains
    virtual double operations() const {              // multiply-adds for one sample
        return static_cast<double>(inputs_) * static_cast<double>(outputs_);
    }
    // Whether in training its output depends on all rows of the batch. Then all are given to `measure` between the way forward
    // of the layers below and its own, and their deltas to `measure_back`; panels are of its input. After an update
    // `keep_measured` makes it part of the tensors that are not trained.
    virtual bool needs_batch() const { return false; }
    virtual void measure(const LayerMemory<T>&, Index /*batch*/, Range /*panels*/) const {}
    virtual void measure_back(const LayerMemory<T>&, Index /*batch*/, Range /*panels*/) const {}
    virtual void keep_measured(const LayerMemory<T>&, Index /*batch*/, Range /*panels*/) const {}
    // As forward, for some panels of the output alone, by a layer whose units do not depend on each other. Then threads may
    // share out its units among themselves, not its rows: each reads but the weights that it updates.
    virtual bool can_forward_panels() const { return false; }
    virtual void forward_panels(const LayerMemory<T>&, Index /*batch_first*/, Index /*batch_last*/, Range) const {}
    virtual bool takes_sparse() const { return false; } // as its input
    // A layer that fits into one panel, for the kernels of small networks; false: this one does not.
    virtual bool describe_small(const LayerMemory<T>&, SmallLayer<T>&) const { return false; }
    virtual Slope<T> slope(const LayerMemory<T>& memory) const = 0;
    // dL/d(output) -> delta, in place, for the layer at the end, where nobody above could do it
    virtual void output_slope(const LayerMemory<T>& memory, Index batch_first, Index batch_last) const = 0;
    virtual void backward_input(const LayerMemory<T>& memory, Index batch_first, Index batch_last,
                                const Slope<T>& below) const = 0;
    virtual std::vector<Tile> tiles(Index batch) const = 0;
    // The sum over some rows of the batch, in place of what is in the gradient or added to it
    virtual void backward_weights(const LayerMemory<T>& memory, Range rows, const Tile& tile,
                                  const TileGradient<T>& gradient, bool accumulate) const = 0;
    // After the tensors have changed: what is kept in step with them, such as the transposed weight.
    virtual void refresh(const LayerMemory<T>& memory, const Tile& tile) const = 0;

  private:
    const Index inputs_, outputs_;
};

} // namespace deltarule
