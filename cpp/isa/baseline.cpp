// What every machine of this architecture has: SSE4.2 on x86-64 (v2), NEON on arm64.
// Its flags, register width and needs are its row in isa/CMakeLists.txt.
#include "kernels/all.hpp"
