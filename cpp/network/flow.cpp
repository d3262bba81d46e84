// How the gradient flows through a plan: what backward has left behind, added up layer by layer and step by step.
#include <algorithm>
#include <utility>

#include "network/plan.hpp"

namespace deltarule {

template <class T> void Plan<T>::record_flow() {
    gradient_squares_.resize(layers_.size());
    for (std::size_t i = 0; i < layers_.size(); ++i) {
        const Index directions = layers_[i]->unrolls() && model_.spec().layers[i].bidirectional ? 2 : 1;
        gradient_squares_[i] = Buffer<double>(directions * std::max(memory_[i].input.rows, memory_[i].output.rows));
        if (layers_[i]->unrolls()) memory_[i].gradient_squares = gradient_squares_[i].data();
    }
}

template <class T> typename Plan<T>::Flow Plan<T>::flow(std::size_t layer, Index batch) const {
    const LayerMemory<T>& memory = memory_[layer];
    const Layer<T>& of = *layers_[layer];
    const LayerSpec& spec = model_.spec().layers[layer];
    Flow flow;
    flow.units = spec.units;
    if (spec.units == 0) return flow; // Dropout and LayerNorm
    const double* const squares = gradient_squares_[layer].data();
    const bool by_step = of.unrolls() || model_.is_sequence(layer + 1);
    const Index rows = model_.is_sequence(layer + 1) ? sequence_.rows : batch;
    if (!of.unrolls())
        model_.kernels().row_squares(memory.delta.data, memory.delta.rows, nullptr, 0, memory.delta.panels(), 0, rows,
                                     gradient_squares_[layer].data());
    const Index directions = of.unrolls() && spec.bidirectional ? 2 : 1;
    for (Index direction = 0; direction < directions; ++direction) {
        const double* const own = squares + direction * memory.input.rows;
        std::vector<double> sums(static_cast<std::size_t>(by_step ? sequence_.steps : 1));
        for (std::size_t step = 0; step < sums.size(); ++step) {
            const auto number = static_cast<Index>(step);
            const Range of_step =
                by_step ? Range{sequence_.first_of(number), sequence_.first_of(number) + sequence_.active_in(number)}
                        : Range{0, rows};
            for (Index row = of_step.first; row < of_step.last; ++row) sums[step] += own[row];
            if (direction == 0) flow.samples.push_back(of_step.size());
        }
        flow.squares.push_back(std::move(sums));
    }
    for (Index unit = 0; unit < memory.output.columns; ++unit) {
        bool is_dead = true;
        for (Index row = 0; row < rows && is_dead; ++row) is_dead = memory.output.at(row, unit) == 0;
        flow.dead_units += is_dead ? 1 : 0;
    }
    return flow;
}

template void Plan<float>::record_flow();
template void Plan<double>::record_flow();
template typename Plan<float>::Flow Plan<float>::flow(std::size_t, Index) const;
template typename Plan<double>::Flow Plan<double>::flow(std::size_t, Index) const;

} // namespace deltarule
