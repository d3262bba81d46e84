// The passes of a network so small that calls would take most of the time: layers within one panel, a handful of rows. The
// sums are those of matmul.hpp, narrow.hpp and weight_gradient.hpp in the same order, hence the same bits.
#pragma once

#include "kernels/narrow.hpp"
#include "kernels/table.hpp"
#include "kernels/weight_gradient.hpp"

namespace deltarule::DELTARULE_ISA {
namespace {

// Σ_k left[k] · rows[k], from `start` on, for one register of a panel row
template <class T>
DELTARULE_INLINE Vec<T> small_product(const T* left, Index left_step, const T* rows, Index depth, Vec<T> start) {
    for (Index k = 0; k < depth; ++k, left += left_step, rows += panel_width<T>)
        start = fma(splat<Vec<T>>(*left), load(rows), start);
    return start;
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
            outputs =
                lanes_below<T>(unit - first) ? outputs : (lanes_below<T>(unit - first + 1) ? sum + bias : outputs);
        }
        store(output + first, outputs);
    }
}

template <class T> void small_forward(const SmallLayer<T>* layers, int count, Index first_row, Index last_row) {
    constexpr Index width = panel_width<T>;
    constexpr int vector_lanes = lanes<Vec<T>>;
    for (const SmallLayer<T>* layer = layers; layer < layers + count; ++layer) {
        const T* input = layer->input + first_row * width;
        T* output = layer->output + first_row * width;
        for (Index row = first_row; row < last_row; ++row, input += width, output += width) {
            if (layer->is_kept_transposed)
                small_narrow(*layer, input, output);
            else
                for (int v = 0; v < panel_vectors; ++v)
                    store(output + v * vector_lanes,
                          small_product(input, 1, layer->weight + v * vector_lanes, layer->inputs,
                                        layer->bias ? load(layer->bias + v * vector_lanes) : Vec<T>{}));
        }
        if (layer->value)
            layer->value(layer->output + first_row * width, layer->saved ? layer->saved + first_row * width : nullptr,
                         (last_row - first_row) * width);
    }
}

// From the delta of the last layer down to that of the first
template <class T> void small_backward(const SmallLayer<T>* layers, int count, Index first_row, Index last_row) {
    constexpr Index width = panel_width<T>;
    constexpr int vector_lanes = lanes<Vec<T>>;
    for (const SmallLayer<T>* layer = layers + count - 1; layer > layers; --layer) {
        const SmallLayer<T>& below = layer[-1];
        for (Index row = first_row; row < last_row; ++row)
            for (int v = 0; v < panel_vectors; ++v)
                store(below.delta + row * width + v * vector_lanes,
                      small_product(layer->delta + row * width, 1, layer->transposed + v * vector_lanes, layer->units,
                                    Vec<T>{}));
        if (below.slope)
            below.slope(below.delta + first_row * width, below.slope_saved + first_row * width,
                        (last_row - first_row) * width);
    }
}

// The gradients of all layers one after the other, as the parameters lie
template <class T> void small_gradients(const SmallLayer<T>* layers, int count, Index batch, T* gradients) {
    constexpr Index width = panel_width<T>;
    constexpr int vector_lanes = lanes<Vec<T>>;
    for (const SmallLayer<T>* layer = layers; layer < layers + count; ++layer) {
        const bool turned = layer->is_kept_transposed;
        const T *const left = turned ? layer->delta : layer->input, *const right = turned ? layer->input : layer->delta;
        for (Index row = 0; row < (turned ? layer->units : layer->inputs); ++row, gradients += width)
            for (int v = 0; v < panel_vectors; ++v)
                store(gradients + v * vector_lanes,
                      small_product(left + row, width, right + v * vector_lanes, batch, Vec<T>{}));
        if (!layer->bias) continue;
        column_sums(layer->delta, batch, batch, gradients, 0, 1);
        gradients += width;
    }
}

} // namespace
} // namespace deltarule::DELTARULE_ISA
