// A step of a network with layers that measure the batch: the passes from one of them to the next. In between the threads
// meet, and share out the columns that are measured. The gradients of the tensors and the update are in step.cpp.
#include "training/step.hpp"

namespace deltarule {

template <class T> void Step<T>::pass_segments(int thread, int threads, Barrier& barrier, const Samples<T>& samples,
                                               const Batch& batch, double total_weight) {
    const Range mine = share(batch.count, thread, threads);
    const Index last = plan_.segments() - 1;
    const auto forward = [&](Index segment) {
        in_blocks(thread, mine, [&](Index first, Index end) {
            if (segment == 0) batch_loss_.gather(samples, batch, total_weight, first, end);
            plan_.forward_segment(segment, first, end, batch.key);
            if (segment < last || !loss_.kernel) return;
            batch_loss_.rows(samples, first, end);
            plan_.backward_segment(segment, first, end);
        });
    };
    const auto together = [&](Index segment, const auto& measure) {
        barrier.wait();
        const Range panels = share(plan_.panels_before(segment), thread, threads);
        for (Index panel = panels.first; panel < panels.last && !monitor_.should_stop(); ++panel) {
            measure(Range{panel, panel + 1});
            poll(thread, 4 * static_cast<double>(panel_width<T> * batch.count));
        }
        barrier.wait();
    };

    forward(0);
    for (Index segment = 1; segment <= last; ++segment) {
        together(segment, [&](Range panels) { plan_.measure(segment, batch.count, panels); });
        forward(segment);
    }
    if (!loss_.kernel) {
        barrier.wait();
        if (thread == 0) custom_loss(batch);
        barrier.wait();
        if (failed_) return;
        in_blocks(thread, mine, [&](Index first, Index end) { plan_.backward_segment(last, first, end); });
    }
    for (Index segment = last; segment > 0; --segment) {
        if (plan_.needs_measure_back(segment))
            together(segment, [&](Range panels) { plan_.measure_back(segment, batch.count, panels); });
        in_blocks(thread, mine, [&](Index first, Index end) { plan_.backward_segment(segment - 1, first, end); });
    }
}

template void Step<float>::pass_segments(int, int, Barrier&, const Samples<float>&, const Batch&, double);
template void Step<double>::pass_segments(int, int, Barrier&, const Samples<double>&, const Batch&, double);

} // namespace deltarule
