// Activations: name, value(z) and slope. The slope is a function of the output y = value(z), or of z where the struct
// says keeps_input. To add one: a struct here, its name in the list at the end, its twin in reference/activations.py.
// Formulas and conventions at kinks are torch's; relu'(0) = 0.
#pragma once

#include "kernels/list.hpp"
#include "kernels/math.hpp"
#include "kernels/table.hpp"

namespace deltarule::DELTARULE_ISA {
namespace {

struct FromOutput {
    static constexpr bool keeps_input = false;
};
struct FromInput {
    static constexpr bool keeps_input = true;
};

struct Identity : FromOutput {
    static constexpr const char* name = "identity";
    template <class V> static V value(V z) { return z; }
    template <class V> static V slope(V) { return splat<V>(1); }
};

struct Sigmoid : FromOutput {
    static constexpr const char* name = "sigmoid";
    template <class V> static V value(V z) { return sigmoid(z); }
    template <class V> static V slope(V y) { return y * (1 - y); }
};

struct Tanh : FromOutput {
    static constexpr const char* name = "tanh";
    template <class V> static V value(V z) { return tanh(z); }
    template <class V> static V slope(V y) { return 1 - y * y; }
};

struct Relu : FromOutput {
    static constexpr const char* name = "relu";
    template <class V> static V value(V z) { return z < 0 ? V{} : z; } // a NaN comes through
    template <class V> static V slope(V y) { return y > 0 ? splat<V>(1) : V{}; }
};

struct LeakyRelu : FromOutput {
    static constexpr const char* name = "leaky_relu";
    template <class V> static V value(V z) { return z < 0 ? z * negative_slope<V>() : z; }
    template <class V> static V slope(V y) { return y > 0 ? splat<V>(1) : negative_slope<V>(); }
    template <class V> static V negative_slope() { return splat<V>(static_cast<Scalar<V>>(0.01)); }
};

struct Elu : FromOutput {
    static constexpr const char* name = "elu";
    template <class V> static V value(V z) { return z < 0 ? expm1(z) : z; }
    template <class V> static V slope(V y) { return y > 0 ? splat<V>(1) : y + 1; }
};

// G. Klambauer et al., "Self-normalizing neural networks", NeurIPS 2017, equation 2.
struct Selu : FromOutput {
    static constexpr const char* name = "selu";
    template <class V> static V value(V z) { return z < 0 ? scale_alpha<V>() * expm1(z) : scale<V>() * z; }
    template <class V> static V slope(V y) { return y > 0 ? scale<V>() : y + scale_alpha<V>(); }
    template <class V> static V scale() { return splat<V>(static_cast<Scalar<V>>(1.0507009873554804934193349852946)); }
    template <class V> static V scale_alpha() {
        return splat<V>(static_cast<Scalar<V>>(1.0507009873554804934193349852946 * 1.6732632423543772848170429916717));
    }
};

// z Φ(z), D. Hendrycks and K. Gimpel, arXiv:1606.08415.
struct Gelu : FromInput {
    static constexpr const char* name = "gelu";
    template <class V> static V value(V z) { return gelu(z); }
    template <class V> static V slope(V z) { return normal_cdf(z) + z * normal_pdf(z); }
};

// z σ(2u) with u = √(2/π) (z + 0.044715 z³): the tanh form, since ½(1 + tanh u) = σ(2u).
struct GeluTanh : FromInput {
    static constexpr const char* name = "gelu_tanh";
    template <class V> static V value(V z) { return gelu_tanh(z); }
    template <class V> static V slope(V z) {
        const V twice_u = z * (splat<V>(static_cast<Scalar<V>>(1.5957691216057307117597842397375)) +
                               splat<V>(static_cast<Scalar<V>>(0.071354816272600248)) * z * z);
        const V twice_u_slope = splat<V>(static_cast<Scalar<V>>(1.5957691216057307117597842397375)) +
                                splat<V>(static_cast<Scalar<V>>(0.214064448817800744)) * z * z;
        const V s = sigmoid(twice_u);
        const V s_slope = s * sigmoid(-twice_u) * twice_u_slope;
        return s + (s_slope > 0 ? z * s_slope : V{}); // far out s_slope is 0 (or 0 · ∞), and so is its share
    }
};

struct Silu : FromInput {
    static constexpr const char* name = "silu";
    template <class V> static V value(V z) { return silu(z); }
    template <class V> static V slope(V z) {
        const V s = sigmoid(z);
        return s * (1 + z * sigmoid(-z));
    }
};

// z tanh(softplus(z)), D. Misra, arXiv:1908.08681.
struct Mish : FromInput {
    static constexpr const char* name = "mish";
    template <class V> static V value(V z) { return mish(z); }
    template <class V> static V slope(V z) {
        const V bounded = min(splat<V>(20), z);                        // beyond, the slope is 1
        const V e = exp(bounded), w = e * (e + 2), rest = 2 / (w + 2); // 1 - t of t = tanh(softplus(z)) = w / (w + 2)
        return w / (w + 2) + bounded * (e / (1 + e)) * rest * (2 - rest);
    }
};

struct Softplus : FromInput {
    static constexpr const char* name = "softplus";
    template <class V> static V value(V z) { return softplus(z); }
    template <class V> static V slope(V z) { return sigmoid(z); }
};

struct Softsign : FromOutput {
    static constexpr const char* name = "softsign";
    template <class V> static V value(V z) { return z / (1 + abs(z)); }
    template <class V> static V slope(V y) {
        const V rest = 1 - abs(y); // = 1 / (1 + |z|)
        return rest * rest;
    }
};

struct HardSigmoid : FromOutput {
    static constexpr const char* name = "hard_sigmoid";
    template <class V> static V value(V z) {
        const V y = (z + 3) / 6;
        return y < 0 ? V{} : (y > 1 ? splat<V>(1) : y);
    }
    template <class V> static V slope(V y) { return (y > 0) & (y < 1) ? splat<V>(1) / 6 : V{}; }
};

struct HardTanh : FromOutput {
    static constexpr const char* name = "hard_tanh";
    template <class V> static V value(V z) { return z < -1 ? splat<V>(-1) : (z > 1 ? splat<V>(1) : z); }
    template <class V> static V slope(V y) { return (y > -1) & (y < 1) ? splat<V>(1) : V{}; }
};

struct HardSwish : FromInput {
    static constexpr const char* name = "hard_swish";
    template <class V> static V value(V z) { return z < -3 ? V{} : (z > 3 ? z : z * (z + 3) / 6); }
    template <class V> static V slope(V z) {
        return z <= -3 ? V{} : (z >= 3 ? splat<V>(1) : z / 3 + splat<V>(static_cast<Scalar<V>>(0.5)));
    }
};

struct Exp : FromOutput {
    static constexpr const char* name = "exp";
    template <class V> static V value(V z) { return exp(z); }
    template <class V> static V slope(V y) { return y; }
};

struct Sine : FromInput {
    static constexpr const char* name = "sine";
    template <class V> static V value(V z) { return sin(z); }
    template <class V> static V slope(V z) { return cos(z); }
};

// exp(z_i) / Σ exp(z_j): over a whole row, hence in rows.hpp; here for its name.
struct Softmax : FromOutput {
    static constexpr const char* name = "softmax";
};

using Activations = List<Identity, Sigmoid, Tanh, Relu, LeakyRelu, Elu, Selu, Gelu, GeluTanh, Silu, Mish, Softplus,
                         Softsign, HardSigmoid, HardTanh, HardSwish, Exp, Sine, Softmax>;

template <class T, class Activation> void activation_value(T* values, T* saved, Index count) {
    for (Index i = 0; i < count; i += lanes<Vec<T>>) {
        const Vec<T> z = load(values + i);
        if (Activation::keeps_input && saved) store(saved + i, z);
        store(values + i, Activation::value(z));
    }
}

template <class T, class Activation> void activation_slope(T* values, T* saved, Index count) {
    for (Index i = 0; i < count; i += lanes<Vec<T>>)
        store(values + i, load(values + i) * Activation::slope(load(saved + i)));
}

template <class T> struct ActivationRow {
    using type = ActivationKernel<T>;
    template <class Activation> static constexpr ActivationKernel<T> of() {
        if constexpr (requires { Activation::value(Vec<T>{}); })
            return {Activation::name, Activation::keeps_input, &activation_value<T, Activation>,
                    &activation_slope<T, Activation>};
        else
            return {Activation::name, Activation::keeps_input, nullptr, nullptr};
    }
};

} // namespace
} // namespace deltarule::DELTARULE_ISA
