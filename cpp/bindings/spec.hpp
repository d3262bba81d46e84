// The spec, a plain dict made by the dataclasses of layers/, read in this one place.
#pragma once

#include "bindings/pybind.hpp"
#include "network/spec.hpp"

namespace deltarule {

// Refuses unknown keys and values of the wrong type.
Spec read_spec(const py::dict& spec);

} // namespace deltarule
