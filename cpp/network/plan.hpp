// A model for one batch size: where every activation, delta and gradient of a batch lies in one workspace, and the passes
// over it. Nothing here allocates after the constructor.
//
//   forward:  input ─ layer 0 ─ layer 1 ─ … ─ output
//   backward: delta of each layer from that of the one above; then, tile by tile, the gradients of the tensors
//
// Passes take a range of rows, the gradients a tile: what threads share out among themselves.
#pragma once

#include <array>
#include <memory>
#include <string>
#include <vector>

#include "base/buffer.hpp"
#include "network/model.hpp"

namespace deltarule {

inline constexpr Index small_batch = 8; // rows at most, for the kernels of small networks: with more, tiles are faster

enum class Purpose {
    inference,
    fused_training, // each tile's gradient is used up before the next is computed: there is no array of all of them
    training,
    gradients_in_training, // those of a step, of which no update comes
    gradients_in_training_with_input,
    gradients, // nothing drops out and no batch is measured: those of the network as it predicts
    gradients_with_input
};
inline bool updates(Purpose purpose) { return purpose == Purpose::fused_training || purpose == Purpose::training; }
inline bool is_training(Purpose purpose) {
    return updates(purpose) || purpose == Purpose::gradients_in_training ||
           purpose == Purpose::gradients_in_training_with_input;
}

// How much fits into a plan
struct Capacity {
    Index samples;
    Index steps = 1;        // of sequences, at a time
    bool is_ragged = false; // sequences need not all have the same number of steps
    Index pieces = 1;       // before which states are kept, for those who come back to them

    // Whether what needs another capacity can be done in this one. Steps and pieces say how sequences are cut.
    bool holds(const Capacity& other) const {
        const bool same_cut = steps == other.steps || (pieces == 1 && other.pieces == 1 && steps >= other.steps);
        return samples >= other.samples && same_cut && pieces >= other.pieces && (is_ragged || !other.is_ragged);
    }
};

template <class T> struct PlanTile {
    struct Stretch {
        Index offset, size; // in the flat array
        Index packed;       // in an array of the tile's own
        bool penalized;
    };
    Index layer;
    Tile tile;
    std::vector<Stretch> stretches;
    std::vector<Stretch> updates; // the same joined where they touch: the fewest calls of an optimizer
    std::size_t group = 0;        // of the optimizer
    bool is_frozen = false;       // only its penalty counts
    double cost;                  // multiply-adds for one sample, to share the tiles out evenly
};

template <class T> class Plan {
  public:
    // output_activation replaces that of the last layer, unless it is empty. from_sparse: the input will be sparse rows.
    Plan(const Model<T>& model, const Capacity& capacity, Purpose purpose, const std::string& output_activation = {},
         bool from_sparse = false);
    // Of the workspace that there would be
    static Index bytes(const Model<T>& model, const Capacity& capacity, Purpose purpose);

    void bind(T* parameters); // the flat array to work with from now on

    const Model<T>& model() const { return model_; }
    Index batch_size() const { return capacity_.samples; }
    const Capacity& capacity() const { return capacity_; }
    Index output_rows() const { return memory_.back().output.rows; } // at most
    // Of a network that takes sequences: how those of a batch lie, to be said before every pass. The passes then take samples
    // in place of rows, and work on all rows that these have.
    Sequence& sequence() const { return sequence_; }
    // visit(Range): rows of the output that belong to some samples
    template <class Visit> void for_output_rows(Range samples, const Visit& visit) const {
        for_rows_of(layers_.size(), samples, visit);
    }
    // What the recurrent layers remember, of each sample: what a pass begins with, and after it what it has ended with; in the
    // order of Model::state_shapes
    const std::vector<PanelView<T>>& states() const { return states_; }
    void keep_states(Index piece) const;
    void restore_states(Index piece) const;
    PanelView<T> input() const { return memory_.front().input; } // where it is not sparse
    // A plan from sparse rows whose first layer takes them keeps no panels of its input. Before the passes it is told whose
    // columns and values they are, and then of each row of a batch where it lies.
    bool keeps_sparse() const { return memory_.front().sparse != nullptr; }
    void borrow(const SparseRows<T>& rows) {
        sparse_.columns = rows.columns;
        sparse_.values = rows.values;
    }
    void take_sparse(Index row, std::int64_t begin, std::int64_t end) const {
        sparse_places_[row] = begin;
        sparse_places_[capacity_.samples + row] = end;
    }
    PanelView<T> output() const { return memory_.back().output; }
    PanelView<T> output_gradient() const {
        return memory_.back().delta;
    } // dL/d(output) goes in here; backward turns it into delta
    PanelView<T> input_gradient() const { return memory_.front().input_gradient; }
    T* parameters() const { return parameters_; }
    T* gradients() const { return gradients_; }
    const std::vector<PlanTile<T>>& tiles() const { return tiles_; }
    // A share of the tiles of about equal cost: of the first layer where its units are shared out, and of all others.
    std::array<Range, 2> tiles_of(int thread, int threads) const;

    // key: of the step, for layers that are random in training
    void forward(Index first, Index last, std::uint64_t key = 0) const;
    // Whether threads share out the units of the first layer with weights to train, which `forward_units` computes for them, and not its
    // rows: with many weights a thread would wait for those that another one has just updated. Before it comes
    // forward_before_units, after it forward_after_units, each by rows.
    bool shares_out_units(int threads) const;
    void forward_before_units(Index first, Index last, std::uint64_t key) const;
    void forward_units(int thread, int threads, Index first, Index last) const;
    void forward_after_units(Index first, Index last, std::uint64_t key) const;
    void backward(Index first, Index last) const;

    // Layers that measure the batch in training cut the passes into segments, one more than there are of them: all rows have to
    // come to the end of a segment before any goes on. In between the panels of what they have there are measured, on the
    // way forward at the beginning of every segment but the first; on the way back too, where somebody needs it. All this
    // is in segments.cpp. Frozen layers do not measure.
    bool measures_batch() const { return !measuring_.empty(); }
    Index segments() const { return static_cast<Index>(measuring_.size()) + 1; }
    void forward_segment(Index segment, Index first, Index last, std::uint64_t key) const;
    void backward_segment(Index segment, Index first, Index last) const;
    Index panels_before(Index segment) const; // that are to be measured
    void measure(Index segment, Index batch, Range panels) const;
    bool needs_measure_back(Index segment) const;
    void measure_back(Index segment, Index batch, Range panels) const;
    // With the update of a step. visit(offset, count): a part of the flat array that this thread has changed
    template <class Visit> void keep_measured(Index batch, int thread, int threads, const Visit& visit) const {
        for (const std::size_t i : measuring_) {
            const Range panels = share(memory_[i].input.panels(), thread, threads);
            layers_[i]->keep_measured(memory_[i], batch, panels);
            for (const Tensor& tensor : model_.tensors())
                if (tensor.layer == static_cast<Index>(i) && !tensor.shape.trained)
                    visit(tensor.offset + panels.first * panel_width<T>, panels.size() * panel_width<T>);
        }
    }

    // The tile's part of gradients(), or, where `packed` is given, its stretches one after the other in there; added to what
    // is there, where it is one of several pieces.
    void gradient(const PlanTile<T>& tile, Index batch, T* packed = nullptr, bool accumulate = false) const;
    Index largest_tile() const; // what `packed` must hold
    void refresh(const PlanTile<T>& tile) const;

    // A few rows through layers of one panel: all gradients at once take less than one tile after the other.
    bool is_small() const { return !small_.empty(); }
    void small_gradients(Index batch, T* gradients) const; // as the parameters lie

    // How the gradient flows: asked for before the passes, told after them. Of a layer, at each step and in each direction (or
    // once, for rows): Σ (dL/dz)² of a dense layer, Σ (dL/dh)² of a recurrent one, over samples and units.
    struct Flow {
        std::vector<std::vector<double>> squares; // of each direction and step; empty: a layer without units
        std::vector<Index> samples;               // of each step
        Index units = 0;
        Index dead_units = 0; // that gave 0 throughout
    };
    void record_flow();
    Flow flow(std::size_t layer, Index batch) const;

    // The first layer that has something not finite in its tensors or in the output of the rows before `batch`; -1: none
    Index first_layer_not_finite(Index batch) const;

  private:
    // Of a network that takes sequences, the rows that a layer has of some samples
    template <class Visit> void for_rows_of(std::size_t layer, Range samples, const Visit& visit) const {
        if (model_.is_sequence(layer)) return sequence_.for_rows(samples, visit);
        const Range ended = sequence_.ended(samples);
        if (ended.size() > 0) visit(ended);
    }
    Plan(const Model<T>& model, const Capacity& capacity, Purpose purpose, const std::string& output_activation,
         bool from_sparse, bool only_measures);
    void forward_through(std::size_t layer, std::size_t end, Index first, Index last, std::uint64_t key) const;
    void backward_through(std::size_t end, std::size_t layer, Index first, Index last) const;
    void backward_sequences(Range samples) const;
    Range tile_columns_of(int thread, int threads) const; // of tiles, in the first layer with weights
    void describe_small();

    const Model<T>& model_;
    const Capacity capacity_;
    mutable Sequence sequence_;
    std::vector<PanelView<T>> states_;
    std::vector<T*> kept_states_; // of each, one piece after the other
    Index workspace_size_ = 0;
    std::unique_ptr<Layer<T>> replaced_last_;
    std::vector<const Layer<T>*> layers_;
    std::vector<LayerMemory<T>> memory_;
    std::size_t first_with_weights_ = 0; // that this plan has gradients for
    std::size_t last_back_ = 0;          // the layer at which the way back ends
    std::vector<std::size_t> measuring_; // layers
    std::vector<PlanTile<T>> tiles_;
    std::vector<Index>
        tile_columns_; // the first tile of each column of tiles of that first layer, and the one after the last
    std::vector<SmallLayer<T>> small_;   // empty: some layer, or the batch, is not
    Buffer<std::int64_t> sparse_places_; // of each row of a batch: begin, then end
    SparseRows<T> sparse_;
    Buffer<T> workspace_;
    std::vector<Buffer<double>> gradient_squares_; // of each layer, where the flow is recorded
    T* parameters_ = nullptr;
    T* gradients_ = nullptr;
};

} // namespace deltarule
