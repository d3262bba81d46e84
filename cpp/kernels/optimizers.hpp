// Optimizers: torch's formulas, names and defaults, one element at a time. To add one: a struct here, its name in the list
// at the end, its twin in reference/optimizers.py and its dataclass in optimizers.py.
//
// Each struct names its hyperparameters h, the arrays it keeps beside the parameters (slots s), what it carries from step
// to step (double, zero before the first) and the constants c of one step: `prepare` computes them once, `update` uses them.
#pragma once

#include "kernels/list.hpp"
#include "kernels/math.hpp"
#include "kernels/table.hpp"

namespace deltarule::DELTARULE_ISA {
namespace {

// The momentum schedule of NAdam, 0.96^x; by our own exp, whose bits do not depend on the C library.
inline double power_of_096(double x) { return exp(splat<Vec<double>>(x * -0.040821994520255166))[0]; }

struct StartsAtZero {
    static constexpr bool has_optional_slots = false;
    static double start(int, const double*) { return 0; }
    static bool uses(int, const double*) { return true; }
};

// I. Sutskever et al., "On the importance of initialization and momentum in deep learning", ICML 2013, as torch has it:
// the learning rate multiplies the buffer. With lr_in_velocity it multiplies the gradient on its way in, as in the paper.
struct SGD : StartsAtZero {
    static constexpr bool has_optional_slots = true;
    static constexpr const char* name = "sgd";
    enum Hyperparameter { lr, momentum, dampening, nesterov, weight_decay, lr_in_velocity };
    static constexpr const char* hyperparameters[] = {"lr",       "momentum",     "dampening",
                                                      "nesterov", "weight_decay", "lr_in_velocity"};
    enum Slot { buffer };
    static constexpr const char* slots[] = {"momentum_buffer"};
    static bool uses(int, const double* h) { return h[momentum] != 0; }
    enum Carry { steps };
    enum Constant { rate_in, rate, keep, take, look_ahead, decay };

    static void prepare(const double* h, double* carry, double* c) {
        const bool first = carry[steps]++ == 0;
        c[rate_in] = h[lr_in_velocity] != 0 ? h[lr] : 1;
        c[rate] = h[lr_in_velocity] != 0 ? 1 : h[lr];
        c[keep] = h[momentum];
        c[take] = first ? 1 : 1 - h[dampening]; // the buffer begins as the first gradient
        c[look_ahead] = h[nesterov];
        c[decay] = h[weight_decay];
    }
    template <class V> static void update(V& w, V g, V* s, const V* c, bool has_buffer, bool, bool) {
        g = c[rate_in] * fma(c[decay], w, g);
        if (has_buffer) {
            s[buffer] = fma(c[keep], s[buffer], c[take] * g);
            const V ahead = fma(c[keep], s[buffer], g);
            g = c[look_ahead] != 0 ? ahead : s[buffer];
        }
        w = fma(-c[rate], g, w);
    }
};

// G. Hinton, "Neural networks for machine learning", lecture 6e; centered: A. Graves, arXiv:1308.0850, section 4.2.
struct RMSprop : StartsAtZero {
    static constexpr bool has_optional_slots = true;
    static constexpr const char* name = "rmsprop";
    enum Hyperparameter { lr, alpha, eps, weight_decay, momentum, centered };
    static constexpr const char* hyperparameters[] = {"lr", "alpha", "eps", "weight_decay", "momentum", "centered"};
    enum Slot { square, buffer, mean };
    static constexpr const char* slots[] = {"square_avg", "momentum_buffer", "grad_avg"};
    static bool uses(int slot, const double* h) {
        return slot == square || (slot == buffer ? h[momentum] != 0 : h[centered] != 0);
    }
    enum Constant { rate, keep, take, epsilon, decay, keep_buffer };

    static void prepare(const double* h, double*, double* c) {
        c[rate] = h[lr];
        c[keep] = h[alpha];
        c[take] = 1 - h[alpha];
        c[epsilon] = h[eps];
        c[decay] = h[weight_decay];
        c[keep_buffer] = h[momentum];
    }
    template <class V> static void update(V& w, V g, V* s, const V* c, bool, bool has_buffer, bool has_mean) {
        g = fma(c[decay], w, g);
        s[square] = fma(c[take] * g, g, c[keep] * s[square]);
        V average = s[square];
        if (has_mean) {
            s[mean] = fma(c[take], g - s[mean], s[mean]);
            average = max(V{}, fma(-s[mean], s[mean], average)); // a variance: rounding may not take it below 0
        }
        const V step = g / (sqrt(average) + c[epsilon]);
        if (has_buffer) s[buffer] = fma(c[keep_buffer], s[buffer], step);
        w = fma(-c[rate], has_buffer ? s[buffer] : step, w);
    }
};

// J. Duchi, E. Hazan and Y. Singer, Journal of Machine Learning Research 12 (2011) 2121.
struct Adagrad : StartsAtZero {
    static constexpr const char* name = "adagrad";
    enum Hyperparameter { lr, lr_decay, weight_decay, initial_accumulator_value, eps };
    static constexpr const char* hyperparameters[] = {"lr", "lr_decay", "weight_decay", "initial_accumulator_value",
                                                      "eps"};
    enum Slot { sum };
    static constexpr const char* slots[] = {"sum"};
    static double start(int, const double* h) { return h[initial_accumulator_value]; }
    enum Carry { steps };
    enum Constant { rate, epsilon, decay };

    static void prepare(const double* h, double* carry, double* c) {
        c[rate] = h[lr] / (1 + carry[steps]++ * h[lr_decay]);
        c[epsilon] = h[eps];
        c[decay] = h[weight_decay];
    }
    template <class V> static void update(V& w, V g, V* s, const V* c, bool, bool, bool) {
        g = fma(c[decay], w, g);
        s[sum] = fma(g, g, s[sum]);
        w = fma(-c[rate], g / (sqrt(s[sum]) + c[epsilon]), w);
    }
};

// M. D. Zeiler, arXiv:1212.5701.
struct Adadelta : StartsAtZero {
    static constexpr const char* name = "adadelta";
    enum Hyperparameter { lr, rho, eps, weight_decay };
    static constexpr const char* hyperparameters[] = {"lr", "rho", "eps", "weight_decay"};
    enum Slot { square, change };
    static constexpr const char* slots[] = {"square_avg", "acc_delta"};
    enum Constant { rate, keep, take, epsilon, decay };

    static void prepare(const double* h, double*, double* c) {
        c[rate] = h[lr];
        c[keep] = h[rho];
        c[take] = 1 - h[rho];
        c[epsilon] = h[eps];
        c[decay] = h[weight_decay];
    }
    template <class V> static void update(V& w, V g, V* s, const V* c, bool, bool, bool) {
        g = fma(c[decay], w, g);
        s[square] = fma(c[take] * g, g, c[keep] * s[square]);
        const V step = sqrt(s[change] + c[epsilon]) / sqrt(s[square] + c[epsilon]) * g;
        s[change] = fma(c[take] * step, step, c[keep] * s[change]);
        w = fma(-c[rate], step, w);
    }
};

// D. P. Kingma and J. Ba, arXiv:1412.6980, algorithm 1; amsgrad: S. J. Reddi et al., ICLR 2018.
// As torch has it, epsilon is added after the bias correction of the second moment; with eps_hat before it, the ε̂ of the
// paper's section 2.
struct Adam : StartsAtZero {
    static constexpr bool has_optional_slots = true;
    static constexpr const char* name = "adam";
    enum Hyperparameter { lr, beta1, beta2, eps, weight_decay, amsgrad, eps_hat };
    static constexpr const char* hyperparameters[] = {"lr",           "beta1",   "beta2",  "eps",
                                                      "weight_decay", "amsgrad", "eps_hat"};
    enum Slot { first, second, largest };
    static constexpr const char* slots[] = {"exp_avg", "exp_avg_sq", "max_exp_avg_sq"};
    static bool uses(int slot, const double* h) { return slot != largest || h[amsgrad] != 0; }
    enum Carry { steps, power1, power2 }; // βᵗ
    enum Constant { rate, take1, keep2, take2, epsilon, correct2, decay, shrink };

    static void prepare(const double* h, double* carry, double* c) {
        if (carry[steps]++ == 0) carry[power1] = carry[power2] = 1;
        carry[power1] *= h[beta1];
        carry[power2] *= h[beta2];
        c[rate] = h[lr] / (1 - carry[power1]);
        c[take1] = 1 - h[beta1];
        c[keep2] = h[beta2];
        c[take2] = 1 - h[beta2];
        c[correct2] = 1 / __builtin_sqrt(1 - carry[power2]);
        c[epsilon] = h[eps_hat] != 0 ? h[eps] * c[correct2] : h[eps];
        c[decay] = h[weight_decay];
        c[shrink] = 1;
    }
    template <class V> static void update(V& w, V g, V* s, const V* c, bool, bool, bool has_largest) {
        w = c[shrink] * w;
        g = fma(c[decay], w, g);
        s[first] = fma(c[take1], g - s[first], s[first]);
        s[second] = fma(c[take2] * g, g, c[keep2] * s[second]);
        if (has_largest) s[largest] = max(s[largest], s[second]);
        const V root = sqrt(has_largest ? s[largest] : s[second]);
        w = fma(-c[rate], s[first] / fma(root, c[correct2], c[epsilon]), w);
    }
};

// I. Loshchilov and F. Hutter, arXiv:1711.05101: the decay acts on the weight, not through the gradient.
struct AdamW : Adam {
    static constexpr const char* name = "adamw";

    static void prepare(const double* h, double* carry, double* c) {
        Adam::prepare(h, carry, c);
        c[decay] = 0;
        c[shrink] = 1 - h[lr] * h[weight_decay];
    }
};

// T. Dozat, "Incorporating Nesterov momentum into Adam", ICLR workshop 2016.
struct NAdam : StartsAtZero {
    static constexpr const char* name = "nadam";
    enum Hyperparameter { lr, beta1, beta2, eps, weight_decay, momentum_decay, decoupled_weight_decay };
    static constexpr const char* hyperparameters[] = {
        "lr", "beta1", "beta2", "eps", "weight_decay", "momentum_decay", "decoupled_weight_decay"};
    enum Slot { first, second };
    static constexpr const char* slots[] = {"exp_avg", "exp_avg_sq"};
    enum Carry { steps, power2, product };
    enum Constant { gradient_rate, moment_rate, take1, keep2, take2, epsilon, correct2, decay, shrink };

    static void prepare(const double* h, double* carry, double* c) {
        if (carry[steps]++ == 0) carry[power2] = carry[product] = 1;
        const double t = carry[steps];
        const double now = h[beta1] * (1 - 0.5 * power_of_096(t * h[momentum_decay]));
        const double next = h[beta1] * (1 - 0.5 * power_of_096((t + 1) * h[momentum_decay]));
        carry[power2] *= h[beta2];
        carry[product] *= now;
        c[gradient_rate] = h[lr] * (1 - now) / (1 - carry[product]);
        c[moment_rate] = h[lr] * next / (1 - carry[product] * next);
        c[take1] = 1 - h[beta1];
        c[keep2] = h[beta2];
        c[take2] = 1 - h[beta2];
        c[epsilon] = h[eps];
        c[correct2] = 1 / __builtin_sqrt(1 - carry[power2]);
        c[decay] = h[decoupled_weight_decay] != 0 ? 0 : h[weight_decay];
        c[shrink] = h[decoupled_weight_decay] != 0 ? 1 - h[lr] * h[weight_decay] : 1;
    }
    template <class V> static void update(V& w, V g, V* s, const V* c, bool, bool, bool) {
        w = c[shrink] * w;
        g = fma(c[decay], w, g);
        s[first] = fma(c[take1], g - s[first], s[first]);
        s[second] = fma(c[take2] * g, g, c[keep2] * s[second]);
        const V denominator = fma(sqrt(s[second]), c[correct2], c[epsilon]);
        w = fma(-c[gradient_rate], g / denominator, w);
        w = fma(-c[moment_rate], s[first] / denominator, w);
    }
};

// M. Riedmiller and H. Braun, "A direct adaptive method for faster backpropagation learning", ICNN 1993.
struct Rprop {
    static constexpr bool has_optional_slots = false;
    static constexpr const char* name = "rprop";
    enum Hyperparameter { lr, eta_minus, eta_plus, smallest, largest };
    static constexpr const char* hyperparameters[] = {"lr", "eta_minus", "eta_plus", "step_size_min", "step_size_max"};
    enum Slot { previous, step };
    static constexpr const char* slots[] = {"prev", "step_size"};
    static bool uses(int, const double*) { return true; }
    static double start(int slot, const double* h) { return slot == step ? h[lr] : 0; }
    enum Constant { shrink, grow, low, high };

    static void prepare(const double* h, double*, double* c) {
        c[shrink] = h[eta_minus];
        c[grow] = h[eta_plus];
        c[low] = h[smallest];
        c[high] = h[largest];
    }
    template <class V> static void update(V& w, V g, V* s, const V* c, bool, bool, bool) {
        // The signs alone are multiplied: g · previous could underflow to "no change of direction".
        const V agreement = sign(g) * sign(s[previous]);
        const V factor = agreement > 0 ? c[grow] : (agreement < 0 ? c[shrink] : splat<V>(1));
        s[step] = min(max(s[step] * factor, c[low]), c[high]);
        g = agreement < 0 ? V{} : g;
        w = fma(-sign(g), s[step], w);
        s[previous] = g;
    }
};

using Optimizers = List<SGD, RMSprop, Adagrad, Adadelta, Adam, AdamW, NAdam, Rprop>;

template <class T, class Optimizer> void prepare_step(const double* hyperparameters, double* carry, T* constants) {
    double exact[optimizer_constants]{};
    Optimizer::prepare(hyperparameters, carry, exact);
    for (int i = 0; i < optimizer_constants; ++i)
        for (Index lane = 0; lane < panel_width<T>; ++lane)
            constants[i * panel_width<T> + lane] = static_cast<T>(exact[i]);
}

// in_use: a bit for each slot, known when this is compiled, so that nothing is asked for each value.
template <class T, class Optimizer, unsigned in_use>
void update_with(T* weight, const T* gradient, T* const* slot, Index count, const T* constants) {
    Vec<T> c[optimizer_constants];
    for (int i = 0; i < optimizer_constants; ++i) c[i] = load(constants + i * panel_width<T>);
    for (Index i = 0; i < count; i += lanes<Vec<T>>) {
        Vec<T> w = load(weight + i);
        Vec<T> s[optimizer_slots]{};
        DELTARULE_UNROLL for (int k = 0; k < optimizer_slots; ++k) if (in_use >> k & 1) s[k] = load(slot[k] + i);
        Optimizer::update(w, load(gradient + i), s, c, in_use & 1, in_use & 2, in_use & 4);
        store(weight + i, w);
        DELTARULE_UNROLL for (int k = 0; k < optimizer_slots; ++k) if (in_use >> k & 1) store(slot[k] + i, s[k]);
    }
}

template <class T, class Optimizer>
void update_parameters(T* weight, const T* gradient, T* const* slot, Index count, const T* constants) {
    constexpr int slots = static_cast<int>(sizeof(Optimizer::slots) / sizeof(Optimizer::slots[0]));
    constexpr unsigned all = (1u << slots) - 1;
    unsigned in_use = 0;
    for (int k = 0; k < slots; ++k) in_use |= slot[k] ? 1u << k : 0;
    const auto try_one = [&]<unsigned some>() {
        if constexpr ((some & ~all) == 0)
            if (in_use == some) update_with<T, Optimizer, some>(weight, gradient, slot, count, constants);
    };
    if (in_use == all) return update_with<T, Optimizer, all>(weight, gradient, slot, count, constants);
    if constexpr (Optimizer::has_optional_slots) {
        try_one.template operator()<0>();
        try_one.template operator()<1>();
        try_one.template operator()<3>();
        try_one.template operator()<5>();
    }
}

template <class T> struct OptimizerRow {
    using type = OptimizerKernel<T>;
    template <class Optimizer> static constexpr OptimizerKernel<T> of() {
        return {Optimizer::name,
                Optimizer::hyperparameters,
                static_cast<int>(sizeof(Optimizer::hyperparameters) / sizeof(Optimizer::hyperparameters[0])),
                static_cast<int>(sizeof(Optimizer::slots) / sizeof(Optimizer::slots[0])),
                Optimizer::slots,
                &Optimizer::uses,
                &Optimizer::start,
                &prepare_step<T, Optimizer>,
                &update_parameters<T, Optimizer>};
    }
};

} // namespace
} // namespace deltarule::DELTARULE_ISA
