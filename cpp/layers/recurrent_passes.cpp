// Forward through the unrolled steps of a recurrent layer, and backpropagation through time.
#include <algorithm>

#include "layers/recurrent.hpp"

namespace deltarule {

namespace {

template <class T> T* row_of(const PanelView<T>& view, Index row) {
    return view.data ? view.data + row * panel_width<T> : nullptr;
}

template <class T>
void copy_rows(const PanelView<T>& from, Index row, const PanelView<T>& to, Index to_row, Index count) {
    if (count <= 0) return;
    for (Index panel = 0; panel < from.panels(); ++panel)
        std::copy_n(from.panel(panel) + row * panel_width<T>, count * panel_width<T>,
                    to.panel(panel) + to_row * panel_width<T>);
}

template <class T> void clear_rows(const PanelView<T>& view, Range rows) {
    for (Index panel = 0; panel < view.panels(); ++panel)
        std::fill_n(view.panel(panel) + rows.first * panel_width<T>, rows.size() * panel_width<T>, T{});
}

// Rows of some columns into others, which need not begin a panel
template <class T> void copy_columns(const PanelView<T>& from, Index from_row, Index from_column,
                                     const PanelView<T>& to, Index to_row, Index to_column, Index columns,
                                     Index count) {
    constexpr Index width = panel_width<T>;
    if (from_column % width == 0 && to_column % width == 0 && columns % width == 0)
        return copy_rows(PanelView<T>{from.panel(from_column / width), from.rows, columns}, from_row,
                         PanelView<T>{to.panel(to_column / width), to.rows, columns}, to_row, count);
    for (Index column = 0; column < columns; ++column)
        for (Index row = 0; row < count; ++row)
            to.at(to_row + row, to_column + column) = from.at(from_row + row, from_column + column);
}

} // namespace

template <class T> template <class Visit>
void Recurrent<T>::for_groups(const Sequence& sequence, Range of, bool upward, const Visit& visit) const {
    constexpr Index cached = 256 << 10; // bytes of gates
    const Index of_step = of.size() * cell_.blocks * panels_ * panel_bytes;
    const Index at_a_time = std::max<Index>(1, cached / std::max<Index>(1, of_step));
    const Index groups = (sequence.steps + at_a_time - 1) / at_a_time;
    for (Index i = 0; i < groups; ++i) {
        const Range steps = share(sequence.steps, upward ? i : groups - 1 - i, groups);
        if (sequence.active_of(steps.first, of).size() == 0) continue;
        visit(steps);
        const double work = static_cast<double>(of.size() * steps.size()) * operations();
        if (sequence.go_on && !sequence.go_on(work)) return;
    }
}

// z = x W_ih + b_ih, for all rows at once
template <class T>
void Recurrent<T>::project(const LayerMemory<T>& memory, const Direction& d, Range of, Range steps) const {
    memory.sequence->for_rows(of, steps.first, steps.last, [&](Range rows) {
        kernels_.multiply({.input = memory.input.data,
                           .input_stride = memory.input.rows,
                           .weight = d.weight_ih.data,
                           .depth = this->inputs(),
                           .bias = d.bias_ih.data,
                           .output = d.gates.data,
                           .output_stride = d.gates.rows,
                           .columns = gate_columns_,
                           .first_row = rows.first,
                           .last_row = rows.last,
                           .epilogue = nullptr,
                           .saved = nullptr});
    });
}

// The state before a step beside the step's own rows, where it does not lie there anyway
template <class T>
void Recurrent<T>::keep_before(const Sequence& sequence, const Direction& d, Index step, Range of) const {
    if (!sequence.is_ragged) return;
    const auto keep = [&](const PanelView<T>& state, const PanelView<T>& start, const PanelView<T>& before) {
        const Range now = sequence.active_of(step, of);
        const Index row = sequence.first_of(step);
        if (!d.is_reverse) // the rows of the step before follow, those of the start at last
            return copy_rows(state, row + sequence.active_in(step) + now.first, before, row + now.first, now.size());
        const Range went_on = sequence.active_of(step + 1, of);
        if (went_on.size() > 0)
            copy_rows(state, sequence.first_of(step + 1) + went_on.first, before, row + went_on.first, went_on.size());
        copy_rows(start, went_on.last, before, row + went_on.last, now.last - went_on.last);
    };
    keep(d.hidden, d.start_hidden, d.hidden_before);
    if (cell_.keeps_cell) keep(d.cell, d.start_cell, d.cell_before);
}

template <class T>
CellRows<T> Recurrent<T>::cell_rows(const Sequence& sequence, const Direction& d, Index step, Range active) const {
    const Index row = sequence.first_of(step);
    const bool each_step = shape_.gives_sequences && d.output_gradient.data;
    return {.gates = row_of(d.gates, row),
            .gates_stride = d.gates.rows,
            .bias = d.bias_hh.data,
            .hidden_before = row_of(d.hidden_before, row),
            .cell_before = row_of(d.cell_before, row),
            .hidden = row_of(d.hidden, row),
            .cell = row_of(d.cell, row),
            .state_stride = d.hidden.rows,
            .output_gradient = each_step ? row_of(d.output_gradient, row) : nullptr,
            .output_gradient_stride = d.output_gradient.rows,
            .hidden_gradient = d.hidden_gradient.data,
            .cell_gradient = d.cell_gradient.data,
            .gradient_stride = d.hidden_gradient.rows,
            .panels = panels_,
            .first_row = active.first,
            .last_row = active.last};
}

// z += h₋ W_hh, h = cell(z + b_hh, h₋). Gates that keep the hidden state's sum apart from the input's come last in its weight,
// and their sum begins with the bias.
template <class T>
void Recurrent<T>::step_forward(const Sequence& sequence, const Direction& d, Index step, Range of) const {
    const Range active = sequence.active_of(step, of);
    if (active.size() == 0) return;
    const Index row = sequence.first_of(step);
    keep_before(sequence, d, step, of);
    const auto multiply_gates = [&](Index first, Index last, bool accumulate) {
        if (first == last) return;
        const Index panel = first * panels_;
        kernels_.multiply({.input = d.hidden_before.data,
                           .input_stride = d.hidden_before.rows,
                           .weight = d.weight_hh.panel(panel),
                           .depth = shape_.units,
                           .bias = accumulate ? nullptr : d.bias_hh.panel(panel),
                           .output = d.gates.panel(cell_.hidden_block * panels_ + panel),
                           .output_stride = d.gates.rows,
                           .columns = (last - first) * panels_ * panel_width<T>,
                           .first_row = row + active.first,
                           .last_row = row + active.last,
                           .epilogue = nullptr,
                           .saved = nullptr,
                           .accumulate = accumulate});
    };
    const Index shared = cell_.gates - cell_.hidden_block;
    multiply_gates(0, shared, true);
    multiply_gates(shared, cell_.gates, false);
    cell_.forward(cell_rows(sequence, d, step, active));
}

// The state of each sample after its last step, or, backwards, after its first
template <class T> void Recurrent<T>::finish(const LayerMemory<T>& memory, const Direction& d, Range of) const {
    const Sequence& sequence = *memory.sequence;
    const auto keep = [&](Index step, Range samples) {
        const Index row = sequence.first_of(step) + samples.first;
        copy_rows(d.hidden, row, d.hidden_state, samples.first, samples.size());
        if (cell_.keeps_cell) copy_rows(d.cell, row, d.cell_state, samples.first, samples.size());
    };
    if (d.is_reverse) return keep(0, sequence.active_of(0, of));
    for (Index step = 0; step < sequence.steps; ++step) keep(step, sequence.ending_of(step, of));
    keep(sequence.steps - 1, {of.first, sequence.active_of(sequence.steps, of).last});
}

template <class T> void Recurrent<T>::concatenate(const LayerMemory<T>& memory, const Direction& d, Range of) const {
    const Index column = d.number * shape_.units;
    if (!shape_.gives_sequences)
        return copy_columns(d.hidden_state, of.first, 0, memory.output, of.first, column, shape_.units, of.size());
    if (!shape_.is_bidirectional) return; // the output is the hidden states themselves
    memory.sequence->for_rows(of, [&](Range rows) {
        copy_columns(d.hidden, rows.first, 0, memory.output, rows.first, column, shape_.units, rows.size());
    });
}

template <class T>
void Recurrent<T>::forward(const LayerMemory<T>& memory, Index first, Index last, std::uint64_t) const {
    const Sequence& sequence = *memory.sequence;
    const Range of = sequence.active_of(0, {first, last});
    if (of.size() == 0) return;
    for (Index number = 0; number < directions_; ++number) {
        const Direction d = direction(memory, number);
        copy_rows(d.hidden_state, of.first, d.start_hidden, of.first, of.size());
        if (cell_.keeps_cell) copy_rows(d.cell_state, of.first, d.start_cell, of.first, of.size());
        for_groups(sequence, of, !d.is_reverse, [&](Range steps) {
            project(memory, d, of, steps);
            for (Index i = 0; i < steps.size(); ++i)
                step_forward(sequence, d, d.is_reverse ? steps.last - 1 - i : steps.first + i, of);
        });
        finish(memory, d, of);
        concatenate(memory, d, of);
    }
}

template <class T> void Recurrent<T>::split(const LayerMemory<T>& memory, const Direction& d, Range of) const {
    if (d.output_gradient.data == memory.delta.panel(d.number * panels_)) return;
    const Index column = d.number * shape_.units;
    if (!shape_.gives_sequences)
        return copy_columns(memory.delta, of.first, column, d.output_gradient, of.first, 0, shape_.units, of.size());
    memory.sequence->for_rows(of, [&](Range rows) {
        copy_columns(memory.delta, rows.first, column, d.output_gradient, rows.first, 0, shape_.units, rows.size());
    });
}

// dL/d(state) of samples for which this is the first step backwards: nothing, or what the state after the last one was used for
template <class T>
void Recurrent<T>::begin_backward(const LayerMemory<T>& memory, const Direction& d, Index step, Range of) const {
    const Sequence& sequence = *memory.sequence;
    if (d.is_reverse && step > 0) return;
    const auto clear = [&](Range samples) {
        clear_rows(d.hidden_gradient, samples);
        if (cell_.keeps_cell) clear_rows(d.cell_gradient, samples);
    };
    if (step == sequence.steps - 1 && !sequence.gradient_arrives) clear(sequence.active_of(sequence.steps, of));
    const Range samples = d.is_reverse ? sequence.active_of(0, of) : sequence.ending_of(step, of);
    if (samples.size() == 0) return;
    clear(samples);
    if (!shape_.gives_sequences)
        copy_rows(d.output_gradient, samples.first, d.hidden_gradient, samples.first, samples.size());
}

// dz = cell'(dh), dh₋ = dz W_hhᵀ, and what h₋ gets past the gates
template <class T>
void Recurrent<T>::step_backward(const LayerMemory<T>& memory, const Direction& d, Index step, Range of) const {
    const Sequence& sequence = *memory.sequence;
    begin_backward(memory, d, step, of);
    const Range active = sequence.active_of(step, of);
    if (active.size() == 0) return;
    const CellRows<T> rows = cell_rows(sequence, d, step, active);
    if (memory.gradient_squares) // by rows of samples here, by those of the step there
        kernels_.row_squares(rows.hidden_gradient, rows.gradient_stride, rows.output_gradient,
                             rows.output_gradient_stride, panels_, active.first, active.last,
                             memory.gradient_squares + d.number * d.gates.rows + sequence.first_of(step));
    cell_.backward(rows);
    const bool is_last = d.is_reverse ? step == sequence.steps - 1 : step == 0;
    if (is_last && !sequence.carries_back) return; // nobody asks what the state before it did
    kernels_.multiply({.input = row_of(d.gates, sequence.first_of(step)) +
                                cell_.hidden_block * panels_ * d.gates.rows * panel_width<T>,
                       .input_stride = d.gates.rows,
                       .weight = d.transposed_hh.data,
                       .depth = gate_columns_,
                       .bias = nullptr,
                       .output = d.hidden_gradient.data,
                       .output_stride = d.hidden_gradient.rows,
                       .columns = shape_.units,
                       .first_row = active.first,
                       .last_row = active.last,
                       .epilogue = nullptr,
                       .saved = nullptr,
                       .accumulate = cell_.passes_hidden});
}

// And dx = dz W_ihᵀ, over all rows at once
template <class T>
void Recurrent<T>::backward_input(const LayerMemory<T>& memory, Index first, Index last, const Slope<T>& below) const {
    const Sequence& sequence = *memory.sequence;
    const Range of = sequence.active_of(0, {first, last});
    if (of.size() == 0) return;
    for (Index number = 0; number < directions_; ++number) {
        const Direction d = direction(memory, number);
        split(memory, d, of);
        for_groups(sequence, of, d.is_reverse, [&](Range steps) {
            for (Index i = 0; i < steps.size(); ++i)
                step_backward(memory, d, d.is_reverse ? steps.first + i : steps.last - 1 - i, of);
            if (!memory.input_gradient.data) return;
            const bool is_complete = number == directions_ - 1;
            sequence.for_rows(of, steps.first, steps.last, [&](Range rows) {
                kernels_.multiply({.input = d.gates.data,
                                   .input_stride = d.gates.rows,
                                   .weight = d.transposed_ih.data,
                                   .depth = gate_columns_,
                                   .bias = nullptr,
                                   .output = memory.input_gradient.data,
                                   .output_stride = memory.input_gradient.rows,
                                   .columns = this->inputs(),
                                   .first_row = rows.first,
                                   .last_row = rows.last,
                                   .epilogue = is_complete ? below.epilogue : nullptr,
                                   .saved = is_complete ? below.saved : nullptr,
                                   .accumulate = number > 0});
            });
        });
    }
}

template void Recurrent<float>::forward(const LayerMemory<float>&, Index, Index, std::uint64_t) const;
template void Recurrent<double>::forward(const LayerMemory<double>&, Index, Index, std::uint64_t) const;
template void Recurrent<float>::backward_input(const LayerMemory<float>&, Index, Index, const Slope<float>&) const;
template void Recurrent<double>::backward_input(const LayerMemory<double>&, Index, Index, const Slope<double>&) const;

} // namespace deltarule
