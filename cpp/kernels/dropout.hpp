// Dropout: y = x m, where m is 0 or 1 / (1 - rate); N. Srivastava et al., JMLR 15 (2014) 1929. Who drops out is a pure function
// of the step's key, the layer, the row of the batch and the unit: Philox4x32-10 (base/random.hpp) with the key of the step
// gives block {unit, row / 16, layer, 0}, whose 16 bytes are for 16 rows. A byte below the threshold drops the unit out.
// The threshold is the rate in 256ths, rounded up or down from block to block, so that the chance is the rate to 2^-25.
#pragma once

#include "kernels/math_parts.hpp"
#include "kernels/matmul.hpp"
#include "kernels/random.hpp"
#include "kernels/table.hpp"

namespace deltarule::DELTARULE_ISA {
namespace {

typedef std::uint32_t MaskWords __attribute__((vector_size(DELTARULE_VECTOR_BYTES)));
template <class T> struct MaskLanes; // as many words as there are numbers in a register
template <> struct MaskLanes<float> {
    typedef std::int32_t type __attribute__((vector_size(DELTARULE_VECTOR_BYTES)));
};
template <> struct MaskLanes<double> {
    typedef std::int32_t type __attribute__((vector_size(DELTARULE_VECTOR_BYTES / 2)));
};

// What is computed at a time: a register where it multiplies 64 bits, else a word. GCC 12 finds the multiplication of 32 by 32
// bits, which the narrower registers have, for words in a loop alone.
template <int bytes> struct MaskStep {
    using type = std::uint32_t;
};
template <> struct MaskStep<64> {
    using type = MaskWords;
};
using MaskItem = typename MaskStep<DELTARULE_VECTOR_BYTES>::type;

DELTARULE_INLINE std::uint32_t upper_product(std::uint32_t a, std::uint64_t factor) {
    return static_cast<std::uint32_t>(a * factor >> 32);
}
DELTARULE_INLINE MaskWords upper_product(MaskWords a, std::uint64_t factor) { // of even and of odd lanes
    constexpr std::uint64_t low = 0xffffffff;
    const Words both = reinterpret_cast<Words>(a);
    return reinterpret_cast<MaskWords>((((both & low) * factor) >> 32) | (((both >> 32) * factor) & ~low));
}

inline constexpr int mask_units = 16, mask_rows = 16; // of a square: what a row of 16 blocks decides about

// A few squares that are drawn side by side, since one alone would wait for its own products.
template <int count> struct MaskSquares {
    Index unit[count], row[count]; // the first of each
    alignas(64) std::uint32_t words[4][count][mask_units];
    alignas(64) std::int32_t thresholds[count][mask_units];
};

template <int count, class T> void draw_masks(const DropoutRows<T>& rows, MaskSquares<count>& squares) {
    auto key0 = static_cast<std::uint32_t>(rows.key), key1 = static_cast<std::uint32_t>(rows.key >> 32);
    for (int square = 0; square < count; ++square) {
        const auto group = static_cast<std::uint32_t>(squares.row[square] / mask_rows);
        for (int lane = 0; lane < mask_units; lane += lanes<MaskWords>) {
            const MaskWords units = reinterpret_cast<MaskWords>(lane_numbers<float>()) +
                                    static_cast<std::uint32_t>(squares.unit[square] + lane);
            const MaskWords groups = MaskWords{} + group;
            // 16 bits that are spread evenly over units and groups, from a place that the key decides
            const MaskWords between = (units * 0x9E37U + (group * 0x79B9U + key0)) & 0xffffU;
            const MaskWords thresholds = (between + rows.rate) >> 16;
            __builtin_memcpy(&squares.words[0][square][lane], &units, sizeof units);
            __builtin_memcpy(&squares.words[1][square][lane], &groups, sizeof groups);
            __builtin_memcpy(&squares.thresholds[square][lane], &thresholds, sizeof thresholds);
        }
    }
    constexpr int items = static_cast<int>(sizeof squares.words / 4 / sizeof(MaskItem));
    MaskItem counter[4][items];
    __builtin_memcpy(counter, squares.words, sizeof counter / 2);
    for (int i = 0; i < items; ++i) {
        counter[2][i] = MaskItem{} + rows.layer;
        counter[3][i] = MaskItem{};
    }
    for (int round = 0; round < 10; ++round) {
        for (int i = 0; i < items; ++i) {
            const MaskItem left = counter[0][i], right = counter[2][i];
            counter[0][i] = upper_product(right, 0xCD9E8D57) ^ counter[1][i] ^ key0;
            counter[1][i] = right * 0xCD9E8D57U;
            counter[2][i] = upper_product(left, 0xD2511F53) ^ counter[3][i] ^ key1;
            counter[3][i] = left * 0xD2511F53U;
        }
        key0 += 0x9E3779B9U;
        key1 += 0xBB67AE85U;
    }
    __builtin_memcpy(squares.words, counter, sizeof counter);
}

// One register of each row of a square: first … last-1 of its 16 rows. The pointers begin where row 0 of the square would.
template <class T> DELTARULE_INLINE void drop_lanes(const std::uint32_t* words, Index step,
                                                    const std::int32_t* thresholds, T kept, const T* input, T* output,
                                                    T* multipliers, Index first, Index last) {
    using Lanes = typename MaskLanes<T>::type;
    constexpr Index width = panel_width<T>;
    const Vec<T> scale = splat<Vec<T>>(kept);
    Lanes threshold;
    __builtin_memcpy(&threshold, thresholds, sizeof threshold);
    DELTARULE_UNROLL for (int word = 0; word < 4; ++word) {
        Lanes bytes;
        __builtin_memcpy(&bytes, words + word * step, sizeof bytes);
        DELTARULE_UNROLL for (int byte = 0; byte < 4; ++byte) {
            const Index row = 4 * word + byte;
            if (row < first || row >= last) continue;
            const auto stays = __builtin_convertvector(((bytes >> (8 * byte)) & 255) >= threshold, BitsOf<T>);
            const Vec<T> multiplier = stays ? scale : Vec<T>{};
            store(multipliers + row * width, multiplier);
            store(output + row * width, load(input + row * width) * multiplier);
        }
    }
}

template <class T, int count> void drop_squares(const DropoutRows<T>& rows, MaskSquares<count>& squares, int in_use) {
    constexpr Index width = panel_width<T>;
    draw_masks(rows, squares);
    for (int square = 0; square < in_use; ++square) {
        const Index row = squares.row[square], first = rows.first_row - row, last = rows.last_row - row;
        for (int lane = 0; lane < mask_units; lane += lanes<Vec<T>>) {
            const Index unit = squares.unit[square] + lane, panel = unit / width;
            if (panel * width >= rows.columns) break;
            const Index place = (panel * rows.stride + row - rows.rows_before) * width + unit % width;
            const auto drop = [&](Index from, Index to) {
                drop_lanes(&squares.words[0][square][lane], count * mask_units, &squares.thresholds[square][lane],
                           rows.scale, rows.input + place, rows.output + place, rows.multiplier + place, from, to);
            };
            if (first <= 0 && last >= mask_rows)
                drop(0, mask_rows); // known to the compiler: without a question at each row
            else
                drop(first, last);
        }
    }
}

template <class T> void drop_out(const DropoutRows<T>& rows) {
    const Index begin = rows.first_row / mask_rows * mask_rows;
    Index unit = 0, row = begin;
    const auto place_next = [&](Index& of_unit, Index& of_row) { // down the rows, then to the next units
        of_unit = unit;
        of_row = row;
        row += mask_rows;
        if (row < rows.last_row) return;
        row = begin;
        unit += mask_units;
    };
    while (unit < rows.columns) {
        MaskSquares<4> squares;
        int in_use = 0;
        for (; in_use < 4 && unit < rows.columns; ++in_use) place_next(squares.unit[in_use], squares.row[in_use]);
        if (in_use == 1) {
            MaskSquares<1> one;
            one.unit[0] = squares.unit[0];
            one.row[0] = squares.row[0];
            drop_squares(rows, one, 1);
        } else {
            for (int square = in_use; square < 4; ++square) squares.unit[square] = squares.row[square] = 0;
            drop_squares(rows, squares, in_use);
        }
    }
}

// An epilogue: values *= saved
template <class T> void multiply_by(T* values, T* saved, Index count) {
    for (Index i = 0; i < count; i += lanes<Vec<T>>) store(values + i, load(values + i) * load(saved + i));
}

} // namespace
} // namespace deltarule::DELTARULE_ISA
