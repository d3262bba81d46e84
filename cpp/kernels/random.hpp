// Philox4x32-10 in bulk: the numbers of base/random.hpp, sixteen blocks side by side.
#pragma once

#include "kernels/simd.hpp"
#include "kernels/table.hpp"

namespace deltarule::DELTARULE_ISA {
namespace {

typedef std::uint64_t Words
    __attribute__((vector_size(DELTARULE_VECTOR_BYTES))); // each holds 32 bits, so that products fit

void philox_blocks(std::uint64_t seed, std::uint32_t stream, std::uint64_t substream, std::uint32_t first_block,
                   std::uint32_t* numbers) {
    constexpr int blocks = philox_bulk / 4, width = lanes<Words>;
    constexpr std::uint64_t low = 0xffffffff;
    for (int first = 0; first < blocks; first += width) {
        std::uint64_t number[width];
        for (int lane = 0; lane < width; ++lane) number[lane] = first_block + static_cast<std::uint32_t>(first + lane);
        Words counter[4] = {Words{}, Words{} + stream, Words{} + (substream & low), Words{} + (substream >> 32)};
        __builtin_memcpy(&counter[0], number, sizeof number);
        std::uint64_t key0 = seed & low, key1 = seed >> 32;
        for (int round = 0; round < 10; ++round) {
            const Words product0 = counter[0] * std::uint64_t{0xD2511F53},
                        product1 = counter[2] * std::uint64_t{0xCD9E8D57};
            counter[0] = (product1 >> 32) ^ counter[1] ^ key0;
            counter[1] = product1 & low;
            counter[2] = (product0 >> 32) ^ counter[3] ^ key1;
            counter[3] = product0 & low;
            key0 = (key0 + 0x9E3779B9) & low;
            key1 = (key1 + 0xBB67AE85) & low;
        }
        for (int lane = 0; lane < width; ++lane)
            for (int i = 0; i < 4; ++i) *numbers++ = static_cast<std::uint32_t>(counter[i][lane]);
    }
}

} // namespace
} // namespace deltarule::DELTARULE_ISA
