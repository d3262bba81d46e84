// What a recurrent layer has and where it lies, and its weights; the passes are in recurrent_passes.cpp.
#include "layers/recurrent.hpp"

#include <algorithm>
#include <utility>

namespace deltarule {

namespace {

enum Part { // the arrays of a direction
    gates_part,
    hidden_part,
    cell_part,
    hidden_before_part,
    cell_before_part,
    hidden_gradient_part,
    cell_gradient_part,
    transposed_ih_part,
    transposed_hh_part,
    output_gradient_part,
    parts
};

enum TensorOf { weight_ih, weight_hh, bias_ih, bias_hh, tensors_of_direction };

} // namespace

template <class T> std::vector<TensorShape> Recurrent<T>::tensors() const {
    std::vector<TensorShape> shapes;
    const Index columns = cell_.gates * shape_.units;
    for (Index number = 0; number < directions_; ++number) {
        const std::string suffix = number == 1 ? "_reverse" : "";
        TensorShape of_input{"weight_ih" + suffix, this->inputs(), columns, false, true};
        // The sums that input and hidden state share come first in the state's weight, last in the input's.
        of_input.gates = cell_.gates, of_input.rotation = cell_.hidden_block;
        TensorShape of_hidden{"weight_hh" + suffix, shape_.units, columns, false, true};
        of_hidden.gates = cell_.gates, of_hidden.is_recurrent = true;
        TensorShape bias_of_input = of_input, bias_of_hidden = of_hidden;
        bias_of_input.name = "bias_ih" + suffix, bias_of_hidden.name = "bias_hh" + suffix;
        for (TensorShape* bias : {&bias_of_input, &bias_of_hidden})
            bias->rows = 1, bias->is_vector = true, bias->penalized = false;
        for (const TensorShape& shape : {of_input, of_hidden, bias_of_input, bias_of_hidden}) shapes.push_back(shape);
    }
    return shapes;
}

template <class T> std::vector<std::string> Recurrent<T>::states() const {
    std::vector<std::string> names;
    for (Index number = 0; number < directions_; ++number) {
        const std::string suffix = number == 1 ? "_reverse" : "";
        names.push_back("hidden" + suffix);
        if (cell_.keeps_cell) names.push_back("cell" + suffix);
    }
    return names;
}

template <class T>
std::vector<ArrayShape> Recurrent<T>::arrays(bool training, bool with_input_gradient, bool is_ragged) const {
    std::vector<ArrayShape> shapes(static_cast<std::size_t>(directions_ * parts));
    for (Index number = 0; number < directions_; ++number) {
        ArrayShape* const of = shapes.data() + number * parts;
        const ArrayShape state{ArrayShape::of_steps, shape_.units, 0};
        of[gates_part] = {ArrayShape::of_steps, cell_.blocks * panels_ * panel_width<T>, 0};
        of[hidden_part] = {ArrayShape::of_steps_and_start, shape_.units, 0};
        if (cell_.keeps_cell) of[cell_part] = of[hidden_part];
        if (is_ragged) of[hidden_before_part] = state;
        if (is_ragged && cell_.keeps_cell) of[cell_before_part] = state;
        if (!training) continue;
        of[hidden_gradient_part] = {ArrayShape::of_samples, shape_.units, 0};
        if (cell_.keeps_cell) of[cell_gradient_part] = of[hidden_gradient_part];
        of[transposed_hh_part] = {ArrayShape::as_given, shape_.units, gate_columns_};
        if (with_input_gradient) of[transposed_ih_part] = {ArrayShape::as_given, this->inputs(), gate_columns_};
        if (shape_.is_bidirectional && shape_.units % panel_width<T> != 0)
            of[output_gradient_part] = {shape_.gives_sequences ? ArrayShape::of_steps : ArrayShape::of_samples,
                                        shape_.units, 0};
    }
    return shapes;
}

template <class T> Index Recurrent<T>::output_array() const {
    return shape_.gives_sequences && !shape_.is_bidirectional ? hidden_part : -1;
}

template <class T>
typename Recurrent<T>::Direction Recurrent<T>::direction(const LayerMemory<T>& memory, Index number) const {
    const Sequence& sequence = *memory.sequence;
    const auto tensor = [&](Index i) {
        return memory.tensors[static_cast<std::size_t>(number * tensors_of_direction + i)];
    };
    const auto array = [&](Index i) { return memory.arrays[static_cast<std::size_t>(number * parts + i)]; };
    // Beside the rows of the steps lie those of the state before the first: that is behind them, in time's direction.
    const auto row_of = [](PanelView<T> view, Index row) {
        if (view.data) view.data += row * panel_width<T>;
        return view;
    };
    const bool is_reverse = number == 1;
    const Index states = cell_.keeps_cell ? 2 : 1;
    const auto state = [&](Index i) { return memory.states[static_cast<std::size_t>(number * states + i)]; };
    const auto rows_of = [&](Index i) { return row_of(array(i), is_reverse ? sequence.samples : 0); };
    const auto start_of = [&](Index i) { return row_of(array(i), is_reverse ? 0 : sequence.rows); };
    const auto before = [&](Index of, Index own) {
        return sequence.is_ragged ? array(own) : row_of(array(of), is_reverse ? 0 : sequence.samples);
    };
    PanelView<T> output_gradient = array(output_gradient_part);
    if (!output_gradient.data) { // the part of dL/d(output) that is this direction's begins a panel
        output_gradient = memory.delta;
        output_gradient.columns = shape_.units;
        if (output_gradient.data) output_gradient.data += number * panels_ * output_gradient.rows * panel_width<T>;
    }
    return {.number = number,
            .is_reverse = is_reverse,
            .weight_ih = tensor(weight_ih),
            .weight_hh = tensor(weight_hh),
            .bias_ih = tensor(bias_ih),
            .bias_hh = tensor(bias_hh),
            .gates = array(gates_part),
            .hidden = rows_of(hidden_part),
            .cell = rows_of(cell_part),
            .hidden_before = before(hidden_part, hidden_before_part),
            .cell_before = before(cell_part, cell_before_part),
            .start_hidden = start_of(hidden_part),
            .start_cell = start_of(cell_part),
            .hidden_gradient = array(hidden_gradient_part),
            .cell_gradient = array(cell_gradient_part),
            .transposed_ih = array(transposed_ih_part),
            .transposed_hh = array(transposed_hh_part),
            .output_gradient = output_gradient,
            .hidden_state = state(0),
            .cell_state = cell_.keeps_cell ? state(1) : PanelView<T>{}};
}

template <class T> std::vector<Tile> Recurrent<T>::tiles(Index) const {
    constexpr Index row_step = 64, most_panels = 5;
    const Index panels = gate_columns_ / panel_width<T>, steps = (panels + most_panels - 1) / most_panels;
    std::vector<Tile> tiles;
    for (Index number = 0; number < directions_; ++number)
        for (const Index tensor : {weight_ih, weight_hh}) {
            const Index rows = tensor == weight_ih ? this->inputs() : shape_.units;
            const Index first_tensor = number * tensors_of_direction;
            for (Index part = 0; part < steps; ++part)
                for (Index row = 0; row < rows; row += row_step) {
                    Tile tile{{row, std::min(row + row_step, rows)}, share(panels, part, steps), {}};
                    for (Index p = tile.panels.first; p < tile.panels.last; ++p)
                        tile.stretches.push_back({first_tensor + tensor, p * rows + row, tile.rows.size()});
                    if (row == 0)
                        tile.stretches.push_back(
                            {first_tensor + tensor + bias_ih, tile.panels.first, tile.panels.size()});
                    tiles.push_back(std::move(tile));
                }
        }
    return tiles;
}

// dW_ih = Σ xᵀ dz, dW_hh = Σ h₋ᵀ dz, db = Σ dz over all steps
template <class T> void Recurrent<T>::backward_weights(const LayerMemory<T>& memory, Range rows, const Tile& tile,
                                                       const TileGradient<T>& gradient, bool accumulate) const {
    constexpr Index width = panel_width<T>;
    constexpr Index rows_at_a_time = 1024; // the delta is still in the cache for the bias
    const Index tensor = tile.stretches.front().tensor;
    const Direction d = direction(memory, tensor / tensors_of_direction);
    const bool of_input = tensor % tensors_of_direction == weight_ih;
    const PanelView<T> input = of_input ? memory.input : d.hidden_before;
    const T* const delta = d.gates.data + (of_input ? 0 : cell_.hidden_block * panels_ * d.gates.rows * width);
    const bool with_bias = tile.rows.first == 0;
    if (with_bias && !accumulate) std::fill_n(gradient.second, tile.panels.size() * width, T{});
    for (Index first = rows.first; first < rows.last || first == rows.first; first += rows_at_a_time) {
        const Index count = std::min(rows_at_a_time, rows.last - first);
        kernels_.weight_gradient({.input = input.data + first * width,
                                  .input_stride = input.rows,
                                  .delta = delta + first * width,
                                  .delta_stride = d.gates.rows,
                                  .columns = gate_columns_,
                                  .batch = count,
                                  .gradient = gradient.first,
                                  .gradient_stride = gradient.stride,
                                  .first_row = tile.rows.first,
                                  .last_row = tile.rows.last,
                                  .first_panel = tile.panels.first,
                                  .last_panel = tile.panels.last,
                                  .accumulate = accumulate || first > rows.first});
        if (with_bias)
            kernels_.add_rows(delta + first * width, d.gates.rows, count, gradient.second, tile.panels.first,
                              tile.panels.last);
    }
}

template <class T> void Recurrent<T>::refresh(const LayerMemory<T>& memory, const Tile& tile) const {
    const Index tensor = tile.stretches.front().tensor, number = tensor / tensors_of_direction;
    const bool of_input = tensor % tensors_of_direction == weight_ih;
    const PanelView<T> weight = memory.tensors[static_cast<std::size_t>(tensor)];
    const PanelView<T> transposed =
        memory.arrays[static_cast<std::size_t>(number * parts + (of_input ? transposed_ih_part : transposed_hh_part))];
    if (!transposed.data) return;
    kernels_.transpose({.source = weight.data,
                        .source_stride = weight.rows,
                        .target = transposed.data,
                        .target_stride = transposed.rows,
                        .columns = gate_columns_,
                        .first_row = tile.rows.first,
                        .last_row = tile.rows.last,
                        .first_panel = tile.panels.first,
                        .last_panel = tile.panels.last});
}

template class Recurrent<float>;
template class Recurrent<double>;

} // namespace deltarule
