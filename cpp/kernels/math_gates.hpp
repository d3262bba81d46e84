// z times a gate between 0 and 1: silu, the tanh form of gelu, and mish. Each as one function and not as z * gate(z), since
// in the left tail the product is a normal number where the gate is too small to be one. The limit at -infinity is 0.
#pragma once

#include "kernels/math_exponential.hpp"

namespace deltarule::DELTARULE_ISA {
namespace {

// Beyond |z| = tail the 1 next to an exponential is lost anyway, and 2^16 is borrowed to keep that from the end of the
// exponent range. Beyond the other ends the result is no longer a normal number.
template <class T> struct Gate;
template <> struct Gate<float> {
    static constexpr std::uint32_t borrowed_bits = 16;
    static constexpr float borrowed = 0x1p-16F, tail = 64, growth_end = 99, decay_end = -95, gelu_tanh_end = 12;
    static constexpr float linear_high = -0x1.988454p+0F, linear_low = 0x1.857936p-25F; // -2 sqrt(2/π)
    static constexpr float cubic_high = -0x1.2444f2p-4F, cubic_low = -0x1.49b16ap-29F;  // 0.044715 of that
};
template <> struct Gate<double> {
    static constexpr std::uint64_t borrowed_bits = 16;
    static constexpr double borrowed = 0x1p-16, tail = 512, growth_end = 720, decay_end = -718, gelu_tanh_end = 24;
    static constexpr double linear_high = -0x1.9884533d43651p+0, linear_low = 0x1.cbc0d30ebfd15p-54;
    static constexpr double cubic_high = -0x1.2444f2a4d8b4bp-4, cubic_low = 0x1.6c843a29d1c7p-61;
};

// z / (1 + exp(x.high + x.low)). In the far tail the quotient is normal although exp overflows: there both are taken
// 2^16 smaller.
template <class V> DELTARULE_INLINE V gated(V z, Pair<V> x) {
    using C = Gate<Scalar<V>>;
    x.high = max(splat<V>(-40), x.high);
    const Bits<V> tail = x.high > splat<V>(C::tail);
    Reduced<V> reduced = reduce(x);
    reduced.n -= masked<V>(tail, C::borrowed_bits);
    const V one = tail ? splat<V>(C::borrowed) : splat<V>(1);
    const V growth = x.high <= splat<V>(C::growth_end) ? power(reduced) : x.high + splat<V>(FormatOf<V>::infinity);
    return (z * one) / (one + growth);
}

// z sigmoid(z)
template <class V> DELTARULE_INLINE V silu(V z) {
    const V bounded = max(splat<V>(-1000), z); // the limit at -infinity is 0
    return gated(bounded, Pair<V>{-bounded, V{}});
}

// -2u, where u = sqrt(2/π) (z + 0.044715 z³), to more than the working precision
template <class V> DELTARULE_INLINE Pair<V> gelu_tanh_exponent(V z) {
    using C = Gate<Scalar<V>>;
    const V linear_high = splat<V>(C::linear_high), linear_low = splat<V>(C::linear_low);
    const V cubic_high = splat<V>(C::cubic_high), cubic_low = splat<V>(C::cubic_low);
    const Pair<V> square = exact_product(z, z);
    const Pair<V> product = exact_product(cubic_high, square.high);
    const Pair<V> sum = exact_sum(linear_high, product.high);
    const V sum_low = sum.low + (fma(cubic_high, square.low, product.low) + fma(cubic_low, square.high, linear_low));
    const Pair<V> result = exact_product(z, sum.high);
    return {result.high, fma(z, sum_low, result.low)};
}

// z sigmoid(2u)
template <class V> inline V gelu_tanh(V z) {
    const V end = splat<V>(Gate<Scalar<V>>::gelu_tanh_end);
    const V bounded = max(-end, z);
    return gated(bounded, gelu_tanh_exponent(min(end, bounded)));
}

// whole (1 - share). Without FMA not as whole - whole share, whose product is lost where denormals are flushed.
template <class V> DELTARULE_INLINE V subtract_share(V whole, V share) {
    if constexpr (DELTARULE_FMA)
        return fma(-whole, share, whole);
    else
        return whole * (splat<V>(1) - share);
}

// z tanh(log(1 + e)), e = exp(z): with d = e² + 2e + 2 that is z (1 - 2 / d) and also ze (1 - (e² + e) / d). The one is
// taken whose second term is the smaller. In the far tail ze is normal although e is not: there e is taken 2^16 larger.
template <class V> inline V mish(V z) {
    using C = Gate<Scalar<V>>;
    const V bounded = max(splat<V>(-1000), z);
    const Bits<V> tail = bounded<splat<V>(-C::tail), positive = bounded> V{};
    Reduced<V> reduced = reduce(bounded);
    reduced.n += masked<V>(tail, C::borrowed_bits);
    const V e = bounded < splat<V>(C::decay_end) ? V{} : power(reduced);
    const V two = splat<V>(2), body = tail ? V{} : e; // next to 1, the e of the tail is 0
    const V share = (positive ? two : fma(body, body, body)) / fma(body, body + two, two);
    const V whole = positive ? bounded : bounded * e;
    const V result = subtract_share(whole, share) * (tail ? splat<V>(C::borrowed) : splat<V>(1));
    return set_sign(bounded > splat<V>(20) ? bounded : result, sign_bit(z));
}

} // namespace
} // namespace deltarule::DELTARULE_ISA
