// log, log1p, and what is one logarithm away: softplus and log_cosh.
// x = 2^e (1 + f), sqrt(1/2) <= 1 + f < sqrt(2), log x = e ln 2 + log(1 + f), and log(1 + f) = f - f²/2 + f³ p(f), or with
// s = f / (2 + f) the odd series 2 artanh s (J.-M. Muller, Elementary Functions, 3rd ed., 2016, chapter 11).
#pragma once

#include "kernels/math_exponential.hpp"

namespace deltarule::DELTARULE_ISA {
namespace {

// float:  p on -0.2929 <= f <= 0.4142, degree 7, relative error of log(1 + f) 6.4e-9 (2^-27.2)
// double: 2 artanh s = 2s + s³ l(s²) on s² <= 0.02944, degree 6, relative error 1.5e-18 (2^-59.2)
// unit_l: the same l on s² <= 1/9, where 0 <= f <= 1: degree 4 to 5.3e-10 (2^-30.8), degree 9 to 2.2e-18 (2^-58.7)
// cosh_c: log cosh x = x² c(x²) on |x| <= 3/4: degree 5 to 8.5e-9 (2^-26.8), degree 13 to 1.4e-18 (2^-59.3)
template <class T> struct Logarithm;
template <> struct Logarithm<float> {
    static constexpr float p[] = {0.333333313F, -0.250008196F, 0.200012267F, -0.166233584F,
                                  0.142017514F, -0.131601661F, 0.127616078F, -0.0763456672F};
    static constexpr float unit_l[] = {0.666666746F, 0.39998889F, 0.286166102F, 0.214305654F, 0.242902756F};
    static constexpr float cosh_c[] = {0.5F,          -0.0833330527F,  0.022216199F, -0.00669862935F,
                                       0.0020140626F, -0.000429671811F};
};
template <> struct Logarithm<double> {
    static constexpr double l[] = {0.6666666666666734,  0.39999999999416014, 0.28571428742102645, 0.2222219860111789,
                                   0.18183562943224002, 0.15314084197902944, 0.14795629947952199};
    static constexpr double unit_l[] = {
        0.66666666666666308, 0.40000000000155256, 0.28571428548099131, 0.22222223954888701,  0.18181744433089106,
        0.15386549415661643, 0.13301107419078034, 0.12105059267861645, 0.083444554981522617, 0.17010741865892917};
    static constexpr double cosh_c[] = {0.5,
                                        -0.083333333333333301,
                                        0.022222222222218209,
                                        -0.006746031745847046,
                                        0.002186948849173696,
                                        -0.00073860289668621463,
                                        0.00025657997209542477,
                                        -9.0985797119394563e-05,
                                        3.2762007906042461e-05,
                                        -1.1901189914937528e-05,
                                        4.279202168743118e-06,
                                        -1.4331787044427771e-06,
                                        3.8448113680917291e-07,
                                        -5.8199269989187185e-08};
};
template <class V> using LogarithmOf = Logarithm<Scalar<V>>;

template <class V> struct Factored { // 2^exponent (1 + fraction)
    Integers<V> biased_exponent;
    V exponent, fraction;
};

// of a positive normal number
template <class V> DELTARULE_INLINE Factored<V> factor(V x) {
    using F = FormatOf<V>;
    const Integers<V> shifted = integers_of(x) + (F::one - F::root_half);
    const Integers<V> biased = shifted >> F::mantissa_bits;
    constexpr auto offset = static_cast<Scalar<V>>((typename F::integer{1} << F::mantissa_bits) + F::bias);
    return {biased, from_integers<V>(biased | F::two_to_mantissa_bits) - splat<V>(offset),
            from_integers<V>((shifted & F::mantissa) + F::root_half) - splat<V>(1)};
}

// log(1 + f) - f
template <class V> DELTARULE_INLINE V log_beyond_linear(V f) {
    if constexpr (sizeof(V{}[0]) == sizeof(float)) {
        return f * f * fma(f, polynomial(f, LogarithmOf<V>::p), splat<V>(-0.5F));
    } else {
        const V s = f / (splat<V>(2) + f), w = s * s;
        return s * fma(w, polynomial(w, LogarithmOf<V>::l), -f);
    }
}

// log(2^e (1 + f)) + tail
template <class V> DELTARULE_INLINE V log_of(V e, V f, V tail) {
    using C = ExponentialOf<V>;
    const V multiple = e * splat<V>(C::ln2_high); // exact
    const V high = multiple + f;
    const V low = (multiple - high) + f;
    return high + (low + fma(e, splat<V>(C::ln2_low), log_beyond_linear(f) + tail));
}

template <class V> DELTARULE_INLINE V log(V x) {
    using F = FormatOf<V>;
    constexpr auto up = static_cast<Scalar<V>>(typename F::integer{1} << F::mantissa_bits);
    const Bits<V> denormal = x < splat<V>(F::smallest_normal);
    const Factored<V> parts = factor(denormal ? x * splat<V>(up) : x);
    const V exponent = parts.exponent - (denormal ? splat<V>(F::mantissa_bits) : V{});
    const V result = log_of(exponent, parts.fraction, V{});
    const V infinity = splat<V>(F::infinity);
    const V upper = x < infinity ? result : x + infinity;
    return x > V{} ? upper : (x == V{} ? -infinity : splat<V>(F::nan));
}

// log(1 + x): that of the rounded u = 1 + x = 2^e (1 + f), and the rounding error over u, with 1 / (1 + f) ≈ 1 - f + f²
template <class V> inline V log1p(V x) {
    using F = FormatOf<V>;
    const V one = splat<V>(1), infinity = splat<V>(F::infinity);
    const Pair<V> u = exact_sum(one, x);
    const Factored<V> parts = factor(u.high);
    const V scale = from_integers<V>((2 * F::bias - parts.biased_exponent) << F::mantissa_bits); // 2^-exponent
    constexpr auto exact_from = static_cast<Scalar<V>>(typename F::integer{1} << (F::mantissa_bits + 2));
    const V left_out = x < splat<V>(exact_from) ? u.low * scale : V{};
    const V f = parts.fraction;
    const V result = log_of(parts.exponent, f, left_out * fma(f, f - one, one));
    const V upper = x < infinity ? result : x + infinity;
    const V all = x > -one ? upper : (x == -one ? -infinity : splat<V>(F::nan));
    return set_sign(all, sign_bit(x));
}

// log(1 + f) for 0 <= f <= 1
template <class V> DELTARULE_INLINE V log1p_unit(V f) {
    const V s = f / (splat<V>(2) + f), w = s * s;
    return fma(s, fma(w, polynomial(w, LogarithmOf<V>::unit_l), -f), f);
}

// log(1 + exp(x)) = max(x, 0) + log(1 + exp(-|x|))
template <class V> inline V softplus(V x) { return max(V{}, x) + log1p_unit(exp(-abs(x))); }

// log((exp(x) + exp(-x)) / 2) = |x| - ln 2 + log(1 + exp(-2|x|))
template <class V> inline V log_cosh(V x) {
    using C = ExponentialOf<V>;
    const V size = abs(x), square = x * x;
    const V inner = square * polynomial(square, LogarithmOf<V>::cosh_c);
    const V outer = (size - splat<V>(C::ln2_high)) + (log1p_unit(exp(-(size + size))) - splat<V>(C::ln2_low));
    return size < splat<V>(static_cast<Scalar<V>>(0.75)) ? inner : outer;
}

} // namespace
} // namespace deltarule::DELTARULE_ISA
