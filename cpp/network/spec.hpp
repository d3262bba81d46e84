// What a network is, as the user wrote it: read once from the dict that Python made (bindings/spec.cpp).
#pragma once

#include <vector>

#include "layers/registry.hpp"

namespace deltarule {

struct Spec {
    Index inputs = 0;
    bool sequences = false; // of such inputs, one for each step
    std::vector<LayerSpec> layers;
};

} // namespace deltarule
