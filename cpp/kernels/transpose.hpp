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

template <int half, class V> inline void transpose_square(V (&rows)[lanes<V>]) {
    if constexpr (half > 0) {
        DELTARULE_UNROLL for (int row = 0; row < lanes<V>; ++row) if (!(row & half))
            exchange<half>(rows[row], rows[row + half], LaneNumbers<V>{});
        transpose_square<half / 2>(rows);
    }
}

template <class T> void transpose(const Transpose<T>& t) {
    constexpr Index width = panel_width<T>;
    constexpr int side = lanes<Vec<T>>;
    for (Index panel = t.first_panel; panel < t.last_panel; ++panel)
        for (Index row = t.first_row; row < t.last_row; row += side) {
            const Index rows_left = t.last_row - row < side ? t.last_row - row : side;
            for (Index lane = 0; lane < width; lane += side) {
                const Index columns_left = t.columns - panel * width - lane;
                if (columns_left <= 0) break;
                Vec<T> square[side];
                const T* const from = t.source + (panel * t.source_stride + row) * width + lane;
                DELTARULE_UNROLL for (int i = 0; i < side; ++i) square[i] =
                    i < rows_left ? load(from + i * width) : Vec<T>{};
                transpose_square<side / 2>(square);
                T* const to = t.target + (row / width * t.target_stride + panel * width + lane) * width + row % width;
                DELTARULE_UNROLL for (int i = 0; i < side; ++i) if (i < columns_left) store(to + i * width, square[i]);
            }
        }
}

} // namespace
} // namespace deltarule::DELTARULE_ISA
