// The passes of a plan whose layers measure the batch: from one of these layers to the next, and what happens in between.
#include "network/plan.hpp"

namespace deltarule {

template <class T> void Plan<T>::forward_segment(Index segment, Index first, Index last, std::uint64_t key) const {
    if (!measures_batch()) return forward(first, last, key);
    const auto i = static_cast<std::size_t>(segment);
    forward_through(i == 0 ? 0 : measuring_[i - 1], i < measuring_.size() ? measuring_[i] : layers_.size(), first, last,
                    key);
}

// Down to the delta of the layer that it begins with
template <class T> void Plan<T>::backward_segment(Index segment, Index first, Index last) const {
    if (!measures_batch()) return backward(first, last);
    const auto i = static_cast<std::size_t>(segment);
    const bool is_last = i == measuring_.size();
    if (is_last) layers_.back()->output_slope(memory_.back(), first, last);
    backward_through(is_last ? layers_.size() : measuring_[i] + 1, i == 0 ? last_back_ : measuring_[i - 1] + 1, first,
                     last);
}

template <class T> Index Plan<T>::panels_before(Index segment) const {
    return memory_[measuring_[static_cast<std::size_t>(segment - 1)]].input.panels();
}

template <class T> void Plan<T>::measure(Index segment, Index batch, Range panels) const {
    const std::size_t i = measuring_[static_cast<std::size_t>(segment - 1)];
    layers_[i]->measure(memory_[i], batch, panels);
}

template <class T> bool Plan<T>::needs_measure_back(Index segment) const {
    return memory_[measuring_[static_cast<std::size_t>(segment - 1)]].input_gradient.data != nullptr;
}

template <class T> void Plan<T>::measure_back(Index segment, Index batch, Range panels) const {
    const std::size_t i = measuring_[static_cast<std::size_t>(segment - 1)];
    layers_[i]->measure_back(memory_[i], batch, panels);
}

template void Plan<float>::forward_segment(Index, Index, Index, std::uint64_t) const;
template void Plan<double>::forward_segment(Index, Index, Index, std::uint64_t) const;
template void Plan<float>::backward_segment(Index, Index, Index) const;
template void Plan<double>::backward_segment(Index, Index, Index) const;
template Index Plan<float>::panels_before(Index) const;
template Index Plan<double>::panels_before(Index) const;
template void Plan<float>::measure(Index, Index, Range) const;
template void Plan<double>::measure(Index, Index, Range) const;
template bool Plan<float>::needs_measure_back(Index) const;
template bool Plan<double>::needs_measure_back(Index) const;
template void Plan<float>::measure_back(Index, Index, Range) const;
template void Plan<double>::measure_back(Index, Index, Range) const;

} // namespace deltarule
