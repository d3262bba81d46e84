// The transpose of a weight from panels into panels, by squares of as many rows as a register has lanes: log2(lanes) rounds
// of two-register shuffles, in which halves of the square change places, then quarters, and so on.
#pragma once

#include "kernels/matmul.hpp"
#include "kernels/table.hpp"

namespace deltarule::DELTARULE_ISA {
namespace {

// Lanes of a and b by their numbers, those of b counted on from those of a: in one round, lane l of the first result is a's
// own or comes from b's, `half` lanes below; of the second, from a's, `half` above, or b's own.
template <int half, class V, int... lane> inline void exchange(V& a, V& b, Numbers<lane...>) {
    constexpr int width = static_cast<int>(sizeof...(lane));
    const V first = __builtin_shufflevector(a, b, (lane & half ? width + lane - half : lane)...);
    b = __builtin_shufflevector(a, b, (lane & half ? width + lane : lane + half)...);
    a = first;
}

template <int half, class V> DELTARULE_INLINE void transpose_square(V (&rows)[lanes<V>]) {
    if constexpr (half > 0) {
        DELTARULE_UNROLL for (int row = 0; row < lanes<V>; ++row) if (!(row & half))
            exchange<half>(rows[row], rows[row + half], LaneNumbers<V>{});
        transpose_square<half / 2>(rows);
    }
}

// One square; rows and columns past its end are read as zeros and not written.
template <class T, bool whole>
inline void transpose_at(const T* from, T* to, [[maybe_unused]] Index rows, [[maybe_unused]] Index columns) {
    constexpr Index width = panel_width<T>;
    constexpr int side = lanes<Vec<T>>;
    Vec<T> square[side];
    DELTARULE_UNROLL for (int i = 0; i < side; ++i) square[i] = whole || i < rows ? load(from + i * width) : Vec<T>{};
    transpose_square<side / 2>(square);
    DELTARULE_UNROLL for (int i = 0; i < side; ++i) if (whole || i < columns) store(to + i * width, square[i]);
}

template <class T> void transpose(const Transpose<T>& t) {
    constexpr Index width = panel_width<T>;
    constexpr Index side = lanes<Vec<T>>;
    for (Index panel = t.first_panel; panel < t.last_panel; ++panel)
        for (Index row = t.first_row; row < t.last_row; row += side)
            for (Index lane = 0; lane < width; lane += side) {
                const Index rows = t.last_row - row, columns = t.columns - panel * width - lane;
                if (columns <= 0) break;
                const T* const from = t.source + (panel * t.source_stride + row) * width + lane;
                T* const to = t.target + (row / width * t.target_stride + panel * width + lane) * width + row % width;
                if (rows >= side && columns >= side)
                    transpose_at<T, true>(from, to, rows, columns);
                else
                    transpose_at<T, false>(from, to, rows, columns);
            }
}

} // namespace
} // namespace deltarule::DELTARULE_ISA
