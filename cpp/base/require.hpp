// How C++ refuses: require(holds, "what it is", …) raises std::invalid_argument, which Python sees as ValueError.
// The message is put together only when it is needed. Arithmetic on sizes that could overflow goes through multiply().
#pragma once

#include <limits>
#include <sstream>
#include <stdexcept>

#include "base/layout.hpp"

namespace deltarule {

template <class... Parts> void require(bool holds, const Parts&... parts) {
    if (holds) [[likely]]
        return;
    std::ostringstream message;
    (message << ... << parts);
    throw std::invalid_argument(message.str());
}

inline Index multiply(Index a, Index b) {
    Index product = 0;
    require(!__builtin_mul_overflow(a, b, &product), "the network or its batch is too large: ", a, " x ", b,
            " elements do not fit into memory; use fewer units, samples or steps");
    return product;
}

} // namespace deltarule
