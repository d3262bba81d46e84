#include "layers/dropout.hpp"

#include <cmath>

namespace deltarule {

template <class T>
void Dropout<T>::forward(const LayerMemory<T>& memory, Index batch_first, Index batch_last, std::uint64_t key) const {
    if (!memory.saved) return; // no training: the output is the input
    const Index before = memory.sequence ? memory.sequence->rows_before : 0;
    kernels_.drop_out({.input = memory.input.data,
                       .output = memory.output.data,
                       .multiplier = memory.saved,
                       .stride = memory.output.rows,
                       .columns = this->outputs(),
                       .first_row = before + batch_first,
                       .last_row = before + batch_last,
                       .rows_before = before,
                       .key = key,
                       .layer = static_cast<std::uint32_t>(number_),
                       .rate = static_cast<std::uint32_t>(std::lround(rate_ * 0x1p24)),
                       .scale = static_cast<T>(1 / (1 - rate_))});
}

// y = x m, so dL/dx = dL/dy m
template <class T> Slope<T> Dropout<T>::slope(const LayerMemory<T>& memory) const {
    if (!memory.saved) return {};
    return {kernels_.multiply_by, memory.saved};
}

// Whoever made dL/dy has multiplied it by m: this is dL/dx, and lies where the delta of the layer below does.
template <class T> void Dropout<T>::backward_input(const LayerMemory<T>& memory, Index batch_first, Index batch_last,
                                                   const Slope<T>& below) const {
    if (!below.epilogue) return;
    for (Index panel = 0; panel < memory.delta.panels(); ++panel) {
        const Index offset = (panel * memory.delta.rows + batch_first) * panel_width<T>;
        below.epilogue(memory.delta.data + offset, below.saved + offset, (batch_last - batch_first) * panel_width<T>);
    }
}

template class Dropout<float>;
template class Dropout<double>;

} // namespace deltarule
