// What passes data around: a pointer and its sizes, no ownership. Names of shapes are the field's: a batch has rows
// (samples) and columns (features or units).
//
// PanelView is the layout of everything the kernels touch: panels of 64 bytes (16 floats, 8 doubles) of neighbouring
// columns, each panel a column of rows: element (row, column) lies at [column / width][row][column % width].
// Columns past the last are padding. They hold zeros in weights, gradients and deltas; in an activation they hold f(0).
#pragma once

#include "base/layout.hpp"

namespace deltarule {

template <class T> struct VectorView {
    T* data = nullptr;
    Index size = 0;

    T& operator[](Index i) const { return data[i]; }
    T* begin() const { return data; }
    T* end() const { return data + size; }
    operator VectorView<const T>() const { return {data, size}; }
};

template <class T> struct MatrixView { // row-major: what users hold
    T* data = nullptr;
    Index rows = 0;
    Index columns = 0;

    T* row(Index i) const { return data + i * columns; }
    operator MatrixView<const T>() const { return {data, rows, columns}; }
};

template <class T> struct PanelView {
    T* data = nullptr;
    Index rows = 0; // of each panel, whether in use or not
    Index columns = 0;

    Index panels() const { return (columns + panel_width<T> - 1) / panel_width<T>; }
    Index size() const { return panels() * rows * panel_width<T>; }
    T* panel(Index i) const { return data + i * rows * panel_width<T>; }
    T& at(Index row, Index column) const {
        return panel(column / panel_width<T>)[row * panel_width<T> + column % panel_width<T>];
    }
    operator PanelView<const T>() const { return {data, rows, columns}; }
};

// A half-open range of rows, panels or samples.
struct Range {
    Index first = 0;
    Index last = 0;

    Index size() const { return last - first; }
};

// Part `part` of `parts` nearly equal ones, the longer ones first.
inline Range share(Index size, Index part, Index parts) {
    const Index shortest = size / parts;
    const Index longer = size % parts;
    const Index first = part * shortest + (part < longer ? part : longer);
    return {first, first + shortest + (part < longer ? 1 : 0)};
}

} // namespace deltarule
