// Cells: what a recurrent layer does at one step with the sums that the matrix products have made, and the same backwards.
// To add one: a struct here, its name in the list at the end, its twin in reference/cells.py. In blocks side by side lie the
// sums z, each block one gate of all units: first those that the input's product makes, and from `hidden_block` on as many
// that the product with the hidden state before makes; where both meet, their sum. Formulas and gates are torch's.
#pragma once

#include "kernels/activations.hpp"
#include "kernels/list.hpp"
#include "kernels/matmul.hpp"
#include "kernels/table.hpp"

namespace deltarule::DELTARULE_ISA {
namespace {

// The state at a step: h, and c where the cell keeps one.
template <class V> struct CellState {
    V hidden, cell;
};

// h = f(z). J. Elman, "Finding structure in time", Cognitive Science 14 (1990) 179.
template <class Activation> struct SimpleCell {
    static constexpr int gates = 1, blocks = 1, hidden_block = 0;
    static constexpr bool keeps_cell = false, passes_hidden = false;
    template <class V> static CellState<V> forward(V (&z)[blocks], const CellState<V>&) {
        return {Activation::value(z[0]), V{}};
    }
    template <class V>
    static void backward(V (&z)[blocks], const CellState<V>&, const CellState<V>& now, CellState<V>& gradient) {
        z[0] = gradient.hidden * Activation::slope(now.hidden);
    }
};
struct TanhCell : SimpleCell<Tanh> {
    static constexpr const char* name = "rnn_tanh";
};
struct ReluCell : SimpleCell<Relu> {
    static constexpr const char* name = "rnn_relu";
};

// c = f c₋ + i g, h = o tanh c. S. Hochreiter and J. Schmidhuber, Neural Computation 9 (1997) 1735; with the forget gate of
// F. Gers et al., Neural Computation 12 (2000) 2451.
struct LstmCell {
    static constexpr const char* name = "lstm";
    static constexpr int gates = 4, blocks = 4, hidden_block = 0; // i, f, g, o
    static constexpr bool keeps_cell = true, passes_hidden = false;
    template <class V> static CellState<V> forward(V (&z)[blocks], const CellState<V>& before) {
        auto& [i, f, g, o] = z;
        i = sigmoid(i), f = sigmoid(f), g = tanh(g), o = sigmoid(o);
        const V c = fma(f, before.cell, i * g);
        return {o * tanh(c), c};
    }
    template <class V>
    static void backward(V (&z)[blocks], const CellState<V>& before, const CellState<V>& now, CellState<V>& gradient) {
        auto& [i, f, g, o] = z;
        const V tanh_c = tanh(now.cell);
        const V dc = fma(gradient.hidden * o, 1 - tanh_c * tanh_c, gradient.cell);
        gradient.cell = dc * f;
        const V di = dc * g, df = dc * before.cell, dg = dc * i;
        o = gradient.hidden * tanh_c * (o * (1 - o));
        i = di * (i * (1 - i));
        f = df * (f * (1 - f));
        g = dg * (1 - g * g);
    }
};

// n = tanh(x W_n + b + r (h₋ W_hn + b_hn)), h = (1 - z) n + z h₋. K. Cho et al., EMNLP 2014, in the form of cuDNN and torch,
// where the reset gate acts after the product.
struct GruCell {
    static constexpr const char* name = "gru";
    static constexpr int gates = 3, blocks = 4, hidden_block = 1; // of the input n, r, z; of the hidden state r, z, n
    static constexpr bool keeps_cell = false, passes_hidden = true;
    template <class V> static CellState<V> forward(V (&sums)[blocks], const CellState<V>& before) {
        auto& [n, r, z, n_of_hidden] = sums;
        r = sigmoid(r), z = sigmoid(z);
        n = tanh(fma(r, n_of_hidden, n));
        return {fma(z, before.hidden - n, n), V{}};
    }
    template <class V>
    static void backward(V (&sums)[blocks], const CellState<V>& before, const CellState<V>&, CellState<V>& gradient) {
        auto& [n, r, z, n_of_hidden] = sums;
        const V dh = gradient.hidden;
        gradient.hidden = dh * z; // what h₋ gets directly
        const V dn = dh * (1 - z) * (1 - n * n);
        const V dr = dn * n_of_hidden;
        z = dh * (before.hidden - n) * (z * (1 - z));
        n_of_hidden = dn * r;
        r = dr * (r * (1 - r));
        n = dn;
    }
};

using Cells = List<TanhCell, ReluCell, LstmCell, GruCell>;

// visit(offset of a register in the gates, in the states, in the gradients, in the output's gradient, its first unit)
template <class T, class Visit> inline void for_cells(const CellRows<T>& rows, const Visit& visit) {
    constexpr Index width = panel_width<T>;
    for (Index panel = 0; panel < rows.panels; ++panel)
        for (Index at = rows.first_row * width; at < rows.last_row * width; at += lanes<Vec<T>>)
            visit(panel * rows.gates_stride * width + at, panel * rows.state_stride * width + at,
                  panel * rows.gradient_stride * width + at, panel * rows.output_gradient_stride * width + at,
                  panel * width + at % width);
}

template <class Cell, class T> inline CellState<Vec<T>> load_state(const T* hidden, const T* cell, Index at) {
    CellState<Vec<T>> state{};
    state.hidden = load(hidden + at);
    if constexpr (Cell::keeps_cell) state.cell = load(cell + at);
    return state;
}

template <class T, class Cell> void cell_forward(const CellRows<T>& rows) {
    constexpr Index width = panel_width<T>;
    const Index block = rows.panels * rows.gates_stride * width;
    for_cells(rows, [&](Index at_gates, Index at_state, Index, Index, Index unit) {
        Vec<T> z[Cell::blocks];
        for (int b = 0; b < Cell::blocks; ++b) z[b] = load(rows.gates + b * block + at_gates);
        for (int b = Cell::hidden_block; b < Cell::gates; ++b)
            z[b] += load(rows.bias + (b - Cell::hidden_block) * rows.panels * width + unit);
        const auto before = load_state<Cell>(rows.hidden_before, rows.cell_before, at_state);
        const CellState<Vec<T>> now = Cell::forward(z, before);
        store(rows.hidden + at_state, now.hidden);
        if constexpr (Cell::keeps_cell) store(rows.cell + at_state, now.cell);
        for (int b = 0; b < Cell::blocks; ++b) store(rows.gates + b * block + at_gates, z[b]);
    });
}

template <class T, class Cell> void cell_backward(const CellRows<T>& rows) {
    const Index block = rows.panels * rows.gates_stride * panel_width<T>;
    for_cells(rows, [&](Index at_gates, Index at_state, Index at_gradient, Index at_output, Index) {
        Vec<T> z[Cell::blocks];
        for (int b = 0; b < Cell::blocks; ++b) z[b] = load(rows.gates + b * block + at_gates);
        const auto before = load_state<Cell>(rows.hidden_before, rows.cell_before, at_state);
        const auto now = load_state<Cell>(rows.hidden, rows.cell, at_state);
        auto gradient = load_state<Cell>(rows.hidden_gradient, rows.cell_gradient, at_gradient);
        if (rows.output_gradient) gradient.hidden += load(rows.output_gradient + at_output);
        Cell::backward(z, before, now, gradient);
        if constexpr (Cell::passes_hidden) store(rows.hidden_gradient + at_gradient, gradient.hidden);
        if constexpr (Cell::keeps_cell) store(rows.cell_gradient + at_gradient, gradient.cell);
        for (int b = 0; b < Cell::blocks; ++b) store(rows.gates + b * block + at_gates, z[b]);
    });
}

template <class T> struct CellRow {
    using type = CellKernel<T>;
    template <class Cell> static constexpr CellKernel<T> of() {
        return {Cell::name,       Cell::gates,         Cell::blocks,           Cell::hidden_block,
                Cell::keeps_cell, Cell::passes_hidden, &cell_forward<T, Cell>, &cell_backward<T, Cell>};
    }
};

} // namespace
} // namespace deltarule::DELTARULE_ISA
