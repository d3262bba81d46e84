// Products on panels by register tiles, and the forward product of a dense layer (also the gradient of its input, with the
// transposed weight); that of its weight is in weight_gradient.hpp. Each output element has one accumulator and its sum runs
// upward over k: the order, and so every bit, is the same for every tile, register width and number of threads.
#pragma once

#include "kernels/simd.hpp"
#include "kernels/table.hpp"

namespace deltarule::DELTARULE_ISA {
namespace {

// A panel of 64 bytes is `panel_vectors` registers.
inline constexpr int panel_vectors = static_cast<int>(panel_bytes) / DELTARULE_VECTOR_BYTES;
// Where element (row, k) of the left factor lies. Rows of a tile and steps of k walk along or across its panels.
enum class Walk {
    along, // rows are rows of the matrix, k its columns: forward
    across // rows are columns of the matrix (of one panel), k its rows: the gradient of the weight
};

// The tallest tile of so many panels whose sums, panels and one broadcast fit into the registers: 32 of 64 bytes, 16 of
// 32 or 16. A step of k loads rows + panels values for rows · panels multiply-adds: the nearer to a square, the fewer loads.
// Across, a tile stays within the 16 rows of one panel of the input, which these numbers divide evenly.
inline constexpr int tile_panels = DELTARULE_VECTOR_BYTES == 64 ? 5 : 1;
constexpr int tile_rows(Walk walk, int panels) {
    if (DELTARULE_VECTOR_BYTES != 64) return DELTARULE_VECTOR_BYTES == 32 ? 6 : 3;
    constexpr int along[] = {16, 12, 8, 6, 5}, across[] = {8, 8, 8, 6, 4};
    return (walk == Walk::along ? along : across)[panels - 1];
}

// How many rows of a tile take their values from a register, by a permutation, where the others load them: one load a cycle
// is all there is, which would leave narrow tiles waiting.
constexpr int permuted_rows(Walk walk, int rows, int panels) {
    if (DELTARULE_VECTOR_BYTES != 64 || walk == Walk::across || panels > 2 || rows < 8) return 0;
    return panels == 1 ? rows * 5 / 8 : rows / 4;
}

template <class T> struct Tile {
    const T* left;
    Index left_stride; // rows between its panels (along)
    const T* right;
    Index right_stride; // rows between its panels
    Index depth;
    const T* start;               // what the sums begin with, or null
    Index start_row, start_panel; // from one row of it to the next, and from panel to panel
    T* result;
    Index result_stride;
};

template <class T, Walk walk, int rows, int panels> void multiply_tile(const Tile<T>& tile) {
    constexpr Index width = panel_width<T>;
    constexpr int vector_lanes = lanes<Vec<T>>;
    constexpr Index row_step = walk == Walk::along ? width : 1;
    constexpr Index k_step = walk == Walk::along ? 1 : width;

    Vec<T> sum[rows][panels][panel_vectors];
    if (tile.start_row == 0) { // one for all rows
        DELTARULE_UNROLL for (int p = 0; p < panels; ++p) DELTARULE_UNROLL for (int v = 0; v < panel_vectors; ++v) {
            const Vec<T> start = tile.start ? load(tile.start + p * tile.start_panel + v * vector_lanes) : Vec<T>{};
            DELTARULE_UNROLL for (int r = 0; r < rows; ++r) sum[r][p][v] = start;
        }
    } else {
        DELTARULE_UNROLL for (int p = 0; p < panels; ++p) DELTARULE_UNROLL for (int r = 0; r < rows; ++r)
            DELTARULE_UNROLL for (int v = 0; v < panel_vectors; ++v) sum[r][p][v] =
                load(tile.start + p * tile.start_panel + r * tile.start_row + v * vector_lanes);
    }

    constexpr int permuted = permuted_rows(walk, rows, panels);
    const T* right = tile.right;
    const Index right_step = tile.right_stride * width;
    const Index stretch = walk == Walk::along ? width : tile.depth;
    for (Index first = 0; first < tile.depth; first += stretch) {
        const T* left = tile.left + (walk == Walk::along ? first * tile.left_stride : 0);
        const Index count = tile.depth - first < stretch ? tile.depth - first : stretch;
        Vec<T> values[permuted + 1];
        DELTARULE_UNROLL for (int r = 0; r < permuted; ++r) values[r] = load(left + r * row_step);
        BitsOf<T> number{}; // of the lane that holds step k
        _Pragma("GCC unroll 2") for (Index k = 0; k < count; ++k) {
            Vec<T> b[panels][panel_vectors];
            DELTARULE_UNROLL for (int p = 0; p < panels; ++p) DELTARULE_UNROLL for (int v = 0; v < panel_vectors; ++v)
                b[p][v] = load(right + p * right_step + v * vector_lanes);
            DELTARULE_UNROLL for (int r = 0; r < rows; ++r) {
                const Vec<T> a = r < permuted ? permute(values[r], number) : splat<Vec<T>>(left[r * row_step]);
                DELTARULE_UNROLL for (int p = 0; p < panels; ++p)
                    DELTARULE_UNROLL for (int v = 0; v < panel_vectors; ++v) sum[r][p][v] =
                        fma(a, b[p][v], sum[r][p][v]);
            }
            left += k_step;
            right += width;
            number += 1;
        }
    }

    DELTARULE_UNROLL for (int p = 0; p < panels; ++p) DELTARULE_UNROLL for (int r = 0; r < rows; ++r)
        DELTARULE_UNROLL for (int v = 0; v < panel_vectors; ++v)
            store(tile.result + p * tile.result_stride * width + r * width + v * vector_lanes, sum[r][p][v]);
}

// One function for each number of rows and panels up to the largest, found by panels - 1 and rows - 1.
template <class T> using TileFunction = void (*)(const Tile<T>&);
template <class T, Walk walk> struct TileTable {
    TileFunction<T> by_shape[tile_panels][tile_rows(walk, 1)];

    template <int panels, int rows> constexpr void fill() {
        by_shape[panels - 1][rows - 1] = &multiply_tile<T, walk, rows, panels>;
        if constexpr (rows > 1)
            fill<panels, rows - 1>();
        else if constexpr (panels > 1)
            fill<panels - 1, tile_rows(walk, panels - 1)>();
    }
    constexpr TileTable() : by_shape{} { fill<tile_panels, tile_rows(walk, tile_panels)>(); }
};
template <class T, Walk walk> inline constexpr TileTable<T, walk> tile_table{};

// Calls visit(first, count) for stretches of at most `largest` that cover first … last-1, as even as can be: 9 rows in
// tiles of 8 go as 5 + 4, since a tile of one row waits for its own sums.
template <class Visit> inline void for_even_stretches(Index first, Index last, Index largest, const Visit& visit) {
    if (last <= first) return;
    if (last - first <= largest)
        return visit(first, last - first); // the common case of small networks, without a division
    Index left = (last - first + largest - 1) / largest;
    for (; left > 0; --left) {
        const Index count = (last - first + left - 1) / left;
        visit(first, count);
        first += count;
    }
}

template <class T> void multiply(const Multiply<T>& m) {
    constexpr Index width = panel_width<T>;
    const Index panels = (m.columns + width - 1) / width;
    for_even_stretches(0, panels, tile_panels, [&](Index panel, Index panel_count) {
        T* const result = m.output + panel * m.output_stride * width;
        const int most_rows = tile_rows(Walk::along, static_cast<int>(panel_count));
        for_even_stretches(m.first_row, m.last_row, most_rows, [&](Index row, Index rows) {
            tile_table<T, Walk::along>.by_shape[panel_count - 1][rows - 1](
                m.accumulate ? Tile<T>{m.input + row * width, m.input_stride, m.weight + panel * m.depth * width,
                                       m.depth, m.depth, result + row * width, width, m.output_stride * width,
                                       result + row * width, m.output_stride}
                             : Tile<T>{m.input + row * width, m.input_stride, m.weight + panel * m.depth * width,
                                       m.depth, m.depth, m.bias ? m.bias + panel * width : nullptr, 0, width,
                                       result + row * width, m.output_stride});
        });
        if (!m.epilogue) return;
        for (Index p = 0; p < panel_count; ++p) {
            const Index offset = (p * m.output_stride + m.first_row) * width;
            T* const saved = m.saved ? m.saved + panel * m.output_stride * width + offset : nullptr;
            m.epilogue(result + offset, saved, (m.last_row - m.first_row) * width);
        }
    });
}

} // namespace
} // namespace deltarule::DELTARULE_ISA
