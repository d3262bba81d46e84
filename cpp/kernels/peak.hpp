// Nothing but fused multiply-adds in registers: the speed that no product can exceed, the yardstick of every benchmark.
#pragma once

#include "kernels/simd.hpp"
#include "kernels/table.hpp"

namespace deltarule::DELTARULE_ISA {
namespace {

// Twelve sums hide the latency of one another. Returns the operations done, a multiply-add counted as two.
template <class T> double peak(Index repetitions, T* result) {
    constexpr int sums = 12;
    Vec<T> sum[sums];
    for (int i = 0; i < sums; ++i) sum[i] = splat<Vec<T>>(static_cast<T>(i));
    const Vec<T> factor = splat<Vec<T>>(*result), step = splat<Vec<T>>(static_cast<T>(0.5));
    for (Index repetition = 0; repetition < repetitions; ++repetition)
        DELTARULE_UNROLL for (int i = 0; i < sums; ++i) sum[i] = fma(sum[i], factor, step);
    for (int i = 1; i < sums; ++i) sum[0] += sum[i];
    *result = sum[0][0];
    return 2.0 * sums * lanes<Vec<T>> * static_cast<double>(repetitions);
}

} // namespace
} // namespace deltarule::DELTARULE_ISA
