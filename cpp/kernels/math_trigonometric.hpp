// sin and cos for |x| < 2^30. Beyond, where one float lies periods from the next, the sine is 0 and the cosine 1.
// x = n π/2 + r, |r| <= π/4, with π/2 in parts of 53 bits (Cody and Waite); a float is worked out in double, for the bits
// that n takes (J.-M. Muller, Elementary Functions, 3rd ed., 2016, chapter 11).
#pragma once

#include "kernels/math_parts.hpp"

namespace deltarule::DELTARULE_ISA {
namespace {

// sin r = r + r³ s(r²), cos r = 1 - r²/2 + r⁴ c(r²) on |r| <= π/4, largest relative errors:
// for a float result s of degree 2 to 3.8e-9 (2^-28.0) and c of degree 2 to 1.2e-10 (2^-33.0),
// for a double one s of degree 5 to 9.4e-18 (2^-56.6) and c of degree 5 to 1.3e-18 (2^-59.4)
template <class T> struct Trigonometric;
template <> struct Trigonometric<float> {
    static constexpr bool third_part = false;
    static constexpr double s[] = {-0.16666654573102443, 0.0083321584041878335, -0.00019514957088651188};
    static constexpr double c[] = {0.041666645619316926, -0.001388731308861433, 2.4432788042603655e-05};
};
template <> struct Trigonometric<double> {
    static constexpr bool third_part = true;
    static constexpr double s[] = {-0.1666666666666663,    0.0083333333333220627,   -0.00019841269829543173,
                                   2.7557313604712243e-06, -2.5050745065800559e-08, 1.589606908009729e-10};
    static constexpr double c[] = {0.041666666666666595,    -0.0013888888888872978, 2.4801587288800536e-05,
                                   -2.7557314164114209e-07, 2.0875698726280939e-09, -1.1358424395119896e-11};
};

// sin(x + quarters π/2), to the precision of the type C
template <class C> DELTARULE_INLINE Vec<double> turned_sine(Vec<double> x, std::uint64_t quarters) {
    using V = Vec<double>;
    constexpr double two_over_pi = 0.63661977236758134308, to_integer = Format<double>::to_integer;
    constexpr double part_0 = 0x1.921fb54442d18p+0, part_1 = 0x1.1a62633145c07p-54, part_2 = -0x1.f1976b7ed8fbcp-110;
    const V size = abs(x);
    const V inside = size < splat<V>(0x1p30) ? size : size - size; // 0, or NaN for infinity and NaN
    const V shifted = fma(inside, splat<V>(two_over_pi), splat<V>(to_integer));
    const V n = shifted - splat<V>(to_integer);
    V r = subtract_product(subtract_product(inside, n, splat<V>(part_0)), n, splat<V>(part_1));
    if constexpr (C::third_part) r = fma(n, splat<V>(-part_2), r);
    const V square = r * r;
    const V sine = fma(r * square, polynomial(square, C::s), r);
    const V cosine = fma(square * square, polynomial(square, C::c), fma(square, splat<V>(-0.5), splat<V>(1)));
    const Integers<V> quadrant = integers_of(shifted) + quarters;
    const Bits<V> odd = (reinterpret_cast<Bits<V>>(quadrant) & 1) != 0;
    return flip_sign(odd ? cosine : sine, from_integers<V>((quadrant & 2) << 62));
}

template <class V> inline V sin(V x) {
    using C = Trigonometric<Scalar<V>>;
    return flip_sign(widened(abs(x), [](Vec<double> wide) { return turned_sine<C>(wide, 0); }), sign_bit(x));
}

template <class V> inline V cos(V x) {
    using C = Trigonometric<Scalar<V>>;
    return widened(x, [](Vec<double> wide) { return turned_sine<C>(wide, 1); });
}

} // namespace
} // namespace deltarule::DELTARULE_ISA
