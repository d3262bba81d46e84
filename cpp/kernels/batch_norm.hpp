// Batch normalization, forward and back: S. Ioffe and C. Szegedy, arXiv:1502.03167. Columns are lanes, and what is measured over
// rows is summed in double, in four sums of every fourth row: one order on every instruction set. The variance is the corrected
// two-pass one (T. Chan, G. Golub and R. LeVeque, The American Statistician 37, 1983), and the mean is the sum of two numbers:
// beside a small variance the last digit of a single one would be seen.
#pragma once

#include "kernels/matmul.hpp"
#include "kernels/rows.hpp"
#include "kernels/table.hpp"

namespace deltarule::DELTARULE_ISA {
namespace {

using DoubleLanes = Vec<double>;
template <class T> struct AsManyAsDoubles {
    typedef T type __attribute__((vector_size(sizeof(T) * lanes<DoubleLanes>)));
};

template <class T> inline DoubleLanes load_doubles(const T* from) {
    typename AsManyAsDoubles<T>::type values;
    __builtin_memcpy(&values, from, sizeof values);
    return __builtin_convertvector(values, DoubleLanes);
}

template <class T> inline void store_doubles(T* to, DoubleLanes values) {
    const auto narrow = __builtin_convertvector(values, typename AsManyAsDoubles<T>::type);
    __builtin_memcpy(to, &narrow, sizeof narrow);
}

// Four sums of every fourth row, for `count` things that are summed at once; add(row, sums) adds those of one row.
template <int count, class Add> inline void sum_over_rows(Index rows, DoubleLanes (&totals)[count], const Add& add) {
    DoubleLanes sums[4][count]{};
    Index row = 0;
    for (; row + 4 <= rows; row += 4) DELTARULE_UNROLL for (int i = 0; i < 4; ++i) add(row + i, sums[i]);
    DELTARULE_UNROLL for (int i = 0; i < 3; ++i) if (row + i < rows) add(row + i, sums[i]);
    DELTARULE_UNROLL for (int c = 0; c < count; ++c) totals[c] = (sums[0][c] + sums[2][c]) + (sums[1][c] + sums[3][c]);
}

// visit(panel, lane) for as many columns at a time as a register has doubles
template <class Visit, class T> inline void for_doubles(const BatchNormColumns<T>& c, const Visit& visit) {
    for (Index panel = c.first_panel; panel < c.last_panel; ++panel)
        for (Index lane = 0; lane < panel_width<T>; lane += lanes<DoubleLanes>) visit(panel, lane);
}

// The mask of the columns in use among those from `lane` of the panel on
template <class T> inline BitsOf<double> in_use(const BatchNormColumns<T>& c, Index panel, Index lane) {
    return lanes_below<double>(c.columns - panel * panel_width<T> - lane);
}

template <class T> inline T* measured(const BatchNormColumns<T>& c, Index panel, int what, Index lane) {
    return c.measured + (panel * batch_norm_measures + what) * panel_width<T> + lane;
}

// Mean and variance of the input
template <class T> void batch_norm_measure(const BatchNormColumns<T>& c) {
    constexpr Index width = panel_width<T>;
    const DoubleLanes number = splat<DoubleLanes>(static_cast<double>(c.rows));
    for_doubles(c, [&](Index panel, Index lane) {
        const T* const input = c.input + panel * c.stride * width + lane;
        DoubleLanes sum[1], of_deviations[2];
        sum_over_rows(c.rows, sum,
                      [&](Index row, DoubleLanes(&sums)[1]) { sums[0] += load_doubles(input + row * width); });
        const DoubleLanes mean = sum[0] / number;
        sum_over_rows(c.rows, of_deviations, [&](Index row, DoubleLanes(&sums)[2]) {
            const DoubleLanes x = load_doubles(input + row * width) - mean;
            sums[0] += x;
            sums[1] = fma(x, x, sums[1]);
        });
        const auto there = in_use(c, panel, lane);
        const DoubleLanes rest = of_deviations[0] / number; // of the mean, whose last digit was rounded
        const DoubleLanes variance = of_deviations[1] / number - rest * rest;
        T* const of_mean = measured(c, panel, batch_norm_mean, lane);
        store_doubles(of_mean, there ? mean : DoubleLanes{});
        store_doubles(measured(c, panel, batch_norm_mean_rest, lane),
                      there ? (mean - load_doubles(of_mean)) + rest : DoubleLanes{});
        store_doubles(measured(c, panel, batch_norm_variance, lane),
                      there ? (variance < 0 ? DoubleLanes{} : variance) : DoubleLanes{});
    });
}

// Σ dL/dy and Σ dL/dy x̂, which are the gradients of bias and weight, and their means
template <class T> void batch_norm_measure_back(const BatchNormColumns<T>& c) {
    constexpr Index width = panel_width<T>;
    const DoubleLanes number = splat<DoubleLanes>(static_cast<double>(c.rows));
    for_doubles(c, [&](Index panel, Index lane) {
        const Index offset = panel * c.stride * width + lane;
        DoubleLanes totals[2];
        sum_over_rows(c.rows, totals, [&](Index row, DoubleLanes(&sums)[2]) {
            const DoubleLanes delta = load_doubles(c.delta + offset + row * width);
            sums[0] += delta;
            sums[1] = fma(delta, load_doubles(c.normalized + offset + row * width), sums[1]);
        });
        store_doubles(measured(c, panel, batch_norm_bias_gradient, lane), totals[0]);
        store_doubles(measured(c, panel, batch_norm_weight_gradient, lane), totals[1]);
        store_doubles(measured(c, panel, batch_norm_mean_delta, lane), totals[0] / number);
        store_doubles(measured(c, panel, batch_norm_mean_product, lane), totals[1] / number);
    });
}

// running += momentum (new - running), the variance being that of a sample: Σ (x - mean)² / (n - 1)
template <class T>
void batch_norm_keep(const BatchNormColumns<T>& c, T* running_mean, T* running_variance, double momentum) {
    constexpr Index width = panel_width<T>;
    const double n = static_cast<double>(c.rows);
    const DoubleLanes unbiased = splat<DoubleLanes>(c.rows > 1 ? n / (n - 1) : 1);
    const DoubleLanes share = splat<DoubleLanes>(momentum), rest = 1 - share;
    for_doubles(c, [&](Index panel, Index lane) {
        const auto there = in_use(c, panel, lane);
        const auto follow = [&](T* running, DoubleLanes seen) {
            T* const to = running + panel * width + lane;
            store_doubles(to, there ? load_doubles(to) * rest + seen * share : DoubleLanes{});
        };
        follow(running_mean, load_doubles(measured(c, panel, batch_norm_mean, lane)) +
                                 load_doubles(measured(c, panel, batch_norm_mean_rest, lane)));
        follow(running_variance, load_doubles(measured(c, panel, batch_norm_variance, lane)) * unbiased);
    });
}

// visit(register's place in the vectors of the tensors, in `measured`, in the storage of row 0)
template <class T, class Visit> inline void for_registers_of_columns(const BatchNormRows<T>& b, const Visit& visit) {
    constexpr Index width = panel_width<T>;
    for (Index panel = 0; panel * width < b.columns; ++panel) DELTARULE_UNROLL for (int v = 0; v < panel_vectors; ++v) {
            const Index lane = v * lanes<Vec<T>>;
            visit(panel * width + lane, panel * b.statistics_stride + lane, panel * b.stride * width + lane);
        }
}

// x̂ = (x - mean) / sqrt(variance + eps), y = x̂ w + b
template <class T> void batch_norm(const BatchNormRows<T>& b) {
    constexpr Index width = panel_width<T>;
    for_registers_of_columns(b, [&](Index column, Index of_column, Index at) {
        const Vec<T> mean = load(b.mean + of_column), weight = load(b.weight + column), bias = load(b.bias + column);
        const Vec<T> rest = b.mean_rest ? load(b.mean_rest + of_column) : Vec<T>{};
        const Vec<T> inverse = 1 / sqrt(load(b.variance + of_column) + b.eps);
        for (Index row = b.first_row; row < b.last_row; ++row) {
            const Vec<T> x = ((load(b.input + at + row * width) - mean) - rest) * inverse;
            if (b.normalized) store(b.normalized + at + row * width, x);
            store(b.output + at + row * width, fma(x, weight, bias));
        }
    });
}

// dL/dx = w (dL/dy - mean(dL/dy) - x̂ mean(dL/dy x̂)) / sqrt(variance + eps); where mean and variance are fixed, without means
template <class T> void batch_norm_back(const BatchNormRows<T>& b) {
    constexpr Index width = panel_width<T>;
    for_registers_of_columns(b, [&](Index column, Index of_column, Index at) {
        const Vec<T> scale = load(b.weight + column) * (1 / sqrt(load(b.variance + of_column) + b.eps));
        const Vec<T> of_delta = b.mean_delta ? load(b.mean_delta + of_column) : Vec<T>{};
        const Vec<T> of_product = b.mean_delta ? load(b.mean_product + of_column) : Vec<T>{};
        for (Index row = b.first_row; row < b.last_row; ++row) {
            const Index place = at + row * width;
            const Vec<T> delta = load(b.delta + place);
            store(b.input_gradient + place, b.mean_delta
                                                ? fma(-load(b.normalized + place), of_product, delta - of_delta) * scale
                                                : delta * scale);
        }
    });
}

} // namespace
} // namespace deltarule::DELTARULE_ISA
