// What the elementary functions of math.hpp are made of: the layout of a float and a double, polynomials, sums and
// products with their rounding errors, and float arithmetic carried out in double.
// The error-free sums and products are those of Dekker (1971) and Knuth (The Art of Computer Programming 2, 4.2.2).
#pragma once

#include <cstddef>
#include <cstdint>

#include "kernels/simd.hpp"

// Left to itself GCC calls what several kernels use, and each call loads its constants again: twice the time for a tanh.
#define DELTARULE_INLINE [[gnu::always_inline]] inline

namespace deltarule::DELTARULE_ISA {
namespace {

template <class T> struct Format;
template <> struct Format<float> {
    typedef std::uint32_t integers __attribute__((vector_size(DELTARULE_VECTOR_BYTES)));
    using integer = std::uint32_t;
    static constexpr int mantissa_bits = 23;
    static constexpr integer bias = 127;
    static constexpr integer sign = 0x80000000U;
    static constexpr integer mantissa = 0x007fffffU;
    static constexpr integer one = 0x3f800000U;
    static constexpr integer root_half = 0x3f3504f3U;            // sqrt(1/2)
    static constexpr integer two_to_mantissa_bits = 0x4b000000U; // 2^23
    static constexpr float infinity = __builtin_huge_valf();
    static constexpr float nan = __builtin_nanf("");
    static constexpr float smallest_normal = 0x1p-126F;
    static constexpr float to_integer = 0x1.8p23F; // x + to_integer rounds x, and its last bits are the integer
    static constexpr float splitter = 0x1.002p12F; // 2^12 + 1, Dekker's
};
template <> struct Format<double> {
    typedef std::uint64_t integers __attribute__((vector_size(DELTARULE_VECTOR_BYTES)));
    using integer = std::uint64_t;
    static constexpr int mantissa_bits = 52;
    static constexpr integer bias = 1023;
    static constexpr integer sign = 0x8000000000000000U;
    static constexpr integer mantissa = 0x000fffffffffffffU;
    static constexpr integer one = 0x3ff0000000000000U;
    static constexpr integer root_half = 0x3fe6a09e667f3bcdU;
    static constexpr integer two_to_mantissa_bits = 0x4330000000000000U; // 2^52
    static constexpr double infinity = __builtin_huge_val();
    static constexpr double nan = __builtin_nan("");
    static constexpr double smallest_normal = 0x1p-1022;
    static constexpr double to_integer = 0x1.8p52;
    static constexpr double splitter = 0x1.0000002p27; // 2^27 + 1
};
template <class V> using FormatOf = Format<Scalar<V>>;
template <class V> using Integers = typename FormatOf<V>::integers; // unsigned, so that a shift and a wrap are defined

template <class V> DELTARULE_INLINE Integers<V> integers_of(V a) { return reinterpret_cast<Integers<V>>(a); }
template <class V> DELTARULE_INLINE V from_integers(Integers<V> a) { return reinterpret_cast<V>(a); }
template <class V> DELTARULE_INLINE Integers<V> masked(Bits<V> mask, typename FormatOf<V>::integer value) {
    return reinterpret_cast<Integers<V>>(mask) & value;
}

template <class V> DELTARULE_INLINE V sign_bit(V a) { return from_integers<V>(integers_of(a) & FormatOf<V>::sign); }
template <class V> DELTARULE_INLINE V flip_sign(V a, V sign) {
    return from_integers<V>(integers_of(a) ^ integers_of(sign));
}
template <class V> DELTARULE_INLINE V set_sign(V a, V sign) {
    return from_integers<V>(integers_of(a) | integers_of(sign));
}

// c[first] + c[first + 1] x + c[first + 2] x² + …, by Horner's rule
template <std::size_t first = 0, class V, class T, std::size_t count>
DELTARULE_INLINE V polynomial(V x, const T (&c)[count]) {
    if constexpr (first + 1 == count)
        return splat<V>(c[first]);
    else
        return fma(polynomial<first + 1>(x, c), x, splat<V>(c[first]));
}

template <class V> struct Pair { // the unevaluated sum high + low, |low| at most half a unit in the last place of high
    V high, low;
};

// a + b exactly
template <class V> DELTARULE_INLINE Pair<V> exact_sum(V a, V b) {
    const V sum = a + b;
    const V b_part = sum - a;
    return {sum, (a - (sum - b_part)) + (b - b_part)};
}

// a * b exactly, as long as nothing overflows or underflows
template <class V> DELTARULE_INLINE Pair<V> exact_product(V a, V b) {
    const V product = a * b;
    if constexpr (DELTARULE_FMA) {
        return {product, fma(a, b, -product)};
    } else {
        const V a_scaled = a * FormatOf<V>::splitter, b_scaled = b * FormatOf<V>::splitter;
        const V a_high = a_scaled - (a_scaled - a), b_high = b_scaled - (b_scaled - b);
        const V a_low = a - a_high, b_low = b - b_high;
        return {product, ((a_high * b_high - product) + a_high * b_low + a_low * b_high) + a_low * b_low};
    }
}

// a - b c, rounded once whenever a and b c are within a factor of two of each other, FMA or not
template <class V> DELTARULE_INLINE V subtract_product(V a, V b, V c) {
    if constexpr (DELTARULE_FMA) {
        return fma(-b, c, a);
    } else {
        const Pair<V> product = exact_product(b, c);
        return (a - product.high) - product.low;
    }
}

// f of a float vector, computed in double: f takes and gives a Vec<double>
template <class F> DELTARULE_INLINE Vec<float> widened(Vec<float> x, F f) {
    typedef float Half __attribute__((vector_size(DELTARULE_VECTOR_BYTES / 2)));
    struct Halves {
        Half first, second;
    };
    const Halves in = __builtin_bit_cast(Halves, x);
    const Halves out = {__builtin_convertvector(f(__builtin_convertvector(in.first, Vec<double>)), Half),
                        __builtin_convertvector(f(__builtin_convertvector(in.second, Vec<double>)), Half)};
    return __builtin_bit_cast(Vec<float>, out);
}
template <class F> DELTARULE_INLINE Vec<double> widened(Vec<double> x, F f) { return f(x); }

} // namespace
} // namespace deltarule::DELTARULE_ISA
