// The two products of a dense layer, on panels: forward (also the gradient of the input, with the transposed weight) and
// the gradient of the weight. Each output element has one accumulator and its sum runs upward over k: the order, and so
// every bit, is the same for every tile, register width and number of threads.
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
// 32 or 16. Few sums would wait for themselves, hence many rows along one panel; across, more than 8 were seen to be slower.
inline constexpr int tile_panels = DELTARULE_VECTOR_BYTES == 64 ? 3 : 1;
constexpr int tile_rows(Walk walk, int panels) {
    if (DELTARULE_VECTOR_BYTES != 64) return DELTARULE_VECTOR_BYTES == 32 ? 6 : 3;
    if (walk == Walk::across) return 8;
    return panels == 1 ? 16 : panels == 2 ? 12 : 8;
}

template <class T> struct Tile {
    const T* left;
    Index left_stride; // rows between its panels (along)
    const T* right;
    Index right_stride; // rows between its panels
    Index depth;
    const T* start; // added first, one panel row for each panel, or null
    T* result;
    Index result_stride;
};

template <class T, Walk walk, int rows, int panels> void multiply_tile(const Tile<T>& tile) {
    constexpr Index width = panel_width<T>;
    constexpr int vector_lanes = lanes<Vec<T>>;
    constexpr Index row_step = walk == Walk::along ? width : 1;
    constexpr Index k_step = walk == Walk::along ? 1 : width;

    Vec<T> sum[rows][panels][panel_vectors];
    DELTARULE_UNROLL for (int p = 0; p < panels; ++p) DELTARULE_UNROLL for (int v = 0; v < panel_vectors; ++v) {
        const Vec<T> start = tile.start ? load(tile.start + p * width + v * vector_lanes) : Vec<T>{};
        DELTARULE_UNROLL for (int r = 0; r < rows; ++r) sum[r][p][v] = start;
    }

    const T* right = tile.right;
    const Index right_step = tile.right_stride * width;
    const Index stretch = walk == Walk::along ? width : tile.depth;
    for (Index first = 0; first < tile.depth; first += stretch) {
        const T* left = tile.left + (walk == Walk::along ? first * tile.left_stride : 0);
        const Index count = tile.depth - first < stretch ? tile.depth - first : stretch;
        for (Index k = 0; k < count; ++k) {
            Vec<T> b[panels][panel_vectors];
            DELTARULE_UNROLL for (int p = 0; p < panels; ++p) DELTARULE_UNROLL for (int v = 0; v < panel_vectors; ++v)
                b[p][v] = load(right + p * right_step + v * vector_lanes);
            DELTARULE_UNROLL for (int r = 0; r < rows; ++r) {
                const Vec<T> a = splat<Vec<T>>(left[r * row_step]);
                DELTARULE_UNROLL for (int p = 0; p < panels; ++p)
                    DELTARULE_UNROLL for (int v = 0; v < panel_vectors; ++v) sum[r][p][v] =
                        fma(a, b[p][v], sum[r][p][v]);
            }
            left += k_step;
            right += width;
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
                {m.input + row * width, m.input_stride, m.weight + panel * m.depth * width, m.depth, m.depth,
                 m.bias ? m.bias + panel * width : nullptr, result + row * width, m.output_stride});
        });
        if (!m.epilogue) return;
        for (Index p = 0; p < panel_count; ++p) {
            const Index offset = (p * m.output_stride + m.first_row) * width;
            T* const saved = m.saved ? m.saved + panel * m.output_stride * width + offset : nullptr;
            m.epilogue(result + offset, saved, (m.last_row - m.first_row) * width);
        }
    });
}

template <class T> void weight_gradient(const WeightGradient<T>& g) {
    constexpr Index width = panel_width<T>;
    for_even_stretches(g.first_panel, g.last_panel, tile_panels, [&](Index panel, Index panel_count) {
        for (Index first = g.first_row; first < g.last_row;) {
            const Index input_panel = first / width; // a tile stays within one panel of the input
            const Index last = (input_panel + 1) * width < g.last_row ? (input_panel + 1) * width : g.last_row;
            const int most_rows = tile_rows(Walk::across, static_cast<int>(panel_count));
            for_even_stretches(first, last, most_rows, [&](Index row, Index rows) {
                tile_table<T, Walk::across>.by_shape[panel_count - 1][rows - 1](
                    {g.input + input_panel * g.input_stride * width + row % width, 0,
                     g.delta + panel * g.delta_stride * width, g.delta_stride, g.batch, nullptr,
                     g.gradient + ((panel - g.first_panel) * g.gradient_stride + row - g.first_row) * width,
                     g.gradient_stride});
            });
            first = last;
        }
    });
}

// Panels side by side, since a sum waits for itself.
template <class T, int panels> void sum_panels(const T* delta, Index delta_stride, Index batch, T* sums) {
    constexpr Index width = panel_width<T>;
    constexpr int vector_lanes = lanes<Vec<T>>;
    Vec<T> sum[panels][panel_vectors]{};
    for (Index row = 0; row < batch; ++row, delta += width)
        DELTARULE_UNROLL for (int p = 0; p < panels; ++p) DELTARULE_UNROLL for (int v = 0; v < panel_vectors; ++v)
            sum[p][v] += load(delta + p * delta_stride * width + v * vector_lanes);
    DELTARULE_UNROLL for (int p = 0; p < panels; ++p) DELTARULE_UNROLL for (int v = 0; v < panel_vectors; ++v)
        store(sums + p * width + v * vector_lanes, sum[p][v]);
}

template <class T>
void column_sums(const T* delta, Index delta_stride, Index batch, T* sums, Index first_panel, Index last_panel) {
    constexpr Index width = panel_width<T>;
    for (Index panel = first_panel; panel < last_panel; sums += 2 * width, panel += 2) {
        const T* const from = delta + panel * delta_stride * width;
        if (panel + 1 < last_panel)
            sum_panels<T, 2>(from, delta_stride, batch, sums);
        else
            sum_panels<T, 1>(from, delta_stride, batch, sums);
    }
}

} // namespace
} // namespace deltarule::DELTARULE_ISA
