// What this CPU can do, and the one mode of it that a fit changes. Compiled without flags of an instruction set, since
// it runs before anybody knows which one is there.
#pragma once

#include <string_view>

namespace deltarule {

bool cpu_has(std::string_view feature); // "avx2", "fma", "avx512f", …; false for a name it does not know

// Sets, in the thread that made it and for as long as it lives, whether numbers below the smallest normal one count as zero.
class DenormalMode {
  public:
    explicit DenormalMode(bool flush);
    ~DenormalMode();
    DenormalMode(const DenormalMode&) = delete;
    DenormalMode& operator=(const DenormalMode&) = delete;

  private:
    unsigned long before_;
};

// While the core computes: Adam's m and v decay into denormals, and each would cost a hundred cycles. (Whether a result that
// rounds up to the smallest normal number counts as one is the CPU's: x86 and ARM differ there.)
struct FlushDenormals : DenormalMode {
    FlushDenormals() : DenormalMode(true) {}
};

// While the user's own code runs, a callback or a loss: numbers as everybody expects them.
struct KeepDenormals : DenormalMode {
    KeepDenormals() : DenormalMode(false) {}
};

} // namespace deltarule
