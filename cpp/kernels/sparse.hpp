// Products with rows of which only what is not zero is stored. Each sum takes what there is in the order in which the dense
// products take everything: adding a zero changes nothing, so the bits are the same.
#pragma once

#include "kernels/matmul.hpp"
#include "kernels/rows.hpp"
#include "kernels/table.hpp"

namespace deltarule::DELTARULE_ISA {
namespace {

inline float scalar_fma(float a, float b, float c) { return DELTARULE_FMA ? __builtin_fmaf(a, b, c) : a * b + c; }
inline double scalar_fma(double a, double b, double c) { return DELTARULE_FMA ? __builtin_fma(a, b, c) : a * b + c; }

// Some panels of the output, row by row: the rows of the weight that a row of the input names, times its values.
template <class T, int panels> void multiply_sparse_panels(const Multiply<T>& m, Index panel) {
    constexpr Index width = panel_width<T>;
    constexpr int vector_lanes = lanes<Vec<T>>;
    const SparseRows<T>& rows = *m.sparse;
    const T* const weight = m.weight + panel * m.depth * width;
    const T* const bias = m.bias ? m.bias + panel * width : nullptr;
    for (Index row = m.first_row; row < m.last_row; ++row) {
        Vec<T> sum[panels][panel_vectors];
        DELTARULE_UNROLL for (int p = 0; p < panels; ++p) DELTARULE_UNROLL for (int v = 0; v < panel_vectors; ++v)
            sum[p][v] = bias ? load(bias + p * width + v * vector_lanes) : Vec<T>{};
        for (std::int64_t i = rows.begin[row]; i < rows.end[row]; ++i) {
            const Vec<T> x = splat<Vec<T>>(rows.values[i]);
            const T* const of_column = weight + rows.columns[i] * width;
            DELTARULE_UNROLL for (int p = 0; p < panels; ++p) DELTARULE_UNROLL for (int v = 0; v < panel_vectors; ++v)
                sum[p][v] = fma(x, load(of_column + p * m.depth * width + v * vector_lanes), sum[p][v]);
        }
        T* const result = m.output + (panel * m.output_stride + row) * width;
        DELTARULE_UNROLL for (int p = 0; p < panels; ++p) DELTARULE_UNROLL for (int v = 0; v < panel_vectors; ++v)
            store(result + p * m.output_stride * width + v * vector_lanes, sum[p][v]);
    }
}

template <class T> void multiply_sparse(const Multiply<T>& m) {
    constexpr Index width = panel_width<T>;
    const Index panels = (m.columns + width - 1) / width;
    Index panel = 0;
    for (; panel + 4 <= panels; panel += 4) multiply_sparse_panels<T, 4>(m, panel);
    for (; panel < panels; ++panel) multiply_sparse_panels<T, 1>(m, panel);
    if (!m.epilogue) return;
    for (panel = 0; panel < panels; ++panel) {
        const Index offset = (panel * m.output_stride + m.first_row) * width;
        m.epilogue(m.output + offset, m.saved ? m.saved + offset : nullptr, (m.last_row - m.first_row) * width);
    }
}

// With the weight transposed, lane by lane over the panels, then over the lanes: as multiply_narrow adds.
template <class T> void multiply_narrow_sparse(const Multiply<T>& m) {
    constexpr Index width = panel_width<T>;
    const SparseRows<T>& rows = *m.sparse;
    const Index units = m.columns;
    for (Index row = m.first_row; row < m.last_row; ++row) {
        alignas(panel_bytes) T products[narrow_columns][width]{};
        for (std::int64_t i = rows.begin[row]; i < rows.end[row]; ++i) {
            const Index panel = rows.columns[i] / width, lane = rows.columns[i] % width;
            for (Index unit = 0; unit < units; ++unit)
                products[unit][lane] =
                    scalar_fma(rows.values[i], m.weight[(panel * units + unit) * width + lane], products[unit][lane]);
        }
        T* const result = m.output + row * width;
        for (Index lane = 0; lane < width; ++lane) result[lane] = T{};
        for (Index unit = 0; unit < units; ++unit) {
            Vec<T> registers[panel_vectors];
            for (int v = 0; v < panel_vectors; ++v) registers[v] = load(products[unit] + v * lanes<Vec<T>>);
            const Vec<T> total = join_lanes<T>(registers, [](Vec<T> a, Vec<T> b) { return a + b; });
            result[unit] = total[0] + (m.bias ? m.bias[unit] : T{});
        }
    }
    if (m.epilogue)
        m.epilogue(m.output + m.first_row * width, m.saved ? m.saved + m.first_row * width : nullptr,
                   (m.last_row - m.first_row) * width);
}

// visit(column, value) for what a row has in the columns first … last-1
template <class T, class Visit>
inline void for_columns_between(const SparseRows<T>& rows, Index row, Index first, Index last, const Visit& visit) {
    std::int64_t low = rows.begin[row], high = rows.end[row];
    while (low < high) { // the first that is not before
        const std::int64_t middle = low + (high - low) / 2;
        if (rows.columns[middle] < first)
            low = middle + 1;
        else
            high = middle;
    }
    for (; low < rows.end[row] && rows.columns[low] < last; ++low) visit(static_cast<Index>(rows.columns[low]), low);
}

// inputᵀ · delta with a sparse input: rows of the gradient are columns of the input.
template <class T> void weight_gradient_of_sparse_input(const WeightGradient<T>& g) {
    constexpr Index width = panel_width<T>;
    const Index panels = g.last_panel - g.first_panel;
    for (Index p = 0; p < panels; ++p)
        __builtin_memset(g.gradient + p * g.gradient_stride * width, 0,
                         static_cast<std::size_t>((g.last_row - g.first_row) * width) * sizeof(T));
    for (Index row = 0; row < g.batch; ++row)
        for_columns_between(*g.sparse, row, g.first_row, g.last_row, [&](Index column, std::int64_t i) {
            const Vec<T> x = splat<Vec<T>>(g.sparse->values[i]);
            for (Index p = 0; p < panels; ++p)
                for (int v = 0; v < panel_vectors; ++v) {
                    const Index lane = v * lanes<Vec<T>>;
                    T* const at = g.gradient + (p * g.gradient_stride + column - g.first_row) * width + lane;
                    const T* const delta = g.delta + ((g.first_panel + p) * g.delta_stride + row) * width + lane;
                    store(at, fma(x, load(delta), load(at)));
                }
        });
}

// The same transposed: rows of the gradient are units, whose delta stands as `input` here, its panels those of the input.
template <class T> void weight_gradient_of_sparse_delta(const WeightGradient<T>& g) {
    constexpr Index width = panel_width<T>;
    const Index units = g.last_row - g.first_row;
    for (Index p = 0; p < g.last_panel - g.first_panel; ++p)
        __builtin_memset(g.gradient + p * g.gradient_stride * width, 0,
                         static_cast<std::size_t>(units * width) * sizeof(T));
    for (Index row = 0; row < g.batch; ++row)
        for_columns_between(
            *g.sparse, row, g.first_panel * width, g.last_panel * width, [&](Index column, std::int64_t i) {
                T* const at =
                    g.gradient + (column / width - g.first_panel) * g.gradient_stride * width + column % width;
                for (Index unit = 0; unit < units; ++unit)
                    at[unit * width] =
                        scalar_fma(g.input[row * width + g.first_row + unit], g.sparse->values[i], at[unit * width]);
            });
}

} // namespace
} // namespace deltarule::DELTARULE_ISA
