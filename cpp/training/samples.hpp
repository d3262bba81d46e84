// The user's data, borrowed: rows of inputs, targets (dense rows or class indices) and weights. Nothing here is copied
// until a batch is gathered into panels.
#pragma once

#include <cstdint>
#include <vector>

#include "base/view.hpp"
#include "kernels/table.hpp"

namespace deltarule {

template <class T> struct Samples {
    MatrixView<const T> inputs; // no data but its sizes, where they are sparse; of sequences a row for each step
    Index steps = 0;            // of sequences; 0: the inputs are no sequences
    const std::int64_t* lengths = nullptr;        // of sequences, 1 … steps; null: all have all steps
    std::vector<MatrixView<const T>> first_state; // of each of Plan::states (samples, units); without data: zeros
    SparseRows<T> sparse;
    MatrixView<const T> targets; // a row for each row of the network's output; or no data, where there are labels
    const std::int32_t* labels = nullptr; // one class index for each row of the targets
    const T* weights = nullptr;           // one for each row of the targets; null: all 1
    Index size() const { return steps > 0 ? inputs.rows / steps : inputs.rows; }
    bool is_sparse() const { return sparse.begin != nullptr; }
};

// Which samples make a batch: those that `order` names, or `count` in a row from `first` on where it is null.
struct Batch {
    const std::int64_t* order;
    Index first, count;
    std::uint64_t key = 0; // of what is random in the step
    Index sample(Index row) const { return order ? static_cast<Index>(order[row]) : first + row; }
};

} // namespace deltarule
