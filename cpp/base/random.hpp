// Counter-based random numbers: the value at (seed, stream, index) is a pure function of the three, so any thread can
// draw any number in any order. Philox4x32-10, J. K. Salmon et al., "Parallel random numbers: as easy as 1, 2, 3",
// SC 2011, section 3.3. Only + - * / and sqrt below: the same bits on every machine.
#pragma once

#include <array>
#include <cmath>
#include <cstdint>

#include "base/view.hpp"

namespace deltarule {

// One stream for each use, so that adding a draw here never shifts the numbers there.
enum class Stream : std::uint32_t { initialize = 1, shuffle = 2, dropout = 3 };

using Philox = std::array<std::uint32_t, 4>;

inline Philox philox(Philox counter, std::uint64_t seed) {
    auto key0 = static_cast<std::uint32_t>(seed);
    auto key1 = static_cast<std::uint32_t>(seed >> 32);
    for (int round = 0; round < 10; ++round) {
        const std::uint64_t product0 = std::uint64_t{0xD2511F53U} * counter[0];
        const std::uint64_t product1 = std::uint64_t{0xCD9E8D57U} * counter[2];
        counter = {static_cast<std::uint32_t>(product1 >> 32) ^ counter[1] ^ key0, static_cast<std::uint32_t>(product1),
                   static_cast<std::uint32_t>(product0 >> 32) ^ counter[3] ^ key1,
                   static_cast<std::uint32_t>(product0)};
        key0 += 0x9E3779B9U; // the golden ratio
        key1 += 0xBB67AE85U; // sqrt(3) - 1
    }
    return counter;
}

// The key of all random numbers of one step: block `step` of the epoch's numbers.
inline std::uint64_t step_key(std::uint64_t seed, std::uint64_t epoch, std::uint64_t step) {
    const Philox block = philox({static_cast<std::uint32_t>(step), static_cast<std::uint32_t>(Stream::dropout),
                                 static_cast<std::uint32_t>(epoch), static_cast<std::uint32_t>(epoch >> 32)},
                                seed);
    return block[0] | std::uint64_t{block[1]} << 32;
}

// And of one of the pieces that the step's sequences are cut into
inline std::uint64_t piece_key(std::uint64_t key, std::uint32_t piece) {
    if (piece == 0) return key;
    const Philox block = philox({piece, static_cast<std::uint32_t>(Stream::dropout), 0, 0}, key);
    return block[0] | std::uint64_t{block[1]} << 32;
}

// The same numbers faster: those of 16 blocks of a stream from first_block on (kernels/random.hpp).
using PhiloxBlocks = void (*)(std::uint64_t seed, std::uint32_t stream, std::uint64_t substream,
                              std::uint32_t first_block, std::uint32_t* numbers);

class Random {
  public:
    Random(std::uint64_t seed, Stream stream, std::uint64_t substream, PhiloxBlocks bulk = nullptr)
        : seed_(seed), stream_(static_cast<std::uint32_t>(stream)), substream_(substream), bulk_(bulk) {}

    std::uint32_t bits32() {
        if (used_ == filled_) fill();
        return numbers_[used_++];
    }
    // The next numbers of bits32, as many as are at hand, at least 1 and at most `most`.
    VectorView<const std::uint32_t> some_bits32(Index most) {
        if (used_ == filled_) fill();
        const Index at_hand = static_cast<Index>(filled_ - used_), count = most < at_hand ? most : at_hand;
        const std::uint32_t* const first = numbers_.data() + used_;
        used_ += static_cast<unsigned>(count);
        return {first, count};
    }
    std::uint64_t bits64() {
        const std::uint64_t high = bits32();
        return high << 32 | bits32();
    }
    double uniform() { return static_cast<double>(bits64() >> 11) * 0x1p-53; } // in [0, 1)

    // In [0, bound): the high part of a product (D. Lemire, 2019), without rejection; the bias is below bound / 2^64,
    // or below 2^-16 for a small bound.
    std::uint64_t below(std::uint64_t bound) {
        if (bound <= small_bound) return below(bound, bits32());
        __extension__ using Wide = unsigned __int128;
        return static_cast<std::uint64_t>(static_cast<Wide>(bits64()) * bound >> 64);
    }

    static constexpr std::uint64_t small_bound = 0x10000;
    static std::uint64_t below(std::uint64_t small, std::uint32_t bits) { return bits * small >> 32; }

    // Standard normal: the polar method, G. Marsaglia and T. A. Bray, SIAM Review 6 (1964) 260.
    double normal() {
        if (has_spare_) {
            has_spare_ = false;
            return spare_;
        }
        for (;;) {
            const double u = 2 * uniform() - 1;
            const double v = 2 * uniform() - 1;
            const double s = u * u + v * v;
            if (s >= 1 || s == 0) continue;
            const double factor = std::sqrt(-2 * logarithm(s) / s);
            spare_ = v * factor;
            has_spare_ = true;
            return u * factor;
        }
    }

  private:
    void fill() {
        used_ = 0;
        if (bulk_ && block_index_ >= 2) { // whoever wants a few numbers gets a few
            bulk_(seed_, stream_, substream_, block_index_, numbers_.data());
            filled_ = static_cast<unsigned>(numbers_.size());
        } else {
            const Philox block = philox({block_index_, stream_, static_cast<std::uint32_t>(substream_),
                                         static_cast<std::uint32_t>(substream_ >> 32)},
                                        seed_);
            for (std::size_t i = 0; i < block.size(); ++i) numbers_[i] = block[i];
            filled_ = static_cast<unsigned>(block.size());
        }
        block_index_ += filled_ / 4;
    }

    // log x for 0 < x < 1 from log((1+t)/(1-t)) = 2(t + t^3/3 + t^5/5 + …): the C library's last bit differs between machines.
    static double logarithm(double x) {
        int exponent = 0;
        double mantissa = std::frexp(x, &exponent); // exact
        if (mantissa < 0.70710678118654752) {
            mantissa *= 2;
            --exponent;
        }
        const double t = (mantissa - 1) / (mantissa + 1);
        const double t2 = t * t;
        double sum = 0;
        for (int odd = 23; odd >= 1; odd -= 2) sum = sum * t2 + 1.0 / odd;
        return 2 * t * sum + exponent * 0.69314718055994531;
    }

    std::uint64_t seed_;
    std::uint32_t stream_;
    std::uint64_t substream_;
    PhiloxBlocks bulk_;
    std::array<std::uint32_t, 64> numbers_;
    std::uint32_t block_index_ = 0;
    unsigned used_ = 0, filled_ = 0;
    bool has_spare_ = false;
    double spare_ = 0;
};

// A uniformly random order of 0 … size-1, from the Fisher-Yates shuffle; look() is called every 2^16 of them.
template <class Look> void shuffle(VectorView<std::int64_t> order, Random random, const Look& look) {
    for (Index i = 0; i < order.size; ++i) order[i] = i;
    const auto exchange = [order](Index i, std::uint64_t j) {
        const std::int64_t kept = order[i];
        order[i] = order[static_cast<Index>(j)];
        order[static_cast<Index>(j)] = kept;
    };
    constexpr auto small = static_cast<Index>(Random::small_bound);
    Index i = order.size - 1;
    for (; i >= small; --i) {
        if (i % small == 0) look();
        exchange(i, random.below(static_cast<std::uint64_t>(i) + 1));
    }
    while (i > 0)
        for (const std::uint32_t bits : random.some_bits32(i)) {
            exchange(i, Random::below(static_cast<std::uint64_t>(i) + 1, bits));
            --i;
        }
}

} // namespace deltarule
