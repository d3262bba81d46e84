// Losses: name, link (the activation that makes a prediction of the output), and value and gradient of one element in
// one pass; cross_entropy takes a row at a time. To add one: a struct here, its name in the list at the end, its twin in
// reference/losses.py and its dataclass in losses.py. z is the network's output, y the target. Definitions are torch's.
#pragma once

#include "kernels/cross_entropy.hpp"
#include "kernels/list.hpp"
#include "kernels/math.hpp"
#include "kernels/rows.hpp"
#include "kernels/table.hpp"

namespace deltarule::DELTARULE_ISA {
namespace {

template <class V> struct ValueAndGradient {
    V value, gradient; // ℓ(z, y) and dℓ/dz
};

struct Plain {
    static constexpr const char* parameter = nullptr;
    static constexpr const char* link = "identity";
};

struct MeanSquaredError : Plain {
    static constexpr const char* name = "mse";
    template <class V> static ValueAndGradient<V> at(V z, V y, V) {
        const V d = z - y;
        return {d * d, 2 * d};
    }
};

struct MeanAbsoluteError : Plain {
    static constexpr const char* name = "mae";
    template <class V> static ValueAndGradient<V> at(V z, V y, V) {
        const V d = z - y;
        return {abs(d), sign(d)};
    }
};

// P. J. Huber, Annals of Mathematical Statistics 35 (1964) 73.
struct Huber : Plain {
    static constexpr const char* name = "huber";
    static constexpr const char* parameter = "delta";
    template <class V> static ValueAndGradient<V> at(V z, V y, V delta) {
        const V d = z - y;
        const V size = abs(d);
        const V half = splat<V>(static_cast<Scalar<V>>(0.5));
        return {size < delta ? half * d * d : delta * (size - half * delta), size < delta ? d : delta * sign(d)};
    }
};

struct LogCosh : Plain {
    static constexpr const char* name = "log_cosh";
    template <class V> static ValueAndGradient<V> at(V z, V y, V) {
        const V d = z - y;
        return {log_cosh(d), tanh(d)};
    }
};

// The negative log-likelihood of a Poisson count on the log rate z, without the constant log y!.
struct Poisson : Plain {
    static constexpr const char* name = "poisson";
    static constexpr const char* link = "exp";
    template <class V> static ValueAndGradient<V> at(V z, V y, V) {
        const V rate = exp(z);
        return {fma(-y, z, rate), rate - y};
    }
};

// Half the Poisson deviance: the same with the constant that makes it 0 where the rate is y.
struct PoissonDeviance : Plain {
    static constexpr const char* name = "poisson_deviance";
    static constexpr const char* link = "exp";
    template <class V> static ValueAndGradient<V> at(V z, V y, V) {
        const V rate = exp(z);
        const V information = y != 0 ? y * (log(y) - z) : V{}; // not a number for y < 0
        return {information + (rate - y), rate - y};
    }
};

// The pinball loss of the q-quantile, R. Koenker and G. Bassett, Econometrica 46 (1978) 33.
struct Quantile : Plain {
    static constexpr const char* name = "quantile";
    static constexpr const char* parameter = "q";
    template <class V> static ValueAndGradient<V> at(V z, V y, V q) {
        const V d = y - z;
        const V slope = d > 0 ? q : (d < 0 ? q - 1 : V{});
        return {slope * d, -slope};
    }
};

// From the logit: log(1 + exp(z)) - y z, written so that nothing overflows or cancels. With `clip` from the probability,
// kept within [clip, 1 - clip] in the value, as scikit-learn has it.
struct BinaryCrossEntropy : Plain {
    static constexpr const char* name = "binary_cross_entropy";
    static constexpr const char* parameter = "clip";
    static constexpr const char* link = "sigmoid";
    template <class V> static ValueAndGradient<V> at(V z, V y, V clip) {
        if (clip[0] > 0) {
            const V p = 1 / (1 + exp(-z));
            const V kept = min(1 - clip, max(clip, p));
            return {-(y * log(kept) + (1 - y) * log(1 - kept)), p - y};
        }
        const V e = exp(-abs(z));
        const V linear = z < 0 ? -y * z : z * (1 - y);
        const V near = 1 / (1 + e), far = e * near; // of the two answers, the probability of the likelier and the other
        // p - y as (1 - y) p - y (1 - p), which keeps its digits where the network is sure
        return {linear + log1p(e), (1 - y) * (z < 0 ? far : near) - y * (z < 0 ? near : far)};
    }
};

struct Hinge : Plain {
    static constexpr const char* name = "hinge";
    template <class V> static ValueAndGradient<V> at(V z, V y, V) {
        const V margin = fma(-y, z, splat<V>(1));
        return {margin < 0 ? V{} : margin, margin > 0 ? -y : V{}};
    }
};

struct SquaredHinge : Plain {
    static constexpr const char* name = "squared_hinge";
    template <class V> static ValueAndGradient<V> at(V z, V y, V) {
        const V margin = fma(-y, z, splat<V>(1));
        const V kept = margin < 0 ? V{} : margin;
        return {kept * kept, -2 * y * kept};
    }
};

// Over a whole row, in cross_entropy.hpp; here for its name.
struct CrossEntropy : Plain {
    static constexpr const char* name = "cross_entropy";
    static constexpr const char* link = "softmax";
};

using Losses = List<MeanSquaredError, MeanAbsoluteError, Huber, LogCosh, Poisson, PoissonDeviance, Quantile,
                    BinaryCrossEntropy, Hinge, SquaredHinge, CrossEntropy>;

// One column of a few rows as a register and back. In registers: numbers that were just stored one by one are slow to come
// back as one register.
template <class T, int rows, Index step = panel_width<T>>
DELTARULE_INLINE Vec<T> collect(const T* column, Index count) {
    Vec<T> result{};
    DELTARULE_UNROLL for (int i = 0; i < rows; ++i) if (i < count) result[i] = column[i * step];
    return result;
}

template <class T, int rows> DELTARULE_INLINE void spread(Vec<T> values, T* column, Index count) {
    const auto first_lane = lanes_below<T>(1);
    DELTARULE_UNROLL for (int i = 0; i < rows; ++i) if (i < count)
        store(column + i * panel_width<T>, first_lane ? permute(values, BitsOf<T>{} + i) : Vec<T>{});
}

// One column: rows side by side in a register, where a register for each row would leave all lanes but one idle.
template <class T, class Loss, int rows>
DELTARULE_INLINE void loss_of_rows(const LossRows<T>& l, Index first, Index count, Vec<T> parameter) {
    const auto result = Loss::at(collect<T, rows>(l.output + first * panel_width<T>, count),
                                 collect<T, rows>(l.target + first * panel_width<T>, count), parameter);
    const Vec<T> value = l.value_share * within(result.value, l.least, l.most);
    for (Index i = 0; i < count; ++i) l.row_value[first + i] = value[i];
    if (!l.delta) return;
    const Vec<T> scale = l.gradient_share * collect<T, rows, 1>(l.row_scale + first, count);
    spread<T, rows>(scale * result.gradient, l.delta + first * panel_width<T>, count);
}

template <class T, class Loss> void loss_of_one_column(const LossRows<T>& l) {
    constexpr int many = lanes<Vec<T>>, few = many < 4 ? many : 4;
    const Vec<T> parameter = splat<Vec<T>>(Loss::parameter ? l.parameters[0] : T{});
    Index first = l.first_row;
    for (; first + many <= l.last_row; first += many) loss_of_rows<T, Loss, many>(l, first, many, parameter);
    for (; first < l.last_row; first += few)
        loss_of_rows<T, Loss, few>(l, first, l.last_row - first < few ? l.last_row - first : few, parameter);
}

// row_value = value_share · Σ ℓ over the columns, delta = row_scale · gradient_share · dℓ/dz
template <class T, class Loss> void elementwise_loss(const LossRows<T>& l) {
    if (l.columns == 1) return loss_of_one_column<T, Loss>(l);
    constexpr Index width = panel_width<T>;
    const Vec<T> parameter = splat<Vec<T>>(Loss::parameter ? l.parameters[0] : T{});
    for (Index row = l.first_row; row < l.last_row; ++row) {
        const Vec<T> scale = splat<Vec<T>>(l.delta ? l.row_scale[row] * l.gradient_share : T{});
        RowSum<T> sum;
        for (Index column = 0; column < l.columns; column += lanes<Vec<T>>) {
            const Index panel = column / width;
            const Index lane = column % width;
            const auto in_use = lanes_below<T>(l.columns - column);
            const auto result = Loss::at(load(l.output + (panel * l.output_stride + row) * width + lane),
                                         load(l.target + (panel * l.target_stride + row) * width + lane), parameter);
            sum.add(in_use ? within(result.value, l.least, l.most) : Vec<T>{}, lane);
            if (l.delta)
                store(l.delta + (panel * l.delta_stride + row) * width + lane,
                      in_use ? scale * result.gradient : Vec<T>{});
        }
        // The padding registers of the last panel hold zeros already: nothing else is ever written there.
        l.row_value[row] = sum.total()[0] * l.value_share;
    }
}

template <class T> struct LossRow {
    using type = LossKernel<T>;
    template <class Loss> static constexpr LossKernel<T> of() {
        if constexpr (requires { Loss::at(Vec<T>{}, Vec<T>{}, Vec<T>{}); })
            return {Loss::name, Loss::parameter, Loss::link, false, &elementwise_loss<T, Loss>};
        else
            return {Loss::name, Loss::parameter, Loss::link, true, &cross_entropy_rows<T>};
    }
};

} // namespace
} // namespace deltarule::DELTARULE_ISA
