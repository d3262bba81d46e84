// Cross-entropy of rows of logits, value and gradient, from class indices or from rows of probabilities.
#pragma once

#include "kernels/math.hpp"
#include "kernels/rows.hpp"
#include "kernels/table.hpp"
#include "kernels/transpose.hpp"

namespace deltarule::DELTARULE_ISA {
namespace {

// A square of a matrix in panels, turned: a register for each column from `column` on, whose lanes are the rows from `row`
// on. Rows past the count are zeros, and nothing is written to them.
template <class T> struct TurnedSquare {
    static constexpr Index side = lanes<Vec<T>>;
    Vec<T> columns[side];

    void load_from(const T* panels, Index stride, Index column, Index row, Index count) {
        const T* const from =
            panels + (column / panel_width<T> * stride + row) * panel_width<T> + column % panel_width<T>;
        DELTARULE_UNROLL for (int i = 0; i < side; ++i) columns[i] =
            i < count ? load(from + i * panel_width<T>) : Vec<T>{};
        transpose_square<side / 2>(columns);
    }
    void store_to(T* panels, Index stride, Index column, Index row, Index count) {
        T* const to = panels + (column / panel_width<T> * stride + row) * panel_width<T> + column % panel_width<T>;
        transpose_square<side / 2>(columns);
        DELTARULE_UNROLL for (int i = 0; i < side; ++i) if (i < count) store(to + i * panel_width<T>, columns[i]);
    }
};

// From class indices: ℓ = log Σ exp(z) - z_label, dℓ/dz = softmax(z) - 1[label]. Rows side by side in the lanes, so that
// sums, maxima and logarithms of many rows are one instruction. A row's sum is four sums of every fourth column.
template <class T> void cross_entropy_of_labels(const LossRows<T>& l) {
    constexpr Index side = TurnedSquare<T>::side;
    using Label = decltype(BitsOf<T>{}[0] + 0);
    TurnedSquare<T> square;
    for (Index row = l.first_row; row < l.last_row; row += side) {
        const Index count = l.last_row - row < side ? l.last_row - row : side;
        BitsOf<T> label{};
        Vec<T> scale{};
        for (Index i = 0; i < count; ++i) label[i] = l.labels[row + i];
        if (l.delta)
            for (Index i = 0; i < count; ++i) scale[i] = l.row_scale[row + i];
        // visit(j, number of the column) for the columns of one square
        const auto for_columns = [&](Index first, const auto& visit) {
            const Index columns = l.columns - first < side ? l.columns - first : side;
            for (Index j = 0; j < columns; ++j) visit(square.columns[j], static_cast<Label>(first + j));
        };
        const auto for_squares = [&](const auto& visit) {
            for (Index first = 0; first < l.columns; first += side) {
                if (first > 0 || l.columns > side) square.load_from(l.output, l.output_stride, first, row, count);
                visit(first);
            }
        };
        if (l.columns <= side) square.load_from(l.output, l.output_stride, 0, row, count); // once for all
        Vec<T> largest = splat<Vec<T>>(static_cast<T>(-__builtin_inf()));
        for_squares(
            [&](Index first) { for_columns(first, [&](Vec<T>& z, Label) { largest = z > largest ? z : largest; }); });
        Vec<T> sums[4]{}, ties{}, z_label{};
        for_squares([&](Index first) {
            for_columns(first, [&](Vec<T>& z, Label number) {
                z_label = label == number ? z : z_label;
                const auto is_largest = z == largest;
                z = exp(exact_sum(z, -largest));
                sums[number % 4] += is_largest ? Vec<T>{} : z;
                ties += is_largest ? splat<Vec<T>>(1) : Vec<T>{};
            });
            if (l.delta && l.columns > side) square.store_to(l.delta, l.delta_stride, first, row, count);
        });
        const Vec<T> others = ((sums[0] + sums[2]) + (sums[1] + sums[3])) + (ties - 1);
        const Vec<T> value = within(log1p(others) + (largest - z_label), l.least, l.most);
        for (Index i = 0; i < count; ++i) l.row_value[row + i] = value[i];
        if (!l.delta) continue;
        const Vec<T> share = scale / (1 + others);
        for (Index first = 0; first < l.columns; first += side) {
            if (l.columns > side) square.load_from(l.delta, l.delta_stride, first, row, count);
            // p - 1 = (e - (1 + others)) / (1 + others), without the cancellation of a sure network
            for_columns(first, [&](Vec<T>& power, Label number) {
                power = (label == number ? power - 1 - others : power) * share;
            });
            for (Index j = l.columns - first; j < side; ++j) square.columns[j] = Vec<T>{};
            square.store_to(l.delta, l.delta_stride, first, row, count);
        }
    }
}

// From rows of probabilities t: ℓ = Σ t_j (log Σ exp(z) - z_j), dℓ/dz = softmax(z) Σt - t.
template <class T> void cross_entropy_of_probabilities(const LossRows<T>& l) {
    constexpr Index width = panel_width<T>;
    for (Index row = l.first_row; row < l.last_row; ++row) {
        const auto [largest, others] = log_sum_exp(l.output, l.output_stride, l.columns, row, l.delta, l.delta_stride);
        // at is of the stride that it was counted with
        const auto target_at = [&](Index at, Index stride, Index lane) {
            return load(l.target + (at / (stride * width) * l.target_stride + row) * width + lane);
        };
        RowSum<T> weight, distance;
        for_registers<T>(l.columns, l.output_stride, row, [&, shift = largest](Index at, Index lane, auto in_use) {
            const Vec<T> target = in_use ? target_at(at, l.output_stride, lane) : Vec<T>{};
            weight.add(target, lane);
            distance.add(target == 0 ? Vec<T>{} : target * (shift - load(l.output + at)), lane);
        });
        const Vec<T> total = weight.total();
        l.row_value[row] = within(log1p(others) * total + distance.total(), l.least, l.most)[0];
        if (!l.delta) continue;
        const Vec<T> scale = splat<Vec<T>>(l.row_scale[row]), sum = 1 + others;
        for_registers<T>(l.columns, l.delta_stride, row, [&, rest_of_sum = others](Index at, Index lane, auto in_use) {
            const Vec<T> power = load(l.delta + at), target = target_at(at, l.delta_stride, lane);
            // pΣt - t as p (Σt - t) - (1 - p) t, which keeps its digits where the network is sure
            const Vec<T> p = power / sum, rest = (rest_of_sum + (1 - power)) / sum;
            store(l.delta + at, in_use ? scale * (p * (total - target) - rest * target) : Vec<T>{});
        });
    }
}

template <class T> void cross_entropy_rows(const LossRows<T>& l) {
    return l.labels ? cross_entropy_of_labels(l) : cross_entropy_of_probabilities(l);
}

} // namespace
} // namespace deltarule::DELTARULE_ISA
