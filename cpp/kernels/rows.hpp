// What works on whole rows: sums and maxima in one fixed tree, softmax, cross-entropy. The tree is that of a panel (lane i
// joins lane i + half), never that of a register, so that every instruction set adds in the same order.
#pragma once

#include "kernels/math.hpp"
#include "kernels/matmul.hpp"
#include "kernels/table.hpp"

namespace deltarule::DELTARULE_ISA {
namespace {

// The mask of the lanes whose number is below n.
template <class T> BitsOf<T> lanes_below(Index n) {
    Vec<T> number;
    for (int lane = 0; lane < lanes<Vec<T>>; ++lane) number[lane] = static_cast<T>(lane);
    return number < splat<Vec<T>>(static_cast<T>(n < lanes<Vec<T>> ? (n > 0 ? n : 0) : lanes<Vec<T>>));
}

template <class T, class Join> T join_lanes(const Vec<T>* vectors, Join join) {
    constexpr int width = static_cast<int>(panel_width<T>);
    T lane[width];
    for (int v = 0; v < panel_vectors; ++v) store(lane + v * lanes<Vec<T>>, vectors[v]);
    for (int half = width / 2; half > 0; half /= 2)
        for (int i = 0; i < half; ++i) lane[i] = join(lane[i], lane[i + half]);
    return lane[0];
}

// Adds registers of a row; `lane` is where in its panel a register lies.
template <class T> struct RowSum {
    Vec<T> sums[panel_vectors]{};

    void add(Vec<T> values, Index lane) { sums[lane / lanes<Vec<T>>] += values; }
    T total() const {
        return join_lanes<T>(sums, [](T a, T b) { return a + b; });
    }
};

template <class T> struct RowMax {
    Vec<T> largest[panel_vectors];

    RowMax() {
        for (int v = 0; v < panel_vectors; ++v) largest[v] = splat<Vec<T>>(static_cast<T>(-__builtin_inf()));
    }
    void add(Vec<T> values, Index lane) {
        Vec<T>& kept = largest[lane / lanes<Vec<T>>];
        kept = values > kept ? values : kept;
    }
    T total() const {
        return join_lanes<T>(largest, [](T a, T b) { return a > b ? a : b; });
    }
};

// visit(register index within the row's storage, lane in its panel, mask of the lanes in use)
template <class T, class Visit> inline void for_registers(Index columns, Index stride, Index row, const Visit& visit) {
    constexpr Index width = panel_width<T>;
    for (Index column = 0; column < columns; column += lanes<Vec<T>>)
        visit((column / width * stride + row) * width + column % width, column % width,
              lanes_below<T>(columns - column));
}

// log Σ exp(z_j) = m + log1p(others), where m is the largest and `others` leaves one largest out: 1 + tiny would lose it.
template <class T> struct LogSumExp {
    T largest, others;
};

// Also leaves exp(z_j - m) in `powers` (stride powers_stride), unless it is null; it may be z itself. The rounding of
// z_j - m, which the exponential would magnify, goes along with it.
template <class T>
LogSumExp<T> log_sum_exp(const T* z, Index stride, Index columns, Index row, T* powers, Index powers_stride) {
    constexpr Index width = panel_width<T>;
    const Vec<T> lowest = splat<Vec<T>>(static_cast<T>(-__builtin_inf()));
    RowMax<T> max;
    for_registers<T>(columns, stride, row,
                     [&](Index at, Index lane, auto in_use) { max.add(in_use ? load(z + at) : lowest, lane); });
    const Vec<T> largest = splat<Vec<T>>(max.total());
    RowSum<T> others, ties;
    for_registers<T>(columns, stride, row, [&](Index at, Index lane, auto in_use) {
        const Vec<T> values = load(z + at);
        const Vec<T> power = in_use ? exp(exact_sum(values, -largest)) : Vec<T>{};
        const auto is_largest = in_use & (values == largest);
        others.add(is_largest ? Vec<T>{} : power, lane);
        ties.add(is_largest ? splat<Vec<T>>(1) : Vec<T>{}, lane);
        if (powers) store(powers + (at / (stride * width) * powers_stride + row) * width + lane, power);
    });
    return {largest[0], others.total() + (ties.total() - 1)};
}

template <class T> void softmax(T* values, Index stride, Index columns, Index first_row, Index last_row) {
    for (Index row = first_row; row < last_row; ++row) {
        const Vec<T> sum = splat<Vec<T>>(1 + log_sum_exp(values, stride, columns, row, values, stride).others);
        for_registers<T>(columns, stride, row,
                         [&](Index at, Index, auto) { store(values + at, load(values + at) / sum); });
    }
}

// dL/dz_i = s_i (dL/ds_i - Σ_j s_j dL/ds_j)
template <class T> void softmax_slope(const T* output, Index output_stride, T* delta, Index delta_stride, Index columns,
                                      Index first_row, Index last_row) {
    constexpr Index width = panel_width<T>;
    for (Index row = first_row; row < last_row; ++row) {
        const auto of_output = [&](Index at, Index lane) {
            return load(output + (at / (delta_stride * width) * output_stride + row) * width + lane);
        };
        RowSum<T> sum;
        for_registers<T>(columns, delta_stride, row, [&](Index at, Index lane, auto in_use) {
            sum.add(in_use ? of_output(at, lane) * load(delta + at) : Vec<T>{}, lane);
        });
        const Vec<T> total = splat<Vec<T>>(sum.total());
        for_registers<T>(columns, delta_stride, row, [&](Index at, Index lane, auto in_use) {
            store(delta + at, in_use ? of_output(at, lane) * (load(delta + at) - total) : Vec<T>{});
        });
    }
}

// ℓ = log Σ exp(z) - z_label, from class indices, or Σ t_j (log Σ exp(z) - z_j) from rows of probabilities t;
// dℓ/dz = softmax(z) Σt - t.
template <class T> void cross_entropy_rows(const LossRows<T>& l) {
    constexpr Index width = panel_width<T>;
    for (Index row = l.first_row; row < l.last_row; ++row) {
        const auto [largest, others] = log_sum_exp(l.output, l.output_stride, l.columns, row, l.delta, l.delta_stride);
        const T log_sum = log1p(splat<Vec<T>>(others))[0];
        const Vec<T> sum = splat<Vec<T>>(1 + others);
        const T row_scale = l.delta ? l.row_scale[row] : T{};
        const Vec<T> scale = splat<Vec<T>>(row_scale);
        if (l.labels) {
            const Index panel = l.labels[row] / width, lane = l.labels[row] % width;
            l.row_value[row] = log_sum + (largest - l.output[(panel * l.output_stride + row) * width + lane]);
            if (!l.delta) continue;
            T* const of_label = l.delta + (panel * l.delta_stride + row) * width + lane;
            const T power = *of_label;
            for_registers<T>(l.columns, l.delta_stride, row,
                             [&](Index at, Index, auto) { store(l.delta + at, scale * (load(l.delta + at) / sum)); });
            // p - 1 = (e - (1 + others)) / (1 + others), without the cancellation of a sure network
            *of_label = row_scale * ((power - 1 - others) / (1 + others));
        } else {
            const auto of = [row](const T* matrix, Index stride, Index column, Index lane) {
                return load(matrix + (column / width * stride + row) * width + lane);
            };
            RowSum<T> weight, distance;
            const Vec<T> shift = splat<Vec<T>>(largest);
            for_registers<T>(l.columns, l.output_stride, row, [&](Index at, Index lane, auto in_use) {
                const Index column = at / (l.output_stride * width) * width;
                const Vec<T> target = in_use ? of(l.target, l.target_stride, column, lane) : Vec<T>{};
                weight.add(target, lane);
                distance.add(target == 0 ? Vec<T>{} : target * (shift - load(l.output + at)), lane);
            });
            const T total = weight.total();
            l.row_value[row] = log_sum * total + distance.total();
            if (!l.delta) continue;
            const Vec<T> totals = splat<Vec<T>>(total), rest_of_sum = splat<Vec<T>>(others);
            for_registers<T>(l.columns, l.delta_stride, row, [&](Index at, Index lane, auto in_use) {
                const Vec<T> power = load(l.delta + at),
                             target = of(l.target, l.target_stride, at / (l.delta_stride * width) * width, lane);
                // pΣt - t as p (Σt - t) - (1 - p) t, which keeps its digits where the network is sure
                const Vec<T> p = power / sum, rest = (rest_of_sum + (1 - power)) / sum;
                store(l.delta + at, in_use ? scale * (p * (totals - target) - rest * target) : Vec<T>{});
            });
        }
    }
}

} // namespace
} // namespace deltarule::DELTARULE_ISA
