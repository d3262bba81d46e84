// What works on whole rows: sums and maxima in one fixed tree, softmax. The tree is that of a panel (lane i
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

// Lane i joined with lane i + half, then quarters, and so on. All lanes come to hold the result: joining is commutative.
template <int half, class V, class Join, int... lane> inline V join_within(V values, Join join, Numbers<lane...> all) {
    values = join(values, __builtin_shufflevector(values, values, (lane ^ half)...));
    if constexpr (half > 1) values = join_within<half / 2>(values, join, all);
    return values;
}

// The panel's tree: as long as its halves are whole registers these are joined, then the lanes of the last one.
template <class T, class Join> Vec<T> join_lanes(const Vec<T>* registers, Join join) {
    Vec<T> joined[panel_vectors];
    for (int v = 0; v < panel_vectors; ++v) joined[v] = registers[v];
    DELTARULE_UNROLL for (int half = panel_vectors / 2; half > 0; half /= 2) for (int v = 0; v < half; ++v) joined[v] =
        join(joined[v], joined[v + half]);
    return join_within<lanes<Vec<T>> / 2>(joined[0], join, LaneNumbers<Vec<T>>{});
}

// Adds registers of a row; `lane` is where in its panel a register lies.
template <class T> struct RowSum {
    Vec<T> sums[panel_vectors]{};

    void add(Vec<T> values, Index lane) { sums[lane / lanes<Vec<T>>] += values; }
    Vec<T> total() const { // in every lane
        return join_lanes<T>(sums, [](Vec<T> a, Vec<T> b) { return a + b; });
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
    Vec<T> total() const { // in every lane
        return join_lanes<T>(largest, [](Vec<T> a, Vec<T> b) { return a > b ? a : b; });
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
    Vec<T> largest, others; // in every lane
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
    const Vec<T> largest = max.total();
    RowSum<T> others, ties;
    for_registers<T>(columns, stride, row, [&](Index at, Index lane, auto in_use) {
        const Vec<T> values = load(z + at);
        const Vec<T> power = in_use ? exp(exact_sum(values, -largest)) : Vec<T>{};
        const auto is_largest = in_use & (values == largest);
        others.add(is_largest ? Vec<T>{} : power, lane);
        ties.add(is_largest ? splat<Vec<T>>(1) : Vec<T>{}, lane);
        if (powers) store(powers + (at / (stride * width) * powers_stride + row) * width + lane, power);
    });
    return {largest, others.total() + (ties.total() - 1)};
}

template <class T> void softmax(T* values, Index stride, Index columns, Index first_row, Index last_row) {
    for (Index row = first_row; row < last_row; ++row) {
        const Vec<T> sum = 1 + log_sum_exp(values, stride, columns, row, values, stride).others;
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
        const Vec<T> total = sum.total();
        for_registers<T>(columns, delta_stride, row, [&](Index at, Index lane, auto in_use) {
            store(delta + at, in_use ? of_output(at, lane) * (load(delta + at) - total) : Vec<T>{});
        });
    }
}

} // namespace
} // namespace deltarule::DELTARULE_ISA
