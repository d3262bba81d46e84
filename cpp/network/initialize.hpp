// Initial weights, from counter-based random numbers: one stream for each tensor, the same on every machine.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "network/model.hpp"

namespace deltarule {

std::vector<std::string> initializer_names();

// Fills the flat array of parameters: weights by each layer's `init`, biases with zeros. look() is called now and then, and
// may throw.
template <class T>
void initialize(const Model<T>& model, std::uint64_t seed, T* parameters, const std::function<void()>& look);

} // namespace deltarule
