// The way in and out of the panels, and what runs over a stretch of them value by value: penalties, norms, clipping.
#pragma once

#include "kernels/matmul.hpp"
#include "kernels/rows.hpp"
#include "kernels/table.hpp"

namespace deltarule::DELTARULE_ISA {
namespace {

// Rows of a row-major matrix: those that `order` names, or one after the other where it is null.
template <class T> struct PickedRows {
    const T* matrix;
    Index columns;
    const std::int64_t* order;

    const T* operator[](Index i) const { return matrix + (order ? static_cast<Index>(order[i]) : i) * columns; }
};

// `count` values of each row, fewer than a panel is wide, as two pieces that may overlap: a few moves where a loop or a call
// would cost more. What follows them in the panel, its padding, stays zero.
template <int piece, class T> inline void gather_part(PickedRows<T> from, Index first, Index count, Index rows, T* to) {
    const Index second = count - piece;
    for (Index i = 0; i < rows; ++i, to += panel_width<T>) {
        const T* const row = from[i] + first;
        T pieces[2][piece];
        __builtin_memcpy(pieces[0], row, sizeof pieces[0]);
        __builtin_memcpy(pieces[1], row + second, sizeof pieces[1]);
        __builtin_memcpy(to, pieces[0], sizeof pieces[0]);
        __builtin_memcpy(to + second, pieces[1], sizeof pieces[1]);
    }
}

template <class T> inline void gather_panels(PickedRows<T> from, Index columns, Index rows, T* to, Index stride) {
    constexpr Index width = panel_width<T>;
    // Picked rows lie anywhere in memory, and no processor can guess where: they are called for some lines in advance.
    constexpr Index most_rows_ahead = 16, values_ahead = 2048 / static_cast<Index>(sizeof(T));
    const Index ahead = columns >= values_ahead ? 1 : columns >= values_ahead / 4 ? 4 : most_rows_ahead;
    for (Index i = 0; i < rows; ++i, to += width) {
        const T* const row = from[i];
        const T* const later = from[i + ahead < rows ? i + ahead : i];
        T* target = to;
        for (Index column = 0; column < columns; column += width, target += stride * width) {
            __builtin_prefetch(later + column);
            for (int v = 0; v < panel_vectors; ++v)
                store(target + v * lanes<Vec<T>>, load(row + column + v * lanes<Vec<T>>));
        }
    }
}

template <class T> void gather(const T* matrix, Index columns, const std::int64_t* order, Index count, T* panels,
                               Index stride, Index first_row) {
    constexpr Index width = panel_width<T>;
    const PickedRows<T> from{matrix, columns, order};
    const Index part = columns % width, whole = columns - part;
    T* const to = panels + first_row * width;
    if (whole > 0) gather_panels(from, whole, count, to, stride);
    T* const last = to + whole * stride;
    if (part >= 8) return gather_part<8>(from, whole, part, count, last);
    if (part >= 4) return gather_part<4>(from, whole, part, count, last);
    if (part >= 2) return gather_part<2>(from, whole, part, count, last);
    if (part == 1) return gather_part<1>(from, whole, part, count, last);
}

template <class T> void scatter(const T* panels, Index stride, Index first_row, Index count, Index columns, T* matrix) {
    constexpr Index width = panel_width<T>;
    for (Index i = 0; i < count; ++i, matrix += columns) {
        const T* from = panels + (first_row + i) * width;
        for (Index column = 0; column < columns; column += width, from += stride * width)
            for (Index lane = 0; lane < width && column + lane < columns; ++lane) matrix[column + lane] = from[lane];
    }
}

// gradient += l1 sign(w) + l2 w
template <class T> void add_penalty(const T* weight, T* gradient, Index count, T l1, T l2) {
    const Vec<T> absolute = splat<Vec<T>>(l1), squared = splat<Vec<T>>(l2);
    for (Index i = 0; i < count; i += lanes<Vec<T>>) {
        const Vec<T> w = load(weight + i);
        store(gradient + i, fma(squared, w, fma(absolute, sign(w), load(gradient + i))));
    }
}

// Sums over a stretch that starts at a panel row, in double and in one order: lane by lane, then the tree.
template <class T, class Of> double stretch_sum(const T* values, Index count, Of of) {
    constexpr int width = static_cast<int>(panel_width<T>);
    double sums[width]{};
    for (Index i = 0; i < count; i += width)
        for (int lane = 0; lane < width; ++lane) sums[lane] += of(static_cast<double>(values[i + lane]));
    for (int half = width / 2; half > 0; half /= 2)
        for (int i = 0; i < half; ++i) sums[i] += sums[i + half];
    return sums[0];
}

template <class T> void penalty_sums(const T* weight, Index count, double* absolute, double* squared) {
    *absolute = stretch_sum(weight, count, [](double w) { return w < 0 ? -w : w; });
    *squared = stretch_sum(weight, count, [](double w) { return w * w; });
}

template <class T> double sum_of_squares(const T* values, Index count) {
    return stretch_sum(values, count, [](double x) { return x * x; });
}

// In double, since the squares of small floats are 0; the order is that of stretch_sum.
template <class T> void row_squares(const T* first, Index first_stride, const T* second, Index second_stride,
                                    Index panels, Index first_row, Index last_row, double* squares) {
    constexpr int width = static_cast<int>(panel_width<T>);
    typedef double Doubles __attribute__((vector_size(sizeof(double) * lanes<Vec<T>>)));
    for (Index row = first_row; row < last_row; ++row) {
        Doubles sums[panel_vectors]{};
        for (Index panel = 0; panel < panels; ++panel)
            for (int v = 0; v < panel_vectors; ++v) {
                const Index lane = v * lanes<Vec<T>>;
                Doubles x = __builtin_convertvector(load(first + (panel * first_stride + row) * width + lane), Doubles);
                if (second)
                    x += __builtin_convertvector(load(second + (panel * second_stride + row) * width + lane), Doubles);
                sums[v] += x * x;
            }
        double of_lanes[width];
        __builtin_memcpy(of_lanes, sums, sizeof of_lanes);
        for (int half = width / 2; half > 0; half /= 2)
            for (int i = 0; i < half; ++i) of_lanes[i] += of_lanes[i + half];
        squares[row] = of_lanes[0];
    }
}

template <class T> void scale(T* values, Index count, T factor) {
    const Vec<T> by = splat<Vec<T>>(factor);
    for (Index i = 0; i < count; i += lanes<Vec<T>>) store(values + i, load(values + i) * by);
}

template <class T> void approach(T* values, const T* target, Index count, T rate) {
    const Vec<T> by = splat<Vec<T>>(rate);
    for (Index i = 0; i < count; i += lanes<Vec<T>>) {
        const Vec<T> x = load(values + i);
        store(values + i, fma(by, load(target + i) - x, x));
    }
}

template <class T> void clamp(T* values, Index count, T bound) {
    const Vec<T> high = splat<Vec<T>>(bound), low = -high;
    for (Index i = 0; i < count; i += lanes<Vec<T>>) {
        const Vec<T> x = load(values + i);
        store(values + i, x < low ? low : (x > high ? high : x)); // a NaN comes through
    }
}

// x - x is 0 for every finite x and NaN for the others. Any count, any alignment: it also looks at users' arrays.
template <class T> bool all_finite(const T* values, Index count) {
    constexpr Index step = lanes<Vec<T>>;
    Vec<T> seen{};
    Index i = 0;
    for (; i + step <= count; i += step) {
        const Vec<T> x = load(values + i);
        seen += x - x;
    }
    T rest{};
    for (; i < count; ++i) rest += values[i] - values[i];
    for (int lane = 0; lane < static_cast<int>(step); ++lane) rest += seen[lane];
    return rest == 0;
}

} // namespace
} // namespace deltarule::DELTARULE_ISA
