// Fills the table of one instruction set. The object file that includes this exports one symbol: table.
#pragma once

#include "kernels/activations.hpp"
#include "kernels/batch_norm.hpp"
#include "kernels/cells.hpp"
#include "kernels/dropout.hpp"
#include "kernels/layer_norm.hpp"
#include "kernels/losses.hpp"
#include "kernels/matmul.hpp"
#include "kernels/narrow.hpp"
#include "kernels/optimizers.hpp"
#include "kernels/panels.hpp"
#include "kernels/peak.hpp"
#include "kernels/random.hpp"
#include "kernels/rows.hpp"
#include "kernels/small.hpp"
#include "kernels/sparse.hpp"
#include "kernels/table.hpp"
#include "kernels/transpose.hpp"
#include "kernels/weight_gradient.hpp"

namespace deltarule::DELTARULE_ISA {
namespace {

template <class T> constexpr Kernels<T> all_kernels() {
    using ActivationRows = Rows<ActivationRow<T>, Activations>;
    using LossKernels = Rows<LossRow<T>, Losses>;
    using OptimizerRows = Rows<OptimizerRow<T>, Optimizers>;
    using CellKernels = Rows<CellRow<T>, Cells>;
    return {
        .activations = ActivationRows::rows,
        .activation_count = ActivationRows::count,
        .losses = LossKernels::rows,
        .loss_count = LossKernels::count,
        .optimizers = OptimizerRows::rows,
        .optimizer_count = OptimizerRows::count,
        .cells = CellKernels::rows,
        .cell_count = CellKernels::count,
        .multiply = [](const Multiply<T>& m) { m.sparse ? multiply_sparse(m) : multiply(m); },
        .multiply_narrow = [](const Multiply<T>& m) { m.sparse ? multiply_narrow_sparse(m) : multiply_narrow(m); },
        .small_forward = &small_forward<T>,
        .small_backward = &small_backward<T>,
        .small_gradients = &small_gradients<T>,
        .weight_gradient =
            [](const WeightGradient<T>& g) {
                if (!g.sparse) return weight_gradient(g);
                g.input ? weight_gradient_of_sparse_delta(g) : weight_gradient_of_sparse_input(g);
            },
        .column_sums = &column_sums<T>,
        .add_rows = &add_rows<T>,
        .transpose = &transpose<T>,
        .gather = &gather<T>,
        .scatter = &scatter<T>,
        .softmax = &softmax<T>,
        .softmax_slope = &softmax_slope<T>,
        .drop_out = &drop_out<T>,
        .multiply_by = &multiply_by<T>,
        .layer_norm = &layer_norm<T>,
        .layer_norm_back = &layer_norm_back<T>,
        .product_sums = &product_sums<T>,
        .batch_norm = &batch_norm<T>,
        .batch_norm_back = &batch_norm_back<T>,
        .batch_norm_measure = &batch_norm_measure<T>,
        .batch_norm_measure_back = &batch_norm_measure_back<T>,
        .batch_norm_keep = &batch_norm_keep<T>,
        .add_penalty = &add_penalty<T>,
        .penalty_sums = &penalty_sums<T>,
        .sum_of_squares = &sum_of_squares<T>,
        .row_squares = &row_squares<T>,
        .scale = &scale<T>,
        .approach = &approach<T>,
        .clamp = &clamp<T>,
        .all_finite = &all_finite<T>,
        .peak = &peak<T>,
    };
}

} // namespace

#define DELTARULE_STRING_OF(text) #text
#define DELTARULE_STRING(macro) DELTARULE_STRING_OF(macro)

extern const KernelTable table;
constexpr KernelTable table = {
    .name = DELTARULE_STRING(DELTARULE_ISA),
    .needs = DELTARULE_NEEDS,
    .same_bits = DELTARULE_FMA != 0,
    .philox_blocks = &philox_blocks,
    .float32 = all_kernels<float>(),
    .float64 = all_kernels<double>(),
};

} // namespace deltarule::DELTARULE_ISA
