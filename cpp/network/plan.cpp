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

} // namespace

template <class T> Plan<T>::Plan(const Model<T>& model, Index batch_size, Purpose purpose,
                                 const std::string& output_activation, bool from_sparse)
    : model_(model), batch_size_(batch_size) {
    const bool training = purpose != Purpose::inference;
    const bool with_input = purpose == Purpose::gradients_with_input;
    const bool is_random = purpose == Purpose::fused_training || purpose == Purpose::training;
    for (const auto& layer : model.layers()) layers_.push_back(layer.get());
    if (!output_activation.empty()) {
        replaced_last_ = model.last_layer_with(output_activation);
        layers_.back() = replaced_last_.get();
    }

    while (layers_[first_with_weights_]->trains_only()) ++first_with_weights_;

    // An odd number of rows from panel to panel: with a power of two, one row of all panels would share a few cache sets.
    const Index stride = batch_size | 1;
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
        memory.input = {nullptr, stride, layer.inputs()};
        memory.output = memory.delta = {nullptr, stride, layer.outputs()};
        memory.input_gradient = memory.input;
        memory.transposed = {nullptr, layer.outputs(), layer.inputs()};
        if (i == 0 && !keeps_sparse()) layout.place(&memory.input.data, stride, layer.inputs());
        if (!layer.trains_only() || (is_random && layer.is_random()))
            layout.place(&memory.output.data, stride, layer.outputs());
        if (!training) continue;
        if (layer.keeps_input() && (is_random || !layer.is_random()))
            layout.place(&memory.saved, stride, layer.outputs());
        if (layer.keeps_of_rows()) layout.place(&memory.of_rows, 1, stride);
        if (!layer.trains_only()) layout.place(&memory.delta.data, stride, layer.outputs());
        if (i <= first_with_weights_ && !with_input) continue;
        if (layer.keeps_transposed()) layout.place(&memory.transposed.data, layer.outputs(), layer.inputs());
        if (i == 0) layout.place(&memory.input_gradient.data, stride, layer.inputs());
    }
    if (training && purpose != Purpose::fused_training) layout.place(&gradients_, model.size() / panel_width<T>, 1);
    workspace_ = layout.make();
    for (std::size_t i = 0; i < layers_.size(); ++i) {
        LayerMemory<T>& memory = memory_[i];
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
        memory_[layer].tensors.push_back({nullptr, tensor.shape.kept_rows(), tensor.shape.kept_columns()});
    }
    for (std::size_t i = 0; training && i < layers_.size(); ++i) {
        for (Tile& tile : layers_[i]->tiles(batch_size)) {
            PlanTile<T> planned{static_cast<Index>(i), std::move(tile), {}, {}, 0};
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
            planned.cost = static_cast<double>(packed);
            if (i == first_with_weights_ &&
                (tiles_.empty() || tiles_.back().tile.panels.first != planned.tile.panels.first))
                tile_columns_.push_back(static_cast<Index>(tiles_.size()));
            tiles_.push_back(std::move(planned));
        }
        if (i == first_with_weights_) tile_columns_.push_back(static_cast<Index>(tiles_.size()));
    }
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
    if (batch_size_ > small_batch) return;
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
    if (threads == 1 || !layers_[first_with_weights_]->can_forward_panels()) return false;
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
        if (middle >= total * (thread + 1) / threads) {
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
    for (std::size_t i = layer; i < end; ++i) layers_[i]->forward(memory_[i], first, last, key);
}

template <class T> void Plan<T>::forward_before_units(Index first, Index last, std::uint64_t key) const {
    forward_through(0, first_with_weights_, first, last, key);
}

template <class T> void Plan<T>::forward_after_units(Index first, Index last, std::uint64_t key) const {
    forward_through(first_with_weights_ + 1, layers_.size(), first, last, key);
}

template <class T> void Plan<T>::backward(Index first, Index last) const {
    layers_.back()->output_slope(memory_.back(), first, last);
    if (is_small() && !memory_.front().input_gradient.data)
        return model_.kernels().small_backward(small_.data(), static_cast<int>(small_.size()), first, last);
    for (std::size_t i = layers_.size(); i-- > 0;)
        if (memory_[i].input_gradient.data)
            layers_[i]->backward_input(memory_[i], first, last,
                                       i > 0 ? layers_[i - 1]->slope(memory_[i - 1]) : Slope<T>{});
}

template <class T> void Plan<T>::gradient(const PlanTile<T>& tile, Index batch, T* packed) const {
    const auto i = static_cast<std::size_t>(tile.layer);
    // The stretches of a tile: one for each panel of its first tensor, then perhaps one of its second.
    const auto panels = static_cast<std::size_t>(tile.tile.panels.size());
    const auto home = [&](std::size_t stretch) -> T* {
        if (stretch >= tile.stretches.size()) return nullptr;
        return packed ? packed + tile.stretches[stretch].packed : gradients_ + tile.stretches[stretch].offset;
    };
    const Index stride = packed ? tile.tile.rows.size() : memory_[i].tensors[0].rows;
    layers_[i]->backward_weights(memory_[i], batch, tile.tile, {home(0), stride, home(panels)});
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
        for (Index panel = 0; panel < output.panels(); ++panel)
            if (!kernels.all_finite(output.panel(panel), batch * panel_width<T>)) return static_cast<Index>(i);
    }
    return -1;
}

template class Plan<float>;
template class Plan<double>;

} // namespace deltarule
