// The forward product of a layer of up to four units, whose weight is kept transposed: a register for each unit would leave
// all lanes but those few idle. Each output is a sum lane by lane over the panels, then over the lanes in the panel's tree.
#pragma once

#include "kernels/rows.hpp"
#include "kernels/table.hpp"

namespace deltarule::DELTARULE_ISA {
namespace {

// Lane i of the result is the sum over all lanes of sums[i], in the tree of join_lanes: one of two registers in each round.
template <int half, class V> DELTARULE_INLINE V sum_each(V (&sums)[lanes<V>]) {
    if constexpr (half == 0) {
        return sums[0];
    } else {
        DELTARULE_UNROLL for (int i = 0; i < half; ++i) {
            exchange<half>(sums[i], sums[i + half], LaneNumbers<V>{});
            sums[i] += sums[i + half];
        }
        return sum_each<half / 2>(sums);
    }
}

// Lane r · group + u: the sum for row `row` + r and unit `first` + u. Rows past the count are read as the last one.
template <class T, int units, int group, int rows_at_once, bool whole>
inline Vec<T> sums_of_rows(const Multiply<T>& m, Index panels, Index row, Index count, int first) {
    constexpr Index width = panel_width<T>;
    constexpr int vector_lanes = lanes<Vec<T>>;
    Vec<T> products[vector_lanes][panel_vectors]{};
    for (Index panel = 0; panel < panels; ++panel) {
        const T* const weight = m.weight + (panel * units + first) * width;
        const T* const input = m.input + (panel * m.input_stride + row) * width;
        DELTARULE_UNROLL for (int v = 0; v < panel_vectors; ++v)
            DELTARULE_UNROLL for (int r = 0; r < rows_at_once; ++r) {
            const Vec<T> x = load(input + (whole || r < count ? r : count - 1) * width + v * vector_lanes);
            DELTARULE_UNROLL for (int unit = 0; unit < group; ++unit) if (first + unit < units) {
                Vec<T>& product = products[r * group + unit][v];
                product = fma(x, load(weight + unit * width + v * vector_lanes), product);
            }
        }
    }
    Vec<T> sums[vector_lanes];
    DELTARULE_UNROLL for (int i = 0; i < vector_lanes; ++i) {
        DELTARULE_UNROLL for (int half = panel_vectors / 2; half > 0; half /= 2)
            DELTARULE_UNROLL for (int v = 0; v < half; ++v) products[i][v] += products[i][v + half];
        sums[i] = products[i][0];
    }
    return sum_each<vector_lanes / 2>(sums);
}

// As many rows at a time as their sums of `units` units fill a register. Where one has fewer lanes than there are units, the
// units go by groups.
template <class T, int units> void multiply_by_units(const Multiply<T>& m) {
    constexpr Index width = panel_width<T>;
    constexpr int vector_lanes = lanes<Vec<T>>;
    constexpr int slots = units == 3 ? 4 : units; // for a row's sums, a power of two
    constexpr int group = slots < vector_lanes ? slots : vector_lanes;
    constexpr int rows_at_once = vector_lanes / group;
    const Index panels = (m.depth + width - 1) / width;
    const BitsOf<T> numbers = lane_numbers<T>();
    for (Index row = m.first_row; row < m.last_row; row += rows_at_once) {
        const Index count = m.last_row - row < rows_at_once ? m.last_row - row : rows_at_once;
        for (int first = 0, v = 0; v < panel_vectors; first += vector_lanes, ++v) {
            const auto in_use = lanes_below<T>(units - first);
            const Vec<T> bias = m.bias ? load(m.bias + first) : Vec<T>{};
            const Vec<T> sums = first >= units ? Vec<T>{}
                                : count == rows_at_once
                                    ? sums_of_rows<T, units, group, rows_at_once, true>(m, panels, row, count, first)
                                    : sums_of_rows<T, units, group, rows_at_once, false>(m, panels, row, count, first);
            for (Index r = 0; r < count; ++r) {
                const Vec<T> of_row = permute(sums, numbers + static_cast<int>(r) * group);
                store(m.output + (row + r) * width + first, in_use ? of_row + bias : Vec<T>{});
            }
        }
    }
    if (m.epilogue)
        m.epilogue(m.output + m.first_row * width, m.saved ? m.saved + m.first_row * width : nullptr,
                   (m.last_row - m.first_row) * width);
}

template <class T> void multiply_narrow(const Multiply<T>& m) {
    switch (m.columns) {
    case 1: return multiply_by_units<T, 1>(m);
    case 2: return multiply_by_units<T, 2>(m);
    case 3: return multiply_by_units<T, 3>(m);
    default: return multiply_by_units<T, 4>(m);
    }
}

} // namespace
} // namespace deltarule::DELTARULE_ISA
