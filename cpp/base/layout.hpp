// The two facts about memory that kernels and everything above them share. Constants only, no function that an object
// file built for one instruction set could leave behind for another.
#pragma once

#include <cstddef>

namespace deltarule {

using Index = std::ptrdiff_t;

inline constexpr Index panel_bytes = 64; // a cache line, and the widest register
template <class T> inline constexpr Index panel_width = panel_bytes / static_cast<Index>(sizeof(T));

} // namespace deltarule
