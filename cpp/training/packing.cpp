#include "training/packing.hpp"

#include <algorithm>
#include <utility>

#include "base/require.hpp"

namespace deltarule {

template <class T> Packing<T>::Packing(const Plan<T>& plan)
    : plan_(plan), piece_steps_(plan.capacity().steps), sample_order_(plan.batch_size()),
      row_order_(multiply(plan.batch_size(), plan.capacity().steps)), lengths_(plan.batch_size()) {}

template <class T> void Packing<T>::reserve(Index steps) {
    const auto of_piece = static_cast<std::size_t>(piece_steps_);
    longer_.reserve(static_cast<std::size_t>(steps) + 1);
    plan_.sequence().first_row.reserve(of_piece);
    plan_.sequence().active.reserve(of_piece);
}

// Sorted by counting: samples of one length keep their order.
template <class T> void Packing<T>::begin(const Samples<T>& samples, const Batch& batch) {
    count_ = batch.count, steps_ = samples.steps, key_ = batch.key;
    const auto length_of = [&](Index row) {
        return samples.lengths ? static_cast<Index>(samples.lengths[batch.sample(row)]) : samples.steps;
    };
    longer_.assign(static_cast<std::size_t>(samples.steps) + 1, 0);
    longest_ = 0;
    for (Index row = 0; row < count_; ++row) {
        ++longer_[static_cast<std::size_t>(length_of(row))];
        longest_ = std::max(longest_, length_of(row));
    }
    Index before = 0;
    for (Index length = samples.steps; length >= 0; --length)
        before += std::exchange(longer_[static_cast<std::size_t>(length)], before);
    for (Index row = 0; row < count_; ++row) {
        const Index place = longer_[static_cast<std::size_t>(length_of(row))]++;
        sample_order_[place] = batch.sample(row);
        lengths_[place] = length_of(row);
    }
    // Now each count tells where the next shorter ones begin.
    for (std::size_t i = 0; i < plan_.states().size(); ++i) {
        const PanelView<T>& state = plan_.states()[i];
        if (i < samples.first_state.size() && samples.first_state[i].data)
            plan_.model().kernels().gather(samples.first_state[i].data, state.columns, sample_order_.data(), count_,
                                           state.data, state.rows, 0);
        else
            std::fill_n(state.data, state.size(), T{});
    }
}

template <class T> void Packing<T>::take(Index piece, bool alone) {
    Sequence& sequence = plan_.sequence();
    const Index first = piece * piece_steps_;
    sequence.steps = std::min(piece_steps_, longest_ - first);
    sequence.samples = having(first);
    sequence.continuing = having(first + sequence.steps);
    sequence.is_ragged = plan_.capacity().is_ragged;
    sequence.first_row.resize(static_cast<std::size_t>(sequence.steps));
    sequence.active.resize(static_cast<std::size_t>(sequence.steps));
    Index row = 0;
    for (Index step = sequence.steps; step-- > 0;) {
        const Index active = having(first + step);
        sequence.first_row[static_cast<std::size_t>(step)] = row;
        sequence.active[static_cast<std::size_t>(step)] = active;
        for (Index sample = 0; sample < active; ++sample)
            row_order_[row + sample] = sample_order_[sample] * steps_ + first + step;
        row += active;
    }
    sequence.rows = row;
    sequence.rows_before = 0;
    for (Index step = first + sequence.steps; step < longest_ && !alone; ++step) sequence.rows_before += having(step);
}

template <class T> Range Packing<T>::output_rows() const {
    const Sequence& sequence = plan_.sequence();
    if (plan_.model().gives_sequences()) return {0, sequence.rows};
    return sequence.ended({0, sequence.samples});
}

// Summed in the order of the rows, which is the same however the steps are cut into pieces.
template <class T> typename Packing<T>::Outputs Packing<T>::outputs_of(const Samples<T>& samples, Range pieces) const {
    const Index first = pieces.first * piece_steps_, end = std::min(pieces.last * piece_steps_, longest_);
    Outputs outputs{0, 0};
    const auto add = [&](Index row) {
        ++outputs.count;
        if (samples.weights) outputs.weight += static_cast<double>(samples.weights[row]);
    };
    if (plan_.model().gives_sequences()) {
        if (!samples.weights)
            for (Index step = first; step < end; ++step) outputs.count += having(step);
        else
            for (Index step = end; step-- > first;)
                for (Index i = 0; i < having(step); ++i) add(sample_order_[i] * steps_ + step);
    } else {
        for (Index i = having(end); i < having(first); ++i) add(sample_order_[i]);
    }
    if (!samples.weights) outputs.weight = static_cast<double>(outputs.count);
    return outputs;
}

template <class T> Range Packing<T>::share_of(int thread, int threads) const {
    const Sequence& sequence = plan_.sequence();
    if (!sequence.is_ragged) return share(sequence.samples, thread, threads);
    // A sample belongs to the thread in whose part of all steps its middle lies.
    const auto twice_all = static_cast<double>(2 * sequence.rows);
    Range mine{sequence.samples, sequence.samples};
    const Index end = sequence.steps;
    Index before = 0, step = end;
    for (Index sample = 0; sample < sequence.samples; ++sample) {
        while (step > 0 && sequence.active_in(step - 1) <= sample) --step; // this sample's steps in the piece
        const auto middle = static_cast<double>(2 * before + step) * threads;
        before += step;
        if (middle < twice_all * thread) continue;
        if (middle >= twice_all * (thread + 1)) {
            mine.last = sample;
            break;
        }
        if (mine.first == sequence.samples) mine.first = sample;
    }
    if (mine.first > mine.last) mine.first = mine.last;
    return mine;
}

template class Packing<float>;
template class Packing<double>;

} // namespace deltarule
