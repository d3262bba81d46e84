// Layer normalization, forward and back, and the gradient of its weight: J. L. Ba, J. R. Kiros and G. E. Hinton,
// arXiv:1607.06450. The mean is the sum of two numbers: the deviations from the first, which is rounded, have a mean that is
// not quite 0, the second, and beside a small variance it would be seen. Rows are independent, and taken a few side by side.
#pragma once

#include "kernels/matmul.hpp"
#include "kernels/rows.hpp"
#include "kernels/table.hpp"

namespace deltarule::DELTARULE_ISA {
namespace {

inline constexpr int rows_side_by_side = 4; // one alone would wait for its own sums

// Of which the squares of anything that a T holds have a sum, and those of what overflowed without it do not vanish.
template <class T> inline constexpr T shrinking = sizeof(T) == 4 ? static_cast<T>(0x1p-100) : static_cast<T>(0x1p-600);
template <class T> inline constexpr T smallest_normal =
    sizeof(T) == 4 ? static_cast<T>(0x1p-126) : static_cast<T>(0x1p-1022);

// visit(register of the panel, its first column, where in the storage of row 0 it lies, mask of the lanes in use)
template <class T, class Visit> inline void for_columns_of_rows(Index columns, Index stride, const Visit& visit) {
    constexpr Index width = panel_width<T>;
    for (Index panel = 0; panel * width < columns; ++panel) DELTARULE_UNROLL for (int v = 0; v < panel_vectors; ++v) {
            const Index lane = v * lanes<Vec<T>>, column = panel * width + lane;
            visit(v, column, panel * stride * width + lane, lanes_below<T>(columns - column));
        }
}

// Sums over the columns of a few rows, each in the panel's tree.
template <class T, int count> struct SumsOfRows {
    Vec<T> sums[count][panel_vectors]{};

    void mean(Index columns, Vec<T> (&of_rows)[count]) const { // in every lane
        const Vec<T> number = splat<Vec<T>>(static_cast<T>(columns));
        DELTARULE_UNROLL for (int row = 0; row < count; ++row) of_rows[row] =
            join_lanes<T>(sums[row], [](Vec<T> a, Vec<T> b) { return a + b; }) / number;
    }
};

// The rows from `row` on, times `scale`. A variance that is not finite asks for a second try, with a scale that shrinks
// what is too large to be squared or summed; a power of 2, it costs no digit.
template <class T, int count> void normalize(const LayerNormRows<T>& l, Index row, T scale) {
    constexpr Index width = panel_width<T>;
    const T* const input = l.input + row * width;
    const Vec<T> scales = splat<Vec<T>>(scale);
    Vec<T> mean[count], rest[count], variance[count], inverse[count];
    const auto deviation = [&](int i, Index at) { return load(input + at + i * width) * scales - mean[i]; };
    {
        SumsOfRows<T, count> sums;
        for_columns_of_rows<T>(l.columns, l.stride, [&](int v, Index, Index at, auto in_use) {
            DELTARULE_UNROLL for (int i = 0; i < count; ++i) sums.sums[i][v] +=
                in_use ? load(input + at + i * width) * scales : Vec<T>{};
        });
        sums.mean(l.columns, mean);
    }
    {
        SumsOfRows<T, count> sums;
        for_columns_of_rows<T>(l.columns, l.stride, [&](int v, Index, Index at, auto in_use) {
            DELTARULE_UNROLL for (int i = 0; i < count; ++i) sums.sums[i][v] += in_use ? deviation(i, at) : Vec<T>{};
        });
        sums.mean(l.columns, rest);
    }
    {
        SumsOfRows<T, count> sums;
        for_columns_of_rows<T>(l.columns, l.stride, [&](int v, Index, Index at, auto in_use) {
            DELTARULE_UNROLL for (int i = 0; i < count; ++i) {
                const Vec<T> x = in_use ? deviation(i, at) - rest[i] : Vec<T>{};
                sums.sums[i][v] = fma(x, x, sums.sums[i][v]);
            }
        });
        sums.mean(l.columns, variance);
    }
    const T eps = l.eps * scale * scale;
    const Vec<T> added = splat<Vec<T>>(eps > smallest_normal<T> ? eps : smallest_normal<T>);
    DELTARULE_UNROLL for (int i = 0; i < count; ++i) inverse[i] = 1 / sqrt(variance[i] + added);
    for_columns_of_rows<T>(l.columns, l.stride, [&](int, Index column, Index at, auto in_use) {
        const Vec<T> weight = load(l.weight + column), bias = load(l.bias + column);
        DELTARULE_UNROLL for (int i = 0; i < count; ++i) {
            const Vec<T> x = in_use ? (deviation(i, at) - rest[i]) * inverse[i] : Vec<T>{};
            const Index place = at + (row + i) * width;
            if (l.normalized) store(l.normalized + place, x);
            store(l.output + place, fma(x, weight, bias));
        }
    });
    for (int i = 0; i < count; ++i) {
        const T of_row = variance[i][0];
        // Rows of one number throughout have no variance, whatever the scale
        if (l.inverse_deviation)
            l.inverse_deviation[row + i] = of_row > 0 ? inverse[i][0] * scale : (1 / sqrt(splat<Vec<T>>(l.eps)))[0];
        if (scale == 1 && !(of_row - of_row == 0)) normalize<T, 1>(l, row + i, shrinking<T>);
    }
}

template <class T> void layer_norm(const LayerNormRows<T>& l) {
    Index row = l.first_row;
    for (; row + rows_side_by_side <= l.last_row; row += rows_side_by_side) normalize<T, rows_side_by_side>(l, row, 1);
    for (; row < l.last_row; ++row) normalize<T, 1>(l, row, 1);
}

// dL/dx = (g - mean(g) - x̂ mean(g x̂)) / sqrt(variance + eps), g = dL/dy w
template <class T, int count> void normalize_back(const LayerNormBack<T>& l, Index row) {
    constexpr Index width = panel_width<T>;
    const T* const delta = l.delta + row * width;
    const T* const normalized = l.normalized + row * width;
    Vec<T> of_g[count], of_products[count], inverse[count];
    {
        SumsOfRows<T, count> sums, products;
        for_columns_of_rows<T>(l.columns, l.stride, [&](int v, Index column, Index at, auto in_use) {
            const Vec<T> weight = load(l.weight + column);
            DELTARULE_UNROLL for (int i = 0; i < count; ++i) {
                const Vec<T> g = in_use ? load(delta + at + i * width) * weight : Vec<T>{};
                sums.sums[i][v] += g;
                products.sums[i][v] = fma(g, load(normalized + at + i * width), products.sums[i][v]);
            }
        });
        sums.mean(l.columns, of_g);
        products.mean(l.columns, of_products);
    }
    DELTARULE_UNROLL for (int i = 0; i < count; ++i) inverse[i] = splat<Vec<T>>(l.inverse_deviation[row + i]);
    for_columns_of_rows<T>(l.columns, l.stride, [&](int, Index column, Index at, auto in_use) {
        const Vec<T> weight = load(l.weight + column);
        DELTARULE_UNROLL for (int i = 0; i < count; ++i) {
            const Vec<T> g = load(delta + at + i * width) * weight, x = load(normalized + at + i * width);
            store(l.input_gradient + at + (row + i) * width,
                  in_use ? fma(-x, of_products[i], g - of_g[i]) * inverse[i] : Vec<T>{});
        }
    });
}

template <class T> void layer_norm_back(const LayerNormBack<T>& l) {
    Index row = l.first_row;
    for (; row + rows_side_by_side <= l.last_row; row += rows_side_by_side)
        normalize_back<T, rows_side_by_side>(l, row);
    for (; row < l.last_row; ++row) normalize_back<T, 1>(l, row);
}

// Row after row, so that the rows may come in pieces. Some panels go side by side: one alone would wait for itself at every row.
template <class T> void product_sums(const T* delta, const T* other, Index stride, Index batch, T* sums,
                                     Index first_panel, Index last_panel, bool accumulate) {
    constexpr Index width = panel_width<T>, vector_lanes = lanes<Vec<T>>;
    constexpr int most = 4;
    for_even_stretches(first_panel, last_panel, most, [&](Index panel, Index count) {
        DELTARULE_UNROLL for (int v = 0; v < panel_vectors; ++v) {
            T* const to = sums + (panel - first_panel) * width + v * vector_lanes;
            Index from[most];
            Vec<T> sum[most];
            for (int p = 0; p < most; ++p) { // those past the count repeat the first
                const Index within = p < count ? p : 0;
                from[p] = (panel + within) * stride * width + v * vector_lanes;
                sum[p] = accumulate ? load(to + within * width) : Vec<T>{};
            }
            for (Index row = 0; row < batch; ++row) DELTARULE_UNROLL for (int p = 0; p < most; ++p) {
                    const Index at = from[p] + row * width;
                    sum[p] = fma(load(delta + at), load(other + at), sum[p]);
                }
            for (int p = 0; p < count; ++p) store(to + p * width, sum[p]);
        }
    });
}

} // namespace
} // namespace deltarule::DELTARULE_ISA
