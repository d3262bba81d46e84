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

inline constexpr int mask_units = 16, mask_rows = 16; // of the blocks in a group

// What decides about 16 units in `groups` times 16 rows
template <int groups> struct MaskBlocks {
    alignas(64) std::uint32_t words[4][groups][mask_units];
    alignas(64) std::int32_t thresholds[groups][mask_units];
};

// Some groups side by side: one alone would wait for its own products.
template <int groups, class T>
void draw_masks(const DropoutRows<T>& rows, Index first_unit, Index first_group, MaskBlocks<groups>& blocks) {
    auto key0 = static_cast<std::uint32_t>(rows.key), key1 = static_cast<std::uint32_t>(rows.key >> 32);
    for (int g = 0; g < groups; ++g)
        for (int lane = 0; lane < mask_units; ++lane) {
            const auto group = static_cast<std::uint32_t>(first_group + g);
            const auto unit = static_cast<std::uint32_t>(first_unit + lane);
            blocks.words[0][g][lane] = unit;
            blocks.words[1][g][lane] = group;
            // 16 bits that are spread evenly over units and groups, from a place that the key decides
            const std::uint32_t between = (unit * 0x9E37U + group * 0x79B9U + key0) & 0xffffU;
            blocks.thresholds[g][lane] = static_cast<std::int32_t>((rows.rate + between) >> 16);
        }
    constexpr int items = static_cast<int>(sizeof blocks.words / 4 / sizeof(MaskItem));
    MaskItem counter[4][items];
    __builtin_memcpy(counter, blocks.words, sizeof counter / 2);
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
    __builtin_memcpy(blocks.words, counter, sizeof counter);
}

// One register of each row of a group: first … last-1 of its 16 rows. The pointers begin where row 0 of the group would.
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

template <class T, int groups> void drop_groups(const DropoutRows<T>& rows, Index first_unit, Index first_group) {
    constexpr Index width = panel_width<T>;
    MaskBlocks<groups> blocks;
    draw_masks(rows, first_unit, first_group, blocks);
    for (int g = 0; g < groups; ++g) {
        const Index row = (first_group + g) * mask_rows, first = rows.first_row - row, last = rows.last_row - row;
        for (int lane = 0; lane < mask_units; lane += lanes<Vec<T>>) {
            const Index unit = first_unit + lane, panel = unit / width;
            if (panel * width >= rows.columns) break;
            const Index place = (panel * rows.stride + row) * width + unit % width;
            const auto drop = [&](Index from, Index to) {
                drop_lanes(&blocks.words[0][g][lane], groups * mask_units, &blocks.thresholds[g][lane], rows.scale,
                           rows.input + place, rows.output + place, rows.multiplier + place, from, to);
            };
            if (first <= 0 && last >= mask_rows)
                drop(0, mask_rows); // known to the compiler: without a question at each row
            else
                drop(first, last);
        }
    }
}

template <class T> void drop_out(const DropoutRows<T>& rows) {
    constexpr int side_by_side = 4;
    const Index end = (rows.last_row + mask_rows - 1) / mask_rows;
    for (Index unit = 0; unit < rows.columns; unit += mask_units) {
        Index group = rows.first_row / mask_rows;
        for (; group + side_by_side / 2 < end; group += side_by_side) drop_groups<T, side_by_side>(rows, unit, group);
        for (; group < end; ++group) drop_groups<T, 1>(rows, unit, group);
    }
}

// An epilogue: values *= saved
template <class T> void multiply_by(T* values, T* saved, Index count) {
    for (Index i = 0; i < count; i += lanes<Vec<T>>) store(values + i, load(values + i) * load(saved + i));
}

} // namespace
} // namespace deltarule::DELTARULE_ISA
