// The vector type everything in kernels/ is written in: one native vector of floats or doubles, on the compiler's
// own vector extension. No intrinsics and no #if on an architecture: the width comes from isa/CMakeLists.txt, and a
// loop over the lanes becomes the one instruction it names (checked in the listing of GCC 12).
//
// DELTARULE_ISA is the namespace of the instruction set, DELTARULE_VECTOR_BYTES its register width, DELTARULE_FMA
// whether it has a fused multiply-add. The unnamed namespace keeps every symbol inside the object file.
#pragma once

#include <cstddef>
#include <cstdint>

#define DELTARULE_UNROLL _Pragma("GCC unroll 16")

namespace deltarule::DELTARULE_ISA {
namespace {

template <class T> struct NativeVector;
template <> struct NativeVector<float> {
    typedef float type __attribute__((vector_size(DELTARULE_VECTOR_BYTES)));
    typedef std::int32_t bits __attribute__((vector_size(DELTARULE_VECTOR_BYTES)));
};
template <> struct NativeVector<double> {
    typedef double type __attribute__((vector_size(DELTARULE_VECTOR_BYTES)));
    typedef std::int64_t bits __attribute__((vector_size(DELTARULE_VECTOR_BYTES)));
};

template <class T> using Vec = typename NativeVector<T>::type;
template <class T> using BitsOf = typename NativeVector<T>::bits; // the integer vector of equal lanes, also a mask
template <class V> inline constexpr int lanes = static_cast<int>(sizeof(V) / sizeof(V{}[0]));

template <class V> struct ScalarOf;
template <> struct ScalarOf<Vec<float>> {
    using type = float;
};
template <> struct ScalarOf<Vec<double>> {
    using type = double;
};
template <class V> using Scalar = typename ScalarOf<V>::type;
template <class V> using Bits = BitsOf<Scalar<V>>;

template <class T> inline Vec<T> load(const T* from) {
    Vec<T> result;
    __builtin_memcpy(&result, from, sizeof result);
    return result;
}

template <class V> inline void store(Scalar<V>* to, V value) { __builtin_memcpy(to, &value, sizeof value); }

// x - 0 is x for every x, -0 included (x + 0 is not), and folds into the broadcast.
template <class V> inline V splat(Scalar<V> value) { return value - V{}; }

// a*b + c rounded once. Written out and never left to the compiler's contraction: the same bits everywhere.
template <class V> inline V fma(V a, V b, V c) {
#if DELTARULE_FMA
    V result;
    if constexpr (sizeof(V{}[0]) == sizeof(float)) {
        for (int lane = 0; lane < lanes<V>; ++lane) result[lane] = __builtin_fmaf(a[lane], b[lane], c[lane]);
    } else {
        for (int lane = 0; lane < lanes<V>; ++lane) result[lane] = __builtin_fma(a[lane], b[lane], c[lane]);
    }
    return result;
#else
    return a * b + c; // baseline x86-64 has none: outside the promise of equal bits
#endif
}

template <class V> inline V sqrt(V a) {
    V result;
    if constexpr (sizeof(V{}[0]) == sizeof(float)) {
        for (int lane = 0; lane < lanes<V>; ++lane) result[lane] = __builtin_sqrtf(a[lane]);
    } else {
        for (int lane = 0; lane < lanes<V>; ++lane) result[lane] = __builtin_sqrt(a[lane]);
    }
    return result;
}

// A NaN in the second argument comes through, one in the first does not: min(bound, x) keeps x's NaN.
template <class V> inline V max(V a, V b) { return a > b ? a : b; }
template <class V> inline V min(V a, V b) { return a < b ? a : b; }
template <class V> inline V within(V a, Scalar<V> least, Scalar<V> most) { // NaN stays NaN
    return min(splat<V>(most), max(splat<V>(least), a));
}

template <class V> inline Bits<V> bits_of(V a) { return reinterpret_cast<Bits<V>>(a); }
template <class V> inline V from_bits(Bits<V> a) { return reinterpret_cast<V>(a); }

template <class V> inline V abs(V a) {
    return from_bits<V>(bits_of(a) & (Bits<V>{} + static_cast<decltype(Bits<V>{}[0] + 0)>(
                                                      sizeof(V{}[0]) == 4 ? 0x7fffffffLL : 0x7fffffffffffffffLL)));
}

// -1, 0 or 1 with the sign of a
template <class V> inline V sign(V a) {
    const V zero{};
    return a > zero ? splat<V>(1) : (a < zero ? splat<V>(-1) : zero);
}

template <class T> inline BitsOf<T> lane_numbers() { // 0, 1, …
    BitsOf<T> numbers{};
    for (int lane = 0; lane < lanes<Vec<T>>; ++lane) numbers[lane] = lane;
    return numbers;
}

// Lane i of the result is the lane of `a` that numbers[i] names, modulo the lanes there are.
template <class V> inline V permute(V a, Bits<V> numbers) {
#ifdef __clang__
    V result;
    for (int lane = 0; lane < lanes<V>; ++lane) result[lane] = a[numbers[lane] & (lanes<V> - 1)];
    return result;
#else
    return __builtin_shuffle(a, numbers);
#endif
}

// 0, 1, … count-1 as a pack: the lane numbers of a shuffle, which must be constants.
template <int... numbers> struct Numbers {};
template <int count, int... rest> struct NumbersBelow : NumbersBelow<count - 1, count - 1, rest...> {};
template <int... rest> struct NumbersBelow<0, rest...> {
    using type = Numbers<rest...>;
};
template <class V> using LaneNumbers = typename NumbersBelow<lanes<V>>::type;

} // namespace
} // namespace deltarule::DELTARULE_ISA
