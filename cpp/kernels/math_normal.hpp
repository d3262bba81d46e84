// The standard normal distribution function Φ(x) = ½ erfc(-x/√2), its density φ(x), and gelu(x) = x Φ(x).
// One tail does for all: 1 - Φ(a) = exp(-a²/2) r(a) for a >= 0, with r(a) = t g(t), t = 1/(1 + c a), g a polynomial (the
// form of C. Hastings, Approximations for Digital Computers, 1955; x² in two parts as in W. J. Cody, Math. Comp. 23, 1969).
#pragma once

#include "kernels/math_exponential.hpp"

namespace deltarule::DELTARULE_ISA {
namespace {

// g in powers of t - middle: of degree 9 for a <= 14, relative error of r 1.3e-8 (2^-26.2), and of degree 22 for a <= 38.6,
// 4.6e-18 (2^-57.6). c and middle are chosen so that the first coefficients are nearly exact. Beyond an end, where the
// result is no longer a normal number, it is 0.
template <class T> struct Normal;
template <> struct Normal<float> {
    static constexpr float c = 0.3125F, middle = 0.4609375F;
    static constexpr float cdf_end = 12.9499527F, gelu_end = 13.1462467F, pdf_end = 13.1466807F;
    static constexpr float peak_high = 0x1.988454p-2F, peak_low = -0x1.857936p-27F; // 1 / sqrt(2π)
    static constexpr float g[] = {0.21742864F,    0.308514863F,   0.310586184F,  0.185108081F, 0.00761531945F,
                                  -0.0779787153F, -0.0258245375F, 0.0406721458F, 0.01252128F,  -0.0191453751F};
};
template <> struct Normal<double> {
    static constexpr double c = 0.17578125, middle = 0.5625;
    static constexpr double cdf_end = 37.519379347144500, gelu_end = 37.615868313955992, pdf_end = 37.615887069137674;
    static constexpr double peak_high = 0x1.9884533d43651p-2, peak_low = -0x1.cbc0d30ebfd15p-56;
    static constexpr double g[] = {
        0.15311630477449203,    0.29843883495063711,    0.50513476570302007,   0.739851188243275,
        0.92908059229578288,    0.9826748783916307,     0.84640167197037086,   0.55222070966480119,
        0.21880602142336633,    -0.016395890260799739,  -0.089380240643561287, -0.046069524982742714,
        0.013137137450016859,   0.025671698368722292,   0.0035202033956828948, -0.011127113179730402,
        -0.0045010824256679609, 0.0048091883599394253,  0.0030557735539470496, -0.0021410084469668605,
        -0.0017150162273143186, 0.00072921076760274232, 0.00065021054962714634};
};

// -x²/2, reduced for exp, with the rounding error of the square, which in the far tail is a thousand times that of exp
template <class V> DELTARULE_INLINE Reduced<V> normal_exponent(V x) {
    const Pair<V> square = exact_product(x, x);
    const V half = splat<V>(static_cast<Scalar<V>>(-0.5));
    return reduce(Pair<V>{half * square.high, half * square.low});
}

// r(size). It falls up to four times as fast as t, and so the rounding error of t is kept.
template <class V> DELTARULE_INLINE Pair<V> normal_ratio(V size) {
    using C = Normal<Scalar<V>>;
    const V one = splat<V>(1), c = splat<V>(C::c);
    const V d = fma(c, size, one), d_low = fma(c, size, one - d);
    const V t = one / d, t_low = t * fma(-t, d_low, subtract_product(one, t, d));
    const V g = polynomial((t - splat<V>(C::middle)) + t_low, C::g);
    const Pair<V> ratio = exact_product(t, g);
    return {ratio.high, fma(t_low, g, ratio.low)};
}

// value, but 0 where size > end, and the NaN where x is one
template <class V> DELTARULE_INLINE V ends_at(Scalar<V> end, V size, V value) {
    const V inside = size > splat<V>(end) ? V{} : value;
    return size == size ? inside : size;
}

// exp(-x²/2) / √(2π)
template <class V> inline V normal_pdf(V x) {
    using C = Normal<Scalar<V>>;
    const Pair<V> peak = {splat<V>(C::peak_high), splat<V>(C::peak_low)};
    return ends_at(C::pdf_end, abs(x), times_power(peak, normal_exponent(x)));
}

template <class V> inline V normal_cdf(V x) {
    const V size = abs(x);
    const V beyond = ends_at(Normal<Scalar<V>>::cdf_end, size, times_power(normal_ratio(size), normal_exponent(x)));
    return x > V{} ? splat<V>(1) - beyond : beyond;
}

// x Φ(x), with x on the ratio, so that Φ may be too small where the product is not
template <class V> inline V gelu(V x) {
    const V size = abs(x);
    const Pair<V> ratio = normal_ratio(size);
    const Pair<V> weighted = {x * ratio.high, x * ratio.low};
    const V beyond = ends_at(Normal<Scalar<V>>::gelu_end, size, times_power(weighted, normal_exponent(x)));
    return x > V{} ? x - beyond : set_sign(beyond, sign_bit(x));
}

} // namespace
} // namespace deltarule::DELTARULE_ISA
