// The only place that includes pybind11. Each topic of module.cpp is one function, in the file of its name.
#pragma once

#include <pybind11/functional.h>
#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

namespace deltarule {

namespace py = pybind11;

void bind_kernels(py::module_& module);
void bind_network(py::module_& module);

} // namespace deltarule
