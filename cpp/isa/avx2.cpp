// 256-bit registers and fused multiply-add: x86-64-v3, every server and PC since about 2015.
// Its flags, register width and needs are its row in isa/CMakeLists.txt.
#include "kernels/all.hpp"
