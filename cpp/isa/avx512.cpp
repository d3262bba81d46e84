// 512-bit registers and 32 of them: x86-64-v4.
// Its flags, register width and needs are its row in isa/CMakeLists.txt.
#include "kernels/all.hpp"
