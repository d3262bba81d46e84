#include "network/plan.hpp"

#include <algorithm>
#include <utility>

#include "base/require.hpp"

namespace deltarule {

namespace {

// Lays views one after the other into a workspace that does not exist yet: first everybody says its size, then it is made.
template <class T> class Layout {
  public:
    void place(T** where, Index rows, Index columns) {
        places_.push_back({where, size_});
        const Index panels = (columns - 1) / panel_width<T> + 1;
        size_ += multiply(multiply(panels, rows), panel_width<T>);
        multiply(size_, static_cast<Index>(sizeof(T)));
    }
    Index size() const { return size_; }
    Buffer<T> make() const {
        Buffer<T> workspace(size_);
        for (const Place& place : places_) *place.where = workspace.data() + place.offset;
        return workspace;
    }

  private:
    struct Place {
        T** where;
        Index offset;
    };
    std::vector<Place> places_;
    Index size_ = 0;
};

Index rows_of(const ArrayShape& shape, Index of_samples, Index of_sequences) {
    switch (shape.rows) {
    case ArrayShape::none: return 0;
    case ArrayShape::of_steps:
    case ArrayShape::of_steps_and_start: return of_sequences;
    case ArrayShape::of_samples: return of_samples;
    case ArrayShape::as_given: return shape.given;
    }
    return 0;
}

} // namespace

template <class T> Plan<T>::Plan(const Model<T>& model, const Capacity& capacity, Purpose purpose,
                                 const std::string& output_activation, bool from_sparse)
    : Plan(model, capacity, purpose, output_activation, from_sparse, false) {}

template <class T> Index Plan<T>::bytes(const Model<T>& model, const Capacity& capacity, Purpose purpose) {
    return Plan(model, capacity, purpose, {}, false, true).workspace_size_ * static_cast<Index>(sizeof(T));
}

template <class T> Plan<T>::Plan(const Model<T>& model, const Capacity& capacity, Purpose purpose,
                                 const std::string& output_activation, bool from_sparse, bool only_measures)
    : model_(model), capacity_(capacity) {
    const Index batch_size = capacity.samples;
    const bool training = purpose != Purpose::inference;
    const bool with_input =
        purpose == Purpose::gradients_with_input || purpose == Purpose::gradients_in_training_with_input;
    const bool is_random = is_training(purpose);
    for (const auto& layer : model.layers()) layers_.push_back(layer.get());
    if (!output_activation.empty()) {
        replaced_last_ = model.last_layer_with(output_activation);
        layers_.back() = replaced_last_.get();
    }

    const auto is_frozen = [&](std::size_t layer) { return updates(purpose) && !model.is_trainable(layer); };
    while (layers_[first_with_weights_]->trains_only() || is_frozen(first_with_weights_))
        require(++first_with_weights_ < layers_.size(), "all layers are frozen: there is nothing to train");
    last_back_ = with_input ? 0 : first_with_weights_;

    // An odd number of rows from panel to panel: with a power of two, one row of all panels would share a few cache sets.
    // Beside the rows of the steps there is room for those of the state before the first one.
    const Index stride = batch_size | 1, sequence_stride = multiply(batch_size, capacity.steps + 1) | 1;
    const auto stride_of = [&](std::size_t layer) { return model.is_sequence(layer) ? sequence_stride : stride; };
    Layout<T> layout;
    memory_.resize(layers_.size());
    if (from_sparse && layers_.front()->takes_sparse() && !with_input) {
        sparse_places_ = Buffer<std::int64_t>(2 * batch_size);
        sparse_.begin = sparse_places_.data();
        sparse_.end = sparse_places_.data() + batch_size;
        memory_.front().sparse = &sparse_;
    }
    for (std::size_t i = 0; i < layers_.size(); ++i) {
        const Layer<T>& layer = *layers_[i];
        LayerMemory<T>& memory = memory_[i];
        memory.input = {nullptr, stride_of(i), layer.inputs()};
        memory.output = memory.delta = {nullptr, stride_of(i + 1), layer.outputs()};
        memory.sums_in_order = model.takes_sequences();
        memory.measures_batch = is_training(purpose) && layer.needs_batch() && model.is_trainable(i);
        if (memory.measures_batch) measuring_.push_back(i);
        if (model.is_sequence(i)) memory.sequence = &sequence_;
        memory.input_gradient = memory.input;
        memory.transposed = {nullptr, layer.outputs(), layer.inputs()};
        const bool with_input_gradient = training && (i > first_with_weights_ || with_input);
        for (const ArrayShape& shape : layer.arrays(training, with_input_gradient, capacity.is_ragged))
            memory.arrays.push_back({nullptr, rows_of(shape, stride, sequence_stride), shape.columns});
        for (PanelView<T>& array : memory.arrays)
            if (array.rows > 0) layout.place(&array.data, array.rows, array.columns);
        memory.states.assign(layer.states().size(), {nullptr, stride, 0});
        for (PanelView<T>& state : memory.states) {
            state.columns = model.spec().layers[i].units;
            layout.place(&state.data, state.rows, state.columns);
            states_.push_back(state);
        }
        if (i == 0 && !keeps_sparse()) layout.place(&memory.input.data, memory.input.rows, layer.inputs());
        if (layer.output_array() < 0 && (!layer.trains_only() || (is_random && layer.is_random())))
            layout.place(&memory.output.data, memory.output.rows, layer.outputs());
        if (!training) continue;
        if (layer.keeps_input() && (is_random || !layer.is_random()))
            layout.place(&memory.saved, memory.output.rows, layer.outputs());
        if (layer.keeps_of_rows()) layout.place(&memory.of_rows, 1, memory.output.rows);
        if (!layer.trains_only() && i >= last_back_)
            layout.place(&memory.delta.data, memory.delta.rows, layer.outputs());
        if (!with_input_gradient) continue;
        if (layer.keeps_transposed()) layout.place(&memory.transposed.data, layer.outputs(), layer.inputs());
        if (i == 0) layout.place(&memory.input_gradient.data, memory.input.rows, layer.inputs());
    }
    if (training && purpose != Purpose::fused_training) layout.place(&gradients_, model.size() / panel_width<T>, 1);
    kept_states_.resize(capacity.pieces > 1 ? states_.size() : 0);
    for (std::size_t i = 0; i < kept_states_.size(); ++i)
        layout.place(&kept_states_[i], multiply(stride, capacity.pieces), states_[i].columns);
    workspace_size_ = layout.size();
    if (only_measures) return;
    workspace_ = layout.make();
    std::size_t next_state = 0;
    for (std::size_t i = 0; i < layers_.size(); ++i) {
        LayerMemory<T>& memory = memory_[i];
        if (layers_[i]->output_array() >= 0)
            memory.output.data = memory.arrays[static_cast<std::size_t>(layers_[i]->output_array())].data;
        for (const PanelView<T>& state : memory.states) states_[next_state++] = state;
        if (i > 0) {
            memory.input.data = memory_[i - 1].output.data;
            memory.input_gradient.data = memory_[i - 1].delta.data;
        }
        if (!memory.output.data) memory.output.data = memory.input.data;
        if (!memory.delta.data) memory.delta.data = memory.input_gradient.data;
    }

    std::vector<std::vector<Tensor>> tensors(layers_.size());
    for (const Tensor& tensor : model.tensors()) {
        const auto layer = static_cast<std::size_t>(tensor.layer);
        tensors[layer].push_back(tensor);
        memory_[layer].tensors.push_back({nullptr, tensor.shape.kept_rows(), tensor.shape.template kept_columns<T>()});
    }
    const auto add_tiles = [&](std::size_t i) {
        for (Tile& tile : layers_[i]->tiles(batch_size)) {
            PlanTile<T> planned{static_cast<Index>(i), std::move(tile), {}, {}, model.group_of(i), is_frozen(i), 0};
            Index packed = 0;
            for (const auto& stretch : planned.tile.stretches) {
                const Tensor& tensor = tensors[i][static_cast<std::size_t>(stretch.tensor)];
                const Index size = stretch.size * panel_width<T>;
                planned.stretches.push_back(
                    {tensor.offset + stretch.first * panel_width<T>, size, packed, tensor.shape.penalized});
                packed += size;
                auto& updates = planned.updates;
                if (!updates.empty() && updates.back().offset + updates.back().size == planned.stretches.back().offset)
                    updates.back().size += size;
                else
                    updates.push_back(planned.stretches.back());
            }
            if (!planned.is_frozen)
                planned.cost =
                    static_cast<double>(packed) * static_cast<double>(model.is_sequence(i) ? capacity.steps : 1);
            if (i == first_with_weights_ &&
                (tile_columns_.empty() || tiles_.back().tile.panels.first != planned.tile.panels.first))
                tile_columns_.push_back(static_cast<Index>(tiles_.size()));
            tiles_.push_back(std::move(planned));
        }
        if (i == first_with_weights_) tile_columns_.push_back(static_cast<Index>(tiles_.size()));
    };
    for (std::size_t i = 0; training && i < layers_.size(); ++i)
        if (!is_frozen(i)) add_tiles(i);
    // Of frozen layers only the penalty counts, and what `refresh` keeps in step. Their tiles come last: those of the first
    // layer to train are the first.
    for (std::size_t i = 0; training && i < layers_.size(); ++i)
        if (is_frozen(i)) add_tiles(i);
    describe_small();
}

template <class T> void Plan<T>::bind(T* parameters) {
    parameters_ = parameters;
    std::vector<std::size_t> next(layers_.size());
    for (const Tensor& tensor : model_.tensors()) {
        const auto layer = static_cast<std::size_t>(tensor.layer);
        memory_[layer].tensors[next[layer]++].data = parameters + tensor.offset;
    }
    for (const PlanTile<T>& tile : tiles_) refresh(tile);
    describe_small();
}

template <class T> void Plan<T>::describe_small() {
    small_.clear();
    if (capacity_.samples > small_batch || model_.takes_sequences() || !model_.all_trainable()) return;
    for (std::size_t i = 0; i < layers_.size(); ++i) {
        if (layers_[i]->trains_only() && !memory_[i].saved) continue; // it does nothing here
        small_.emplace_back();
        if (!layers_[i]->describe_small(memory_[i], small_.back())) return small_.clear();
    }
}

template <class T> Range Plan<T>::tile_columns_of(int thread, int threads) const {
    return share(static_cast<Index>(tile_columns_.size()) - 1, thread, threads);
}

template <class T> bool Plan<T>::shares_out_units(int threads) const {
    constexpr Index worth_it =
        128 << 10; // bytes: what a thread reads meanwhile in what the other one wrote takes some 8 µs
    if (threads == 1 || model_.takes_sequences() || measures_batch() ||
        !layers_[first_with_weights_]->can_forward_panels())
        return false;
    const PanelView<T>& weight = memory_[first_with_weights_].tensors[0];
    if (weight.size() * static_cast<Index>(sizeof(T)) < worth_it) return false;
    const double even = static_cast<double>(weight.panels()) / threads;
    for (int thread = 0; thread < threads; ++thread) {
        Index panels = 0;
        const Range columns = tile_columns_of(thread, threads);
        for (Index column = columns.first; column < columns.last; ++column)
            panels +=
                tiles_[static_cast<std::size_t>(tile_columns_[static_cast<std::size_t>(column)])].tile.panels.size();
        if (static_cast<double>(panels) > 1.2 * even) return false; // the others would wait
    }
    return true;
}

template <class T> std::array<Range, 2> Plan<T>::tiles_of(int thread, int threads) const {
    const auto end = static_cast<Index>(tiles_.size());
    Range of_first{};
    Index begin = 0;
    if (shares_out_units(threads)) {
        const Range columns = tile_columns_of(thread, threads);
        of_first = {tile_columns_[static_cast<std::size_t>(columns.first)],
                    tile_columns_[static_cast<std::size_t>(columns.last)]};
        begin = tile_columns_.back();
    }
    double total = 0;
    const auto cost_of = [this](Index tile) { return tiles_[static_cast<std::size_t>(tile)].cost; };
    for (Index tile = begin; tile < end; ++tile) total += cost_of(tile);
    // A tile belongs to the thread in whose part of the total its middle lies.
    Range mine{end, end};
    double before = 0;
    for (Index tile = begin; tile < end; ++tile) {
        const double middle = before + cost_of(tile) / 2;
        before += cost_of(tile);
        if (middle < total * thread / threads) continue;
        if (thread + 1 < threads && middle >= total * (thread + 1) / threads) { // zero cost: the last one takes it
            mine.last = tile;
            break;
        }
        if (mine.first == end) mine.first = tile;
    }
    if (mine.first > mine.last) mine.first = mine.last;
    return {of_first, mine};
}

template <class T> void Plan<T>::forward_units(int thread, int threads, Index first, Index last) const {
    const Range columns = tile_columns_of(thread, threads);
    for (Index column = columns.first; column < columns.last; ++column)
        layers_[first_with_weights_]->forward_panels(
            memory_[first_with_weights_], first, last,
            tiles_[static_cast<std::size_t>(tile_columns_[static_cast<std::size_t>(column)])].tile.panels);
}

template <class T> void Plan<T>::forward(Index first, Index last, std::uint64_t key) const {
    if (!is_small()) return forward_through(0, layers_.size(), first, last, key);
    model_.kernels().small_forward(small_.data(), static_cast<int>(small_.size()), first, last);
}

template <class T>
void Plan<T>::forward_through(std::size_t layer, std::size_t end, Index first, Index last, std::uint64_t key) const {
    for (std::size_t i = layer; i < end; ++i) {
        if (!model_.takes_sequences() || layers_[i]->unrolls())
            layers_[i]->forward(memory_[i], first, last, key);
        else
            for_rows_of(i, {first, last},
                        [&](Range rows) { layers_[i]->forward(memory_[i], rows.first, rows.last, key); });
    }
}

template <class T> void Plan<T>::forward_before_units(Index first, Index last, std::uint64_t key) const {
    forward_through(0, first_with_weights_, first, last, key);
}

template <class T> void Plan<T>::forward_after_units(Index first, Index last, std::uint64_t key) const {
    forward_through(first_with_weights_ + 1, layers_.size(), first, last, key);
}

template <class T> void Plan<T>::backward(Index first, Index last) const {
    if (model_.takes_sequences()) return backward_sequences({first, last});
    layers_.back()->output_slope(memory_.back(), first, last);
    if (is_small() && !memory_.front().input_gradient.data)
        return model_.kernels().small_backward(small_.data(), static_cast<int>(small_.size()), first, last);
    backward_through(layers_.size(), last_back_, first, last);
}

template <class T> void Plan<T>::backward_through(std::size_t end, std::size_t layer, Index first, Index last) const {
    for (std::size_t i = end; i-- > layer;)
        if (memory_[i].input_gradient.data)
            layers_[i]->backward_input(memory_[i], first, last,
                                       i > 0 ? layers_[i - 1]->slope(memory_[i - 1]) : Slope<T>{});
}

template <class T> void Plan<T>::keep_states(Index piece) const {
    for (std::size_t i = 0; i < kept_states_.size(); ++i)
        std::copy_n(states_[i].data, states_[i].size(), kept_states_[i] + piece * states_[i].size());
}

template <class T> void Plan<T>::restore_states(Index piece) const {
    for (std::size_t i = 0; i < kept_states_.size(); ++i)
        std::copy_n(kept_states_[i] + piece * states_[i].size(), states_[i].size(), states_[i].data);
}

template <class T> void Plan<T>::backward_sequences(Range samples) const {
    for_output_rows(samples, [&](Range rows) { layers_.back()->output_slope(memory_.back(), rows.first, rows.last); });
    for (std::size_t i = layers_.size(); i-- > last_back_;) {
        const Layer<T>& layer = *layers_[i];
        const Slope<T> below = i > 0 ? layers_[i - 1]->slope(memory_[i - 1]) : Slope<T>{};
        if (layer.unrolls())
            layer.backward_input(memory_[i], samples.first, samples.last, below);
        else if (memory_[i].input_gradient.data)
            for_rows_of(i, samples,
                        [&](Range rows) { layer.backward_input(memory_[i], rows.first, rows.last, below); });
    }
}

template <class T> void Plan<T>::gradient(const PlanTile<T>& tile, Index batch, T* packed, bool accumulate) const {
    const auto i = static_cast<std::size_t>(tile.layer);
    // The stretches of a tile: one for each panel of its first tensor, then perhaps one of its second.
    const auto panels = static_cast<std::size_t>(tile.tile.panels.size());
    const auto home = [&](std::size_t stretch) -> T* {
        if (stretch >= tile.stretches.size()) return nullptr;
        return packed ? packed + tile.stretches[stretch].packed : gradients_ + tile.stretches[stretch].offset;
    };
    const auto tensor = static_cast<std::size_t>(tile.tile.stretches.front().tensor);
    const Index stride = packed ? tile.tile.rows.size() : memory_[i].tensors[tensor].rows;
    const Range rows = !model_.takes_sequences() ? Range{0, batch}
                       : model_.is_sequence(i)   ? Range{0, sequence_.rows}
                                                 : sequence_.ended({0, sequence_.samples});
    layers_[i]->backward_weights(memory_[i], rows, tile.tile, {home(0), stride, home(panels)}, accumulate);
}

template <class T> Index Plan<T>::largest_tile() const {
    Index largest = 0;
    for (const PlanTile<T>& tile : tiles_)
        largest = std::max(largest, tile.stretches.back().packed + tile.stretches.back().size);
    return largest;
}

template <class T> void Plan<T>::refresh(const PlanTile<T>& tile) const {
    const auto i = static_cast<std::size_t>(tile.layer);
    layers_[i]->refresh(memory_[i], tile.tile);
}

template <class T> void Plan<T>::small_gradients(Index batch, T* gradients) const {
    model_.kernels().small_gradients(small_.data(), static_cast<int>(small_.size()), batch, gradients);
}

template <class T> Index Plan<T>::first_layer_not_finite(Index batch) const {
    const auto& kernels = model_.kernels();
    for (std::size_t i = 0; i < layers_.size(); ++i) {
        for (const PanelView<T>& tensor : memory_[i].tensors)
            if (!kernels.all_finite(tensor.data, tensor.size())) return static_cast<Index>(i);
        const PanelView<T>& output = memory_[i].output;
        const Index rows = model_.is_sequence(i + 1) ? sequence_.rows : batch;
        for (Index panel = 0; panel < output.panels(); ++panel)
            if (!kernels.all_finite(output.panel(panel), rows * panel_width<T>)) return static_cast<Index>(i);
    }
    return -1;
}

template class Plan<float>;
template class Plan<double>;

} // namespace deltarule
