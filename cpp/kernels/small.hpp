// The passes of a network so small that calls would take most of the time: layers within one panel, a handful of rows. The
// sums are those of matmul.hpp, narrow.hpp and weight_gradient.hpp in the same order, hence the same bits.
#pragma once

#include "kernels/narrow.hpp"
#include "kernels/table.hpp"
#include "kernels/weight_gradient.hpp"

namespace deltarule::DELTARULE_ISA {
namespace {

// Rows of left · right, where left is walked along or across its panel: to = start + Σ_k left[k] · right[k]. Four rows side by
// side, since one would wait for its own sums.
template <class T, int rows> DELTARULE_INLINE void small_rows(const T* left, Index row_step, Index k_step,
                                                              const T* right, Index depth, const T* start, T* to) {
    constexpr Index width = panel_width<T>;
    constexpr int vector_lanes = lanes<Vec<T>>;
    for (int v = 0; v < panel_vectors; ++v) {
        Vec<T> sums[rows];
        DELTARULE_UNROLL for (int r = 0; r < rows; ++r) sums[r] = start ? load(start + v * vector_lanes) : Vec<T>{};
        const T* from = left;
        const T* row = right + v * vector_lanes;
        for (Index k = 0; k < depth; ++k, from += k_step, row += width)
            DELTARULE_UNROLL for (int r = 0; r < rows; ++r) sums[r] =
                fma(splat<Vec<T>>(from[r * row_step]), load(row), sums[r]);
        DELTARULE_UNROLL for (int r = 0; r < rows; ++r) store(to + r * width + v * vector_lanes, sums[r]);
    }
}

template <class T> DELTARULE_INLINE void small_product(const T* left, Index row_step, Index k_step, const T* right,
                                                       Index depth, const T* start, T* to, Index rows) {
    Index row = 0;
    for (; row + 4 <= rows; row += 4)
        small_rows<T, 4>(left + row * row_step, row_step, k_step, right, depth, start, to + row * panel_width<T>);
    for (; row < rows; ++row)
        small_rows<T, 1>(left + row * row_step, row_step, k_step, right, depth, start, to + row * panel_width<T>);
}

// One sum for each unit, which the weight has a row for. All is done in registers: a number that was just stored alone is
// slow to come back as a part of one.
template <class T> DELTARULE_INLINE void small_narrow(const SmallLayer<T>& layer, const T* input, T* output) {
    constexpr Index width = panel_width<T>;
    constexpr int vector_lanes = lanes<Vec<T>>;
    for (int first = 0; first < static_cast<int>(width); first += vector_lanes) {
        const Vec<T> bias = layer.bias ? load(layer.bias + first) : Vec<T>{};
        Vec<T> outputs{};
        for (int unit = first; unit < static_cast<int>(layer.units) && unit < first + vector_lanes; ++unit) {
            Vec<T> products[panel_vectors];
            for (int v = 0; v < panel_vectors; ++v)
                products[v] =
                    fma(load(input + v * vector_lanes), load(layer.weight + unit * width + v * vector_lanes), Vec<T>{});
            const Vec<T> sum = join_lanes<T>(products, [](Vec<T> a, Vec<T> b) { return a + b; });
            outputs = lane_numbers<T>() == unit - first ? sum + bias : outputs;
        }
        store(output + first, outputs);
    }
}

template <class T> void small_forward(const SmallLayer<T>* layers, int count, Index first_row, Index last_row) {
    constexpr Index width = panel_width<T>;
    const Index rows = last_row - first_row;
    for (const SmallLayer<T>* layer = layers; layer < layers + count; ++layer) {
        const T* const input = layer->input + first_row * width;
        T* const output = layer->output + first_row * width;
        if (layer->is_kept_transposed)
            for (Index row = 0; row < rows; ++row) small_narrow(*layer, input + row * width, output + row * width);
        else
            small_product(input, width, 1, layer->weight, layer->inputs, layer->bias, output, rows);
        if (layer->value) layer->value(output, layer->saved ? layer->saved + first_row * width : nullptr, rows * width);
    }
}

// From the delta of the last layer down to that of the first
template <class T> void small_backward(const SmallLayer<T>* layers, int count, Index first_row, Index last_row) {
    constexpr Index width = panel_width<T>;
    const Index rows = last_row - first_row;
    for (const SmallLayer<T>* layer = layers + count - 1; layer > layers; --layer) {
        const SmallLayer<T>& below = layer[-1];
        T* const delta = below.delta + first_row * width;
        small_product<T>(layer->delta + first_row * width, width, 1, layer->transposed, layer->units, nullptr, delta,
                         rows);
        if (below.slope) below.slope(delta, below.slope_saved + first_row * width, rows * width);
    }
}

// The gradients of all layers one after the other, as the parameters lie
template <class T> void small_gradients(const SmallLayer<T>* layers, int count, Index batch, T* gradients) {
    constexpr Index width = panel_width<T>;
    for (const SmallLayer<T>* layer = layers; layer < layers + count; ++layer) {
        const bool turned = layer->is_kept_transposed;
        const Index rows = turned ? layer->units : layer->inputs;
        small_product<T>(turned ? layer->delta : layer->input, 1, width, turned ? layer->input : layer->delta, batch,
                         nullptr, gradients, rows);
        if (turned && layer->inputs < width) clear_padding(gradients, rows, layer->inputs);
        gradients += rows * width;
        if (!layer->bias) continue;
        column_sums(layer->delta, batch, batch, gradients, 0, 1);
        gradients += width;
    }
}

} // namespace
} // namespace deltarule::DELTARULE_ISA
