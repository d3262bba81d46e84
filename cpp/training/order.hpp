// The order of the samples in an epoch, drawn by a generator of somebody else's: then a fit continues that one's sequence.
#pragma once

#include <cstdint>
#include <utility>

#include "base/view.hpp"

namespace deltarule {

// What NumPy's bit generators offer to C (numpy/random/bitgen.h), as far as it is needed here.
struct BitGenerator {
    void* state;
    std::uint64_t (*next64)(void* state);
    std::uint32_t (*next32)(void* state);

    // In [0, most], with the draws of numpy.random.RandomState: masked, and again while it is too large.
    std::uint64_t up_to(std::uint64_t most) const {
        std::uint64_t mask = most;
        for (int shift = 1; shift < 64; shift *= 2) mask |= mask >> shift;
        std::uint64_t value = 0;
        do value = (most <= 0xffffffffU ? next32(state) : next64(state)) & mask;
        while (value > most);
        return value;
    }
};

// R. A. Fisher and F. Yates, 1938, from the last place down, as numpy.random.RandomState.shuffle does it. Applied again and
// again it composes: what an epoch begins with is the order of the one before.
inline void shuffle(VectorView<std::int64_t> order, const BitGenerator& generator) {
    for (Index i = order.size - 1; i > 0; --i)
        std::swap(order[i], order[static_cast<Index>(generator.up_to(static_cast<std::uint64_t>(i)))]);
}

} // namespace deltarule
