// What an instruction set offers to the floors above: one table of function pointers per number type, filled as constant
// data by all.hpp. A kernel checks nothing; shapes are the caller's affair. All matrices are in panels (base/view.hpp)
// with their rows counted in `…_stride`: the rows between two panels.
#pragma once

#include <cstddef>
#include <cstdint>

#include "base/layout.hpp"

namespace deltarule {

// Finishes a stretch of `count` values that was just written, while it is in the first cache. `saved` lies beside it.
template <class T> using Epilogue = void (*)(T* values, T* saved, Index count);

template <class T> struct ActivationKernel {
    const char* name;
    bool keeps_input;  // the slope is taken from z, which `value` then leaves in `saved`; else from the output
    Epilogue<T> value; // values = f(values)
    Epilogue<T> slope; // values *= f'(saved)
};

// Rows of which only what is not zero is stored: row i has values[begin[i]] … values[end[i] - 1] in the ascending columns
// named beside them.
template <class T> struct SparseRows {
    const std::int64_t* begin = nullptr;
    const std::int64_t* end = nullptr;
    const std::int32_t* columns = nullptr;
    const T* values = nullptr;
};

// output = start + input · weight for the rows first_row … last_row-1, start = bias, zero or the output itself; then the
// epilogue.
template <class T> struct Multiply {
    const T* input; // (rows, depth)
    Index input_stride;
    const T* weight; // (depth, columns)
    Index depth;
    const T* bias; // (columns) or null
    T* output;     // (rows, columns)
    Index output_stride;
    Index columns;
    Index first_row, last_row;
    Epilogue<T> epilogue;                  // or null
    T* saved;                              // as output, or null
    const SparseRows<T>* sparse = nullptr; // in place of input
    bool accumulate = false;               // start = output; there is no bias then
};

inline constexpr Index narrow_columns = 4; // at most, for multiply_narrow

// A dense layer within one panel: where it lies in memory, for the passes that take all layers of a small network at once.
template <class T> struct SmallLayer {
    Index inputs, units;
    bool is_kept_transposed;
    const T* weight;
    const T* bias;       // or null
    const T* transposed; // of the weight, or itself where it is kept so; null in the first layer
    const T* input;
    T *output, *saved, *delta;
    Epilogue<T> value, slope; // null: identity
    T* slope_saved;
};

// gradient = inputᵀ · delta, the part of it from first_row and first_panel on; `gradient` points to where that begins.
template <class T> struct WeightGradient {
    const T* input; // (batch, depth)
    Index input_stride;
    const T* delta; // (batch, columns)
    Index delta_stride;
    Index columns;
    Index batch;
    T* gradient; // of (depth, columns)
    Index gradient_stride;
    Index first_row, last_row;
    Index first_panel, last_panel;
    bool clears_padding = false;           // where that of `delta` holds something: an activation of 0 need not be 0
    const SparseRows<T>* sparse = nullptr; // in place of input or, where that is given, of delta
    bool accumulate = false;               // adds to what is in `gradient`
};

// Dropout for the rows first_row … last_row-1: output = input · multiplier, which is drawn here and kept for the way back.
template <class T> struct DropoutRows {
    const T* input; // (rows, columns), as are the others
    T *output, *multiplier;
    Index stride;
    Index columns;
    Index first_row, last_row;
    Index rows_before; // of the batch, before row 0 of these; first_row and last_row count from there as well
    std::uint64_t key; // of the step
    std::uint32_t layer;
    std::uint32_t rate; // times 2^24
    T scale;            // 1 / (1 - rate)
};

// One step of a recurrent layer for the samples first_row … last_row-1; pointers lead to sample 0 of the step. Forward, gates
// hold the sums and then what the activations make of them, and hidden and cell are written; backward, gates become dL/d(sum).
template <class T> struct CellRows {
    T* gates; // blocks of `panels`, side by side
    Index gates_stride;
    const T* bias; // of the hidden state, still to be added to the sums that it shares with the input
    const T *hidden_before, *cell_before;
    T *hidden, *cell;
    Index state_stride;
    const T* output_gradient; // added to hidden_gradient, or null
    Index output_gradient_stride;
    T *hidden_gradient, *cell_gradient; // of the state now, then of that before: of h only what it gets past the gates
    Index gradient_stride;
    Index panels;
    Index first_row, last_row;
};

template <class T> struct CellKernel {
    const char* name;
    int gates;        // of the weights
    int blocks;       // of sums: `gates` of them from the input, and from hidden_block on as many from the hidden state
    int hidden_block; // 0: the same ones
    bool keeps_cell;  // beside the hidden state
    bool passes_hidden; // h gives the h before it something past the gates: `backward` leaves its gradient
    void (*forward)(const CellRows<T>&);
    void (*backward)(const CellRows<T>&);
};

// Layer normalization of the rows first_row … last_row-1: output = x̂ · weight + bias, where x̂ is what the input is over the
// columns less its mean, divided by sqrt(variance + eps).
template <class T> struct LayerNormRows {
    const T* input; // (rows, columns), as are output and normalized
    T* output;
    T* normalized;          // x̂, or null
    T* inverse_deviation;   // 1 / sqrt(variance + eps) of each row, or null
    const T *weight, *bias; // (columns)
    Index stride;
    Index columns;
    Index first_row, last_row;
    T eps;
};

// The way back of these rows, from delta = dL/d(output).
template <class T> struct LayerNormBack {
    const T *delta, *normalized; // (rows, columns), as is input_gradient
    const T* inverse_deviation;
    const T* weight;
    T* input_gradient;
    Index stride;
    Index columns;
    Index first_row, last_row;
};

// What batch normalization measures of each column, in this order, panel by panel.
enum BatchNormMeasure : int {
    batch_norm_mean,
    batch_norm_mean_rest, // of the mean: what a single number does not hold
    batch_norm_variance,
    batch_norm_bias_gradient,
    batch_norm_weight_gradient,
    batch_norm_mean_delta,   // mean(dL/dy)
    batch_norm_mean_product, // mean(dL/dy x̂)
    batch_norm_measures
};

// All rows of a batch, of some panels
template <class T> struct BatchNormColumns {
    const T* input;              // (rows, columns), as are the next: to be measured forward
    const T *delta, *normalized; // and back
    Index stride;
    Index rows, columns;
    Index first_panel, last_panel;
    T* measured; // (batch_norm_measures, columns)
};

// Batch normalization of the rows first_row … last_row-1, forward and back. What is said of a column lies statistics_stride
// from that of the same column of the next panel.
template <class T> struct BatchNormRows {
    const T* input;
    T *output, *normalized; // x̂, or null
    const T* delta;
    T* input_gradient;
    Index stride;
    Index columns;
    Index first_row, last_row;
    const T *mean, *mean_rest, *variance; // the rest may be null: 0
    const T *mean_delta, *mean_product;   // null: mean and variance did not come of the input
    Index statistics_stride;
    const T *weight, *bias; // (columns)
    T eps;
};

// Value and gradient of a loss for the rows first_row … of a batch.
template <class T> struct LossRows {
    const T* output; // (rows, columns)
    Index output_stride;
    T* delta; // the gradient times row_scale[row], or null: the value alone
    Index delta_stride;
    const T* target; // (rows, columns), or null where there are labels
    Index target_stride;
    const std::int32_t* labels; // class indices, or null
    const T* row_scale;         // one for each row
    T* row_value;               // the loss of each row
    Index columns;
    Index first_row, last_row;
    const T* parameters;
    // Of an elementwise loss: row_value = value_share · Σ ℓ over the columns, and likewise the gradient.
    T value_share, gradient_share;
    T least, most; // the value of an element (cross_entropy: of a row) is reported within these bounds
};

template <class T> struct LossKernel {
    const char* name;
    const char* parameter; // the name of its parameter, or null
    const char* link;      // the activation that makes a prediction of the output
    bool takes_labels;
    void (*rows)(const LossRows<T>&);
};

inline constexpr int optimizer_slots = 3;      // arrays of state beside each parameter, at most
inline constexpr int optimizer_carries = 4;    // numbers carried from step to step, at most
inline constexpr int optimizer_constants = 10; // numbers of one step, at most

template <class T> struct OptimizerKernel {
    const char* name;
    const char* const* hyperparameters; // their names, in the order in which `prepare` takes them
    int hyperparameter_count;
    int slots;
    const char* const* slot_names;
    bool (*uses_slot)(int slot, const double* hyperparameters);
    double (*start)(int slot, const double* hyperparameters); // what the slot holds before the first step
    // Once a step; carry is zero before the first. Each constant fills a panel row: a value known to be the same in all
    // lanes would lead the compiler to work lane by lane.
    void (*prepare)(const double* hyperparameters, double* carry, T* constants);
    void (*update)(T* weight, const T* gradient, T* const* state, Index count, const T* constants);
};

// dst = srcᵀ for the panels of a weight: rows first_row … of src become columns of dst.
template <class T> struct Transpose {
    const T* source; // (rows, columns)
    Index source_stride;
    T* target; // (columns, rows)
    Index target_stride;
    Index columns;
    Index first_row, last_row;
    Index first_panel, last_panel; // of source
};

template <class T> struct Kernels {
    const ActivationKernel<T>* activations;
    int activation_count;
    const LossKernel<T>* losses;
    int loss_count;
    const OptimizerKernel<T>* optimizers;
    int optimizer_count;
    const CellKernel<T>* cells;
    int cell_count;

    void (*multiply)(const Multiply<T>&);
    void (*multiply_narrow)(
        const Multiply<T>&); // 1 … narrow_columns columns, with the weight transposed: (columns, depth)
    // The whole pass of a small network: forward; from the delta of the last layer to the others; all gradients, as the
    // parameters lie.
    void (*small_forward)(const SmallLayer<T>* layers, int count, Index first_row, Index last_row);
    void (*small_backward)(const SmallLayer<T>* layers, int count, Index first_row, Index last_row);
    void (*small_gradients)(const SmallLayer<T>* layers, int count, Index batch, T* gradients);
    void (*weight_gradient)(const WeightGradient<T>&);
    // Σ over the batch of delta, for the panels first … last-1; `sums` points to where those begin
    void (*column_sums)(const T* delta, Index delta_stride, Index batch, T* sums, Index first_panel, Index last_panel);
    // The same added to what is in `sums`, one row after the other: it goes on where an earlier call has ended
    void (*add_rows)(const T* delta, Index delta_stride, Index batch, T* sums, Index first_panel, Index last_panel);
    void (*transpose)(const Transpose<T>&);
    // Rows of a row-major matrix, picked by `order` (null: one after the other from first), into rows 0 … of panels.
    void (*gather)(const T* matrix, Index columns, const std::int64_t* order, Index count, T* panels, Index stride,
                   Index first_row);
    void (*scatter)(const T* panels, Index stride, Index first_row, Index count, Index columns, T* matrix);
    void (*softmax)(T* values, Index stride, Index columns, Index first_row, Index last_row);
    // delta = softmax'(z)ᵀ delta, from the output
    void (*softmax_slope)(const T* output, Index output_stride, T* delta, Index delta_stride, Index columns,
                          Index first_row, Index last_row);
    void (*drop_out)(const DropoutRows<T>&);
    Epilogue<T> multiply_by; // values *= saved
    void (*layer_norm)(const LayerNormRows<T>&);
    void (*layer_norm_back)(const LayerNormBack<T>&);
    // Σ over the batch of delta · other, for the panels first … last-1, in place of what is in `sums` or added to it; `sums`
    // points to where those begin
    void (*product_sums)(const T* delta, const T* other, Index stride, Index batch, T* sums, Index first_panel,
                         Index last_panel, bool accumulate);
    void (*batch_norm)(const BatchNormRows<T>&);
    void (*batch_norm_back)(const BatchNormRows<T>&);
    void (*batch_norm_measure)(const BatchNormColumns<T>&);
    void (*batch_norm_measure_back)(const BatchNormColumns<T>&);
    // Of the batch that was measured into what is kept of all batches
    void (*batch_norm_keep)(const BatchNormColumns<T>&, T* running_mean, T* running_variance, double momentum);
    void (*add_penalty)(const T* weight, T* gradient, Index count, T l1, T l2);
    void (*penalty_sums)(const T* weight, Index count, double* absolute, double* squared);
    double (*sum_of_squares)(const T* values, Index count);
    // Of some rows of so many panels, or of those of two matrices added (the second may be null): Σ x² of each
    void (*row_squares)(const T* first, Index first_stride, const T* second, Index second_stride, Index panels,
                        Index first_row, Index last_row, double* squares);
    void (*scale)(T* values, Index count, T factor);
    void (*approach)(T* values, const T* target, Index count, T rate); // values += rate (target - values)
    void (*clamp)(T* values, Index count, T bound);
    bool (*all_finite)(const T* values, Index count);
    double (*peak)(Index repetitions, T* result); // multiply-adds alone: the operations done, to be timed
};

inline constexpr int philox_bulk = 64; // random numbers at a time

struct KernelTable {
    const char* name;
    const char* needs; // features of the CPU, separated by blanks
    bool same_bits;    // has a fused multiply-add, hence is inside the promise
    // The numbers of philox_bulk / 4 blocks of a stream from first_block on
    void (*philox_blocks)(std::uint64_t seed, std::uint32_t stream, std::uint64_t substream, std::uint32_t first_block,
                          std::uint32_t* numbers);
    Kernels<float> float32;
    Kernels<double> float64;
};

} // namespace deltarule
