// Bounds and deviations: X. Glorot and Y. Bengio, AISTATS 2010, equation 16 (glorot); K. He et al., ICCV 2015, equation 10
// (he); Y. LeCun et al., "Efficient BackProp", 1998, equation 16 (lecun); A. M. Saxe et al., ICLR 2014 (orthogonal).
#include "network/initialize.hpp"

#include <algorithm>
#include <cmath>
#include <utility>

#include "base/buffer.hpp"
#include "base/random.hpp"
#include "base/require.hpp"

namespace deltarule {

namespace {

using Matrix = MatrixView<double>; // (inputs, units)
using Look = std::function<void()>;

void uniform(Matrix w, double bound, Random& random, const Look&) {
    for (Index i = 0; i < w.rows * w.columns; ++i) w.data[i] = (2 * random.uniform() - 1) * bound;
}

void normal(Matrix w, double deviation, Random& random, const Look&) {
    for (Index i = 0; i < w.rows * w.columns; ++i) w.data[i] = random.normal() * deviation;
}

// Orthonormal rows or columns, whichever are fewer: Gram-Schmidt on normal vectors, done twice, which is enough
// (L. Giraud et al., Numerische Mathematik 101 (2005) 87).
void orthogonal(Matrix w, double, Random& random, const Look& look) {
    const bool by_rows = w.rows <= w.columns;
    const Index vectors = by_rows ? w.rows : w.columns;
    const Index length = by_rows ? w.columns : w.rows;
    const Buffer<double> basis(multiply(vectors, length));
    for (Index v = 0; v < vectors; ++v) {
        look();
        double* const vector = basis.data() + v * length;
        for (Index i = 0; i < length; ++i) vector[i] = random.normal();
        for (int pass = 0; pass < 2; ++pass) {
            for (Index earlier = 0; earlier < v; ++earlier) {
                const double* const other = basis.data() + earlier * length;
                double overlap = 0;
                for (Index i = 0; i < length; ++i) overlap += vector[i] * other[i];
                for (Index i = 0; i < length; ++i) vector[i] -= overlap * other[i];
            }
            double norm = 0;
            for (Index i = 0; i < length; ++i) norm += vector[i] * vector[i];
            norm = std::sqrt(norm);
            for (Index i = 0; i < length; ++i) vector[i] /= norm;
        }
    }
    for (Index row = 0; row < w.rows; ++row)
        for (Index column = 0; column < w.columns; ++column)
            w.row(row)[column] = by_rows ? basis[row * length + column] : basis[column * length + row];
}

void zeros(Matrix w, double, Random&, const Look&) {
    for (Index i = 0; i < w.rows * w.columns; ++i) w.data[i] = 0;
}

struct Row {
    const char* name;
    void (*fill)(Matrix, double, Random&, const Look&);
    double (*size)(double fan_in, double fan_out); // the bound or the deviation
};
constexpr Row rows[] = {
    {"glorot_uniform", uniform, [](double in, double out) { return std::sqrt(6 / (in + out)); }},
    {"glorot_normal", normal, [](double in, double out) { return std::sqrt(2 / (in + out)); }},
    {"he_uniform", uniform, [](double in, double) { return std::sqrt(6 / in); }},
    {"he_normal", normal, [](double in, double) { return std::sqrt(2 / in); }},
    {"lecun_uniform", uniform, [](double in, double) { return std::sqrt(3 / in); }},
    {"lecun_normal", normal, [](double in, double) { return std::sqrt(1 / in); }},
    {"orthogonal", orthogonal, [](double, double) { return 1.0; }},
    {"uniform", uniform, [](double, double) { return 0.05; }},
    {"normal", normal, [](double, double) { return 0.05; }},
    {"zeros", zeros, [](double, double) { return 0.0; }},
};

// What "auto" stands for: he for the relu family, glorot otherwise.
const char* automatic(const std::string& activation) {
    for (const char* name : {"relu", "leaky_relu", "elu", "selu", "gelu", "gelu_tanh", "silu", "mish", "hard_swish"})
        if (activation == name) return "he_uniform";
    return "glorot_uniform";
}

const Row& find(const std::string& name) {
    for (const Row& row : rows)
        if (name == row.name) return row;
    require(false, "there is no initializer \"", name, "\": was the file written by a newer version of deltarule?");
    return rows[0]; // not reached
}

// Fills a matrix, or the part of it from `first` on, by one row of the table
void fill(const Row& row, Matrix w, Random& random, const Look& look) {
    row.fill(w, row.size(static_cast<double>(w.rows), static_cast<double>(w.columns)), random, look);
}

// Those of a recurrent layer, gate by gate; "auto" is torch's: all within 1 / sqrt(units), biases too.
void fill_recurrent(const LayerSpec& layer, const TensorShape& shape, Matrix w, Random& random, const Look& look) {
    const Index units = shape.gate_columns();
    const std::string& init = shape.is_recurrent && !shape.is_vector ? layer.recurrent_init : layer.init;
    if (init == "auto") {
        uniform(w, 1 / std::sqrt(static_cast<double>(units)), random, look);
    } else if (!shape.is_vector) {
        const Buffer<double> drawn(multiply(w.rows, units));
        const Matrix of_gate{drawn.data(), w.rows, units};
        for (Index gate = 0; gate < shape.gates; ++gate) {
            fill(find(init), of_gate, random, look);
            for (Index r = 0; r < w.rows; ++r) std::copy_n(of_gate.row(r), units, w.row(r) + gate * units);
        }
    }
    constexpr Index forget_gate = 1;
    if (shape.is_vector && layer.forget_bias)
        std::fill_n(w.data + forget_gate * units, units, shape.is_recurrent ? 0 : *layer.forget_bias);
}

} // namespace

std::vector<std::string> initializer_names() {
    std::vector<std::string> names{"auto"};
    for (const Row& row : rows) names.emplace_back(row.name);
    return names;
}

template <class T> void initialize(const Model<T>& model, std::uint64_t seed, T* parameters, const Look& look) {
    for (std::size_t i = 0; i < model.tensors().size(); ++i) {
        const Tensor& tensor = model.tensors()[i];
        const LayerSpec& layer = model.spec().layers[static_cast<std::size_t>(tensor.layer)];
        const Index columns = tensor.shape.columns;
        const Buffer<double> drawn(multiply(tensor.shape.rows, columns));
        const Matrix w{drawn.data(), tensor.shape.rows, columns};
        look();
        Random random(seed, Stream::initialize, i);
        if (model.layers()[static_cast<std::size_t>(tensor.layer)]->unrolls())
            fill_recurrent(layer, tensor.shape, w, random, look);
        else if (tensor.shape.is_vector)
            std::fill_n(w.data, columns, tensor.shape.start);
        else
            fill(find(layer.init == "auto" ? automatic(layer.activation) : layer.init), w, random, look);
        for (Index r = 0; r < w.rows; ++r)
            for (Index c = 0; c < columns; ++c)
                parameters[model.place(tensor, r, c)] = static_cast<T>(drawn[r * columns + c]);
    }
}

template void initialize(const Model<float>&, std::uint64_t, float*, const Look&);
template void initialize(const Model<double>&, std::uint64_t, double*, const Look&);

} // namespace deltarule
