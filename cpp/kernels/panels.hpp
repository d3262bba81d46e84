// The way in and out of the panels, and what runs over a stretch of them value by value: penalties, norms, clipping.
#pragma once

#include "kernels/matmul.hpp"
#include "kernels/rows.hpp"
#include "kernels/table.hpp"

namespace deltarule::DELTARULE_ISA {
namespace {

// Fewer values than a panel is wide, in pieces of 8, 4, 2 and 1: a few moves where a loop or a call would cost more.
template <class T> inline void copy_part(const T* from, T* to, Index count) {
    const auto piece = [&]<int size>() {
        if (!(count & size)) return;
        __builtin_memcpy(to, from, size * sizeof(T));
        from += size;
        to += size;
    };
    piece.template operator()<8>();
    piece.template operator()<4>();
    piece.template operator()<2>();
    piece.template operator()<1>();
}

template <class T> void gather(const T* matrix, Index columns, const std::int64_t* order, Index count, T* panels,
                               Index stride, Index first_row) {
    constexpr Index width = panel_width<T>;
    // Picked rows lie anywhere in memory, and no processor can guess where: they are called for some lines in advance.
    constexpr Index bytes_ahead = 2048, most_rows_ahead = 16;
    const Index rows_ahead = 1 + bytes_ahead / (columns * static_cast<Index>(sizeof(T)));
    const Index ahead = rows_ahead < most_rows_ahead ? rows_ahead : most_rows_ahead;
    const auto row_at = [&](Index i) { return matrix + (order ? static_cast<Index>(order[i]) : i) * columns; };
    for (Index i = 0; i < count; ++i) {
        const T* from = row_at(i);
        const T* const later = row_at(i + ahead < count ? i + ahead : i);
        T* to = panels + (first_row + i) * width;
        Index column = 0;
        for (; column + width <= columns; column += width, to += stride * width) {
            __builtin_prefetch(later + column);
            for (int v = 0; v < panel_vectors; ++v)
                store(to + v * lanes<Vec<T>>, load(from + column + v * lanes<Vec<T>>));
        }
        copy_part(from + column, to, columns - column); // its padding stays zero
    }
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

template <class T> void scale(T* values, Index count, T factor) {
    const Vec<T> by = splat<Vec<T>>(factor);
    for (Index i = 0; i < count; i += lanes<Vec<T>>) store(values + i, load(values + i) * by);
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
