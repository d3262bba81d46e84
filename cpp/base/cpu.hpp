// What this CPU can do, and the one mode of it that a fit changes. Compiled without flags of an instruction set, since
// it runs before anybody knows which one is there.
#pragma once

#include <string_view>

namespace deltarule {

bool cpu_has(std::string_view feature); // "avx2", "fma", "avx512f", …; false for a name it does not know

// Numbers below the smallest normal one count as zero while this lives, in the thread that made it: Adam's m and v decay
// into them, and each would cost a hundred cycles.
class FlushDenormals {
  public:
    FlushDenormals();
    ~FlushDenormals();
    FlushDenormals(const FlushDenormals&) = delete;
    FlushDenormals& operator=(const FlushDenormals&) = delete;

  private:
    unsigned long before_;
};

} // namespace deltarule
