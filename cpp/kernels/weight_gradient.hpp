// The gradient of a dense layer's weight, inputᵀ · delta, and of its bias: sums over the batch, row after row.
#pragma once

#include "kernels/matmul.hpp"
#include "kernels/rows.hpp"
#include "kernels/table.hpp"
#include "kernels/transpose.hpp"

namespace deltarule::DELTARULE_ISA {
namespace {

// Tiles of several panels of delta beside rows of the gradient, which are columns of the input.
template <class T> void gradient_of_panels(const WeightGradient<T>& g, Index first_panel, Index last_panel) {
    constexpr Index width = panel_width<T>;
    for_even_stretches(first_panel, last_panel, tile_panels, [&](Index panel, Index panel_count) {
        for (Index first = g.first_row; first < g.last_row;) {
            const Index input_panel = first / width; // a tile stays within one panel of the input
            const Index last = (input_panel + 1) * width < g.last_row ? (input_panel + 1) * width : g.last_row;
            const int most_rows = tile_rows(Walk::across, static_cast<int>(panel_count));
            for_even_stretches(first, last, most_rows, [&](Index row, Index rows) {
                T* const result =
                    g.gradient + ((panel - g.first_panel) * g.gradient_stride + row - g.first_row) * width;
                tile_table<T, Walk::across>.by_shape[panel_count - 1][rows - 1](
                    {g.input + input_panel * g.input_stride * width + row % width, 0,
                     g.delta + panel * g.delta_stride * width, g.delta_stride, g.batch, g.accumulate ? result : nullptr,
                     g.accumulate ? width : 0, g.gradient_stride * width, result, g.gradient_stride});
            });
            first = last;
        }
    });
}

// The same sums for a single panel of few columns, transposed: panels of the input beside columns of delta, which fill
// the lanes that the empty columns would leave idle. The squares that come of it are turned on their way out.
template <class T> void gradient_of_columns(const WeightGradient<T>& g, Index panel) {
    constexpr Index width = panel_width<T>;
    const Index columns = g.columns - panel * width < width ? g.columns - panel * width : width;
    alignas(panel_bytes) T turned[tile_panels * width * width]{}; // rows past the last column stay zero
    for_even_stretches(
        g.first_row / width, (g.last_row + width - 1) / width, tile_panels, [&](Index from, Index count) {
            const int most_columns = tile_rows(Walk::across, static_cast<int>(count));
            const Index first = from * width;
            T* const part = g.gradient + ((panel - g.first_panel) * g.gradient_stride + first - g.first_row) * width;
            const Index rows = g.last_row - first < count * width ? g.last_row - first : count * width;
            if (g.accumulate) transpose<T>({part, width, turned, width, width, 0, rows, 0, 1});
            for_even_stretches(0, columns, most_columns, [&](Index column, Index column_count) {
                tile_table<T, Walk::across>.by_shape[count - 1][column_count - 1](
                    {g.delta + panel * g.delta_stride * width + column, 0, g.input + from * g.input_stride * width,
                     g.input_stride, g.batch, g.accumulate ? turned + column * width : nullptr,
                     g.accumulate ? width : 0, width * width, turned + column * width, width});
            });
            transpose<T>({turned, width, part, width, rows, 0, width, 0, count});
        });
}

// Zeros past the last column, in rows of its panel.
template <class T> inline void clear_padding(T* rows, Index count, Index columns) {
    constexpr Index width = panel_width<T>;
    for (Index row = 0; row < count; ++row)
        for (int v = 0; v < panel_vectors; ++v) {
            T* const at = rows + row * width + v * lanes<Vec<T>>;
            store(at, lanes_below<T>(columns - v * lanes<Vec<T>>) ? load(at) : Vec<T>{});
        }
}

template <class T> void weight_gradient_with_padding(const WeightGradient<T>& g) {
    constexpr Index width = panel_width<T>;
    constexpr Index worth_turning = 32; // rows of the batch
    const bool tall = g.last_row - g.first_row >= width && g.first_row % width == 0;
    const Index last_columns = g.columns - (g.last_panel - 1) * width;
    const bool few = g.last_panel - g.first_panel == 1 || last_columns <= width / 2;
    if (!few || !tall || g.batch < worth_turning) return gradient_of_panels(g, g.first_panel, g.last_panel);
    gradient_of_panels(g, g.first_panel, g.last_panel - 1);
    gradient_of_columns(g, g.last_panel - 1);
}

template <class T> void weight_gradient(const WeightGradient<T>& g) {
    constexpr Index width = panel_width<T>;
    constexpr Index rows_at_a_time = 1024; // of a few panels: what stays in the second cache
    if (g.batch <= rows_at_a_time) {
        weight_gradient_with_padding(g);
    } else {
        WeightGradient<T> part = g;
        for (Index first = 0; first < g.batch; first += rows_at_a_time) {
            part.batch = g.batch - first < rows_at_a_time ? g.batch - first : rows_at_a_time;
            weight_gradient_with_padding(part);
            part.input += rows_at_a_time * width;
            part.delta += rows_at_a_time * width;
            part.accumulate = true;
        }
    }
    const Index last = g.last_panel - 1;
    if (g.clears_padding && g.columns < g.last_panel * width)
        clear_padding(g.gradient + (last - g.first_panel) * g.gradient_stride * width, g.last_row - g.first_row,
                      g.columns - last * width);
}

// Four sums of every fourth row: a single one would wait for itself at every row.
template <class T>
void column_sums(const T* delta, Index delta_stride, Index batch, T* sums, Index first_panel, Index last_panel) {
    constexpr Index width = panel_width<T>;
    constexpr int vector_lanes = lanes<Vec<T>>;
    for (Index panel = first_panel; panel < last_panel; ++panel, sums += width)
        DELTARULE_UNROLL for (int v = 0; v < panel_vectors; ++v) {
            const T* from = delta + panel * delta_stride * width + v * vector_lanes;
            Vec<T> sum[4]{};
            Index row = 0;
            for (; row + 4 <= batch; row += 4, from += 4 * width)
                DELTARULE_UNROLL for (int i = 0; i < 4; ++i) sum[i] += load(from + i * width);
            DELTARULE_UNROLL for (int i = 0; i < 3; ++i) if (row + i < batch) sum[i] += load(from + i * width);
            store(sums + v * vector_lanes, (sum[0] + sum[2]) + (sum[1] + sum[3]));
        }
}

// sums += Σ delta, one row after the other. Some panels go side by side: one alone would wait for itself at every row.
template <class T>
void add_rows(const T* delta, Index delta_stride, Index batch, T* sums, Index first_panel, Index last_panel) {
    constexpr Index width = panel_width<T>;
    constexpr int vector_lanes = lanes<Vec<T>>;
    constexpr int most = 4;
    for_even_stretches(first_panel, last_panel, most, [&](Index panel, Index count) {
        DELTARULE_UNROLL for (int v = 0; v < panel_vectors; ++v) {
            const T* from[most];
            T* const to = sums + (panel - first_panel) * width + v * vector_lanes;
            Vec<T> sum[most];
            for (int p = 0; p < most; ++p) {
                const Index within = p < count ? p : 0;
                from[p] = delta + (panel + within) * delta_stride * width + v * vector_lanes;
                sum[p] = load(to + within * width);
            }
            for (Index row = 0; row < batch; ++row)
                DELTARULE_UNROLL for (int p = 0; p < most; ++p) sum[p] += load(from[p] + row * width);
            for (int p = 0; p < count; ++p) store(to + p * width, sum[p]);
        }
    });
}

} // namespace
} // namespace deltarule::DELTARULE_ISA
