// exp, expm1, and what is one exponential away: tanh and sigmoid.
// Cody and Waite's reduction x = n ln 2 + r, |r| <= ln(2)/2, then exp(r) = 1 + r + r² q(r) and 2^n added to the exponent
// field (J.-M. Muller, Elementary Functions, 3rd ed., 2016, chapters 9 and 11).
#pragma once

#include "kernels/math_parts.hpp"

namespace deltarule::DELTARULE_ISA {
namespace {

// q minimises the largest relative error of r + r² q(r) as expm1(r) on |r| <= 0.34675: degree 4 to 1.7e-8 (2^-25.8),
// degree 10 to 1.2e-18 (2^-59.6). The last bits of ln2_high are zero, so that n ln2_high is exact.
template <class T> struct Exponential;
template <> struct Exponential<float> {
    static constexpr float q[] = {0.49999997F, 0.166665435F, 0.0416672006F, 0.00836654659F, 0.00138825388F};
    static constexpr float log2_e = 1.44269504F;
    static constexpr float ln2_high = 0x1.62e4p-1F, ln2_low = 1.42860677e-6F;
    static constexpr float largest = 88.7228317F, smallest = -87.3365402F; // exp is finite and normal between
    static constexpr float expm1_is_minus_one = -18, tanh_is_one = 9.2F, expm1_is_x = 0x1p-26F;
};
template <> struct Exponential<double> {
    static constexpr double q[] = {0.5,
                                   0.16666666666666677,
                                   0.041666666666666505,
                                   0.0083333333333216551,
                                   0.0013888888888962583,
                                   0.0001984126988607355,
                                   2.4801587172273777e-05,
                                   2.7557244253930137e-06,
                                   2.7557402738914766e-07,
                                   2.5109024578428428e-08,
                                   2.087534013406563e-09};
    static constexpr double log2_e = 1.4426950408889634074;
    static constexpr double ln2_high = 0x1.62e42fefa38p-1, ln2_low = 0x1.ef35793c7673p-45;
    static constexpr double largest = 709.78271289338399, smallest = -708.39641853226408;
    static constexpr double expm1_is_minus_one = -40, tanh_is_one = 20, expm1_is_x = 0x1p-55;
};
template <class V> using ExponentialOf = Exponential<Scalar<V>>;

template <class V> struct Reduced { // x = n ln 2 + high + low, where high is exact
    Integers<V> n;                  // in the low bits; those above fall out in the shift to the exponent field
    V high, low;
};

template <class V> DELTARULE_INLINE Reduced<V> reduce(Pair<V> x) {
    using C = ExponentialOf<V>;
    const V shifted = fma(x.high, splat<V>(C::log2_e), splat<V>(FormatOf<V>::to_integer));
    const V n = shifted - splat<V>(FormatOf<V>::to_integer);
    return {integers_of(shifted), fma(n, splat<V>(-C::ln2_high), x.high), fma(n, splat<V>(-C::ln2_low), x.low)};
}
template <class V> DELTARULE_INLINE Reduced<V> reduce(V x) { return reduce(Pair<V>{x, V{}}); }

// exp(r) 2^n, right where that is a normal number
template <class V> DELTARULE_INLINE V power(const Reduced<V>& x) {
    const V r = x.high + x.low;
    const V one = splat<V>(1);
    const V mantissa = fma(fma(polynomial(r, ExponentialOf<V>::q), r, one), r, one);
    return from_integers<V>(integers_of(mantissa) + (x.n << FormatOf<V>::mantissa_bits));
}

// factor exp(r) 2^n, right where that is a normal number, and rounded less often than factor times power
template <class V> DELTARULE_INLINE V times_power(Pair<V> factor, const Reduced<V>& x) {
    const V r = x.high + x.low;
    const V rest = fma(r * r, polynomial(r, ExponentialOf<V>::q), x.low);
    const V mantissa = factor.high + fma(factor.high, x.high, fma(factor.high, rest, factor.low));
    return from_integers<V>(integers_of(mantissa) + (x.n << FormatOf<V>::mantissa_bits));
}

// exp(x.high + x.low): where x is a rounded x.high, exp is wrong by |x| times as much, and x.low puts that right
template <class V> DELTARULE_INLINE V exp(Pair<V> x) {
    using C = ExponentialOf<V>;
    const V result = x.high < splat<V>(C::smallest) ? V{} : power(reduce(x));
    return x.high <= splat<V>(C::largest) ? result : x.high + splat<V>(FormatOf<V>::infinity); // infinity, or the NaN
}
template <class V> DELTARULE_INLINE V exp(V x) { return exp(Pair<V>{x, V{}}); }

// factor expm1(x), for a factor 1 or ½: 2^n (high + rest) + (2^n - 1), added in the order that rounds least
template <class V> DELTARULE_INLINE V expm1_times(Scalar<V> factor, V x) {
    const Reduced<V> reduced = reduce(x);
    const V r = reduced.high + reduced.low;
    const V rest = fma(r * r, polynomial(r, ExponentialOf<V>::q), reduced.low);
    const typename FormatOf<V>::integer bias = factor < 1 ? FormatOf<V>::bias - 1 : FormatOf<V>::bias;
    const V scale = from_integers<V>((reduced.n + bias) << FormatOf<V>::mantissa_bits);
    return fma(scale, rest, fma(scale, reduced.high, scale - splat<V>(factor)));
}

// exp(x) - 1. Computed as its half, since 2^128 is no float and 2^127 is.
template <class V> DELTARULE_INLINE V expm1(V x) {
    using C = ExponentialOf<V>;
    const V inside = min(splat<V>(C::largest + static_cast<Scalar<V>>(0.1)), max(splat<V>(C::expm1_is_minus_one), x));
    const V half = expm1_times(static_cast<Scalar<V>>(0.5), inside);
    return abs(x) < splat<V>(C::expm1_is_x) ? x : half + half;
}

// m / d, m = expm1(2|x|), d = m + 2, with the sign of x. With FMA the rounding errors of d and of the quotient go back.
template <class V> DELTARULE_INLINE V tanh(V x) {
    const V size = min(splat<V>(ExponentialOf<V>::tanh_is_one), abs(x));
    const V m = expm1_times(static_cast<Scalar<V>>(1), size + size);
    const V two = splat<V>(2), d = m + two;
    V result;
    if constexpr (DELTARULE_FMA) {
        const V d_low = m - (d - two);
        const V reciprocal = splat<V>(1) / d, quotient = m * reciprocal;
        const V rest = fma(-quotient, d_low, fma(-quotient, d, m));
        result = fma(rest, reciprocal, quotient);
    } else {
        result = m / d;
    }
    return set_sign(result, sign_bit(x));
}

// 1 / (1 + exp(-x))
template <class V> DELTARULE_INLINE V sigmoid(V x) {
    const V one = splat<V>(1);
    return one / (one + exp(-x));
}

} // namespace
} // namespace deltarule::DELTARULE_ISA
