#include "base/cpu.hpp"

#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace deltarule {

bool cpu_has([[maybe_unused]] std::string_view feature) {
#if defined(__x86_64__)
    // The built-in also asks the operating system whether it saves the wide registers; it takes literals only.
    if (feature == "sse4.2") return __builtin_cpu_supports("sse4.2") != 0;
    if (feature == "fma") return __builtin_cpu_supports("fma") != 0;
    if (feature == "avx2") return __builtin_cpu_supports("avx2") != 0;
    if (feature == "avx512f") return __builtin_cpu_supports("avx512f") != 0;
    if (feature == "avx512vl") return __builtin_cpu_supports("avx512vl") != 0;
    if (feature == "avx512dq") return __builtin_cpu_supports("avx512dq") != 0;
    if (feature == "avx512bw") return __builtin_cpu_supports("avx512bw") != 0;
#endif
    return false;
}

#if defined(__x86_64__)
DenormalMode::DenormalMode(bool flush) : before_(_mm_getcsr()) {
    constexpr unsigned flush_to_zero = 1U << 15, denormals_are_zero = 1U << 6;
    const auto others = static_cast<unsigned>(before_) & ~(flush_to_zero | denormals_are_zero);
    _mm_setcsr(flush ? others | flush_to_zero | denormals_are_zero : others);
}
DenormalMode::~DenormalMode() { _mm_setcsr(static_cast<unsigned>(before_)); }
#elif defined(__aarch64__)
DenormalMode::DenormalMode(bool flush) : before_(0) {
    constexpr unsigned long flush_to_zero = 1UL << 24;
    asm volatile("mrs %0, fpcr" : "=r"(before_));
    asm volatile("msr fpcr, %0" : : "r"(flush ? before_ | flush_to_zero : before_ & ~flush_to_zero));
}
DenormalMode::~DenormalMode() { asm volatile("msr fpcr, %0" : : "r"(before_)); }
#else
DenormalMode::DenormalMode(bool) : before_(0) {}
DenormalMode::~DenormalMode() = default;
#endif

} // namespace deltarule
