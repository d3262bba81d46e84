// deltarule._core, the table of contents. Python converts and explains, this module refuses what is not as it expects.
#include "bindings/pybind.hpp"

PYBIND11_MODULE(_core, module) {
    module.doc() =
        "The native core of deltarule: kernels, networks, the training loop. Use the deltarule package instead.";
    module.attr("__version__") = DELTARULE_VERSION;
    deltarule::bind_kernels(module); // instruction sets, vocabulary, single kernels for the tests
    deltarule::bind_network(module); // networks and everything done with them
}
