// NumPy arrays as views. Nothing is converted here: an array of the wrong type or layout is refused, since the copy that
// pybind11 would make of it silently would take the results with it.
#pragma once

#include <string>

#include "base/buffer.hpp"
#include "base/require.hpp"
#include "bindings/pybind.hpp"

namespace deltarule {

template <class T> using Array = py::array_t<T, py::array::c_style>;

inline std::string shape_of(const py::array& array) { return py::str(array.attr("shape")); }

// A C-contiguous, aligned array of exactly this element type, with so many dimensions.
template <class T> py::array checked(const py::handle& object, const char* name, int dimensions) {
    if (!py::isinstance<py::array>(object))
        throw py::type_error(std::string(name) + " must be a NumPy array, got " +
                             std::string(py::str(py::type::of(object).attr("__name__"))));
    auto array = py::reinterpret_borrow<py::array>(object);
    if (!py::dtype::of<T>().is(array.dtype()) && !py::dtype::of<T>().equal(array.dtype()))
        throw py::type_error(std::string(name) + " has dtype " + std::string(py::str(array.dtype())) + ", expected " +
                             std::string(py::str(py::dtype::of<T>())));
    require(array.ndim() == dimensions, name, " has shape ", shape_of(array), ", expected ", dimensions, " dimensions");
    require((array.flags() & py::detail::npy_api::NPY_ARRAY_C_CONTIGUOUS_) != 0 &&
                (array.flags() & py::detail::npy_api::NPY_ARRAY_ALIGNED_) != 0,
            name, " must be C-contiguous and aligned");
    return array;
}

template <class T> VectorView<const T> vector_view(const py::handle& object, const char* name) {
    const py::array array = checked<T>(object, name, 1);
    return {static_cast<const T*>(array.data()), array.shape(0)};
}

template <class T> MatrixView<const T> matrix_view(const py::handle& object, const char* name) {
    const py::array array = checked<T>(object, name, 2);
    return {static_cast<const T*>(array.data()), array.shape(0), array.shape(1)};
}

// The same without a word where an array is not of that kind: for calls so short that a check by Python would be most of
// them. Exactly a NumPy array, of the one dtype object that NumPy keeps for T, and in C order.
template <class T> bool is_ready(const py::handle& object, int dimensions) {
    const auto& numpy = py::detail::npy_api::get();
    if (Py_TYPE(object.ptr()) != numpy.PyArray_Type_) return false;
    const auto* const array = py::detail::array_proxy(object.ptr());
    constexpr int wanted = py::detail::npy_api::NPY_ARRAY_C_CONTIGUOUS_ | py::detail::npy_api::NPY_ARRAY_ALIGNED_;
    return array->nd == dimensions && (array->flags & wanted) == wanted && array->descr == py::dtype::of<T>().ptr();
}

template <class T>
MatrixView<const T> ready_matrix(const py::handle& object) { // of one that is_ready with 2 dimensions
    const auto* const array = py::detail::array_proxy(object.ptr());
    return {reinterpret_cast<const T*>(array->data), array->dimensions[0], array->dimensions[1]};
}

template <class T> VectorView<const T> ready_vector(const py::handle& object) { // … with 1
    const auto* const array = py::detail::array_proxy(object.ptr());
    return {reinterpret_cast<const T*>(array->data), array->dimensions[0]};
}

// A new matrix straight from NumPy: pybind11's own way takes several times as long.
template <class T> py::array_t<T> new_matrix(Index rows, Index columns) {
    const auto& numpy = py::detail::npy_api::get();
    Py_intptr_t shape[] = {rows, columns};
    PyObject* const array = numpy.PyArray_NewFromDescr_(numpy.PyArray_Type_, py::dtype::of<T>().release().ptr(), 2,
                                                        shape, nullptr, nullptr, 0, nullptr);
    if (!array) throw py::error_already_set();
    return py::reinterpret_steal<py::array_t<T>>(array);
}

// To be written to: parameters, gradients, the state of an optimizer.
template <class T> VectorView<T> writable_vector(const py::handle& object, const char* name) {
    py::array array = checked<T>(object, name, 1);
    require(array.writeable(), name, " is read-only");
    return {static_cast<T*>(array.mutable_data()), array.shape(0)};
}

// An array that owns a buffer of the core: zeroed, aligned to a panel.
template <class T> py::array_t<T> array_of(Buffer<T> buffer) {
    auto* const owner = new Buffer<T>(std::move(buffer));
    const py::capsule capsule(owner, [](void* pointer) { delete static_cast<Buffer<T>*>(pointer); });
    return py::array_t<T>({owner->size()}, {static_cast<py::ssize_t>(sizeof(T))}, owner->data(), capsule);
}

} // namespace deltarule
