// A step of a network that takes sequences: the passes over their pieces. The gradients of the tensors and the update are in
// step.cpp.
#include <algorithm>
#include <cmath>

#include "base/random.hpp"
#include "training/step.hpp"

namespace deltarule {

template <class T>
Outcome Step<T>::run_pieces(int thread, int threads, Barrier& barrier, const Samples<T>& samples, const Batch& batch) {
    if (thread == 0) begin_sequences(samples, batch);
    barrier.wait();
    const Index pieces = packing_->pieces();
    if (pieces_ == Pieces::of_one_gradient || !optimizer_)
        return update_from(thread, threads, barrier, samples, {0, pieces});
    double sum = 0, weight = 0;
    for (Index piece = 0; piece < pieces; ++piece) {
        const Outcome outcome = update_from(thread, threads, barrier, samples, {piece, piece + 1});
        if (outcome != Outcome::updated) return outcome;
        if (thread != 0) continue;
        sum += value_ * total_weight_;
        weight += total_weight_;
    }
    if (thread == 0) {
        value_ = weight != 0 ? sum / weight : 0;
        total_weight_ = weight;
    }
    return Outcome::updated;
}

template <class T> void Step<T>::begin_sequences(const Samples<T>& samples, const Batch& batch) {
    leader_ = std::this_thread::get_id();
    packing_->begin(samples, batch);
}

template <class T>
Outcome Step<T>::update_from(int thread, int threads, Barrier& barrier, const Samples<T>& samples, Range pieces) {
    Sequence& sequence = plan_.sequence();
    const bool is_truncated = pieces_ == Pieces::truncated;
    const auto begin = [&](Index piece) { // thread 0, while the others wait
        packing_->take(piece, is_truncated);
        sequence.gradient_arrives = !is_truncated && piece + 1 < pieces.last;
        sequence.carries_back = !is_truncated && piece > pieces.first;
    };
    if (thread == 0) outputs_ = packing_->outputs_of(samples, pieces);
    for (Index piece = pieces.first; piece + 1 < pieces.last; ++piece) {
        if (thread == 0) {
            begin(piece);
            plan_.keep_states(piece);
        }
        barrier.wait();
        forward_piece(thread, threads, samples, piece);
        barrier.wait();
    }

    const Tiles tiles = tiles_of(thread, threads);
    typename BatchLoss<T>::Sums sums;
    Index rows_before = 0;
    const auto give_up = [&](Outcome outcome) {
        if (thread == 0 && optimizer_) optimizer_->undo_begin();
        return outcome;
    };
    if (thread == 0 && optimizer_) optimizer_->begin_step();
    for (Index piece = pieces.last; piece-- > pieces.first;) {
        const Part part{piece + 1 == pieces.last, piece == pieces.first};
        if (thread == 0) {
            begin(piece);
            if (!part.first) plan_.restore_states(piece);
        }
        barrier.wait();
        const double total_weight = outputs_.weight;
        forward_piece(thread, threads, samples, piece);
        if (outputs_.count > 0) loss_and_backward(thread, threads, barrier, samples, total_weight);
        if (thread == 0) stop_early_ = monitor_.should_stop();
        barrier.wait();
        if (failed_) return give_up(Outcome::failed);
        if (stop_early_) return give_up(Outcome::interrupted);
        if (outputs_.count == 0) { // nothing to learn from here: the states have gone on, and that is all
            barrier.wait();        // until all have looked
            if (thread == 0) value_ = total_weight_ = 0;
            return give_up(Outcome::updated);
        }
        if (loss_.kernel) batch_loss_.add(packing_->output_rows(), samples.weights != nullptr, sums, rows_before);
        if (plan_.model().gives_sequences()) rows_before += sequence.rows;
        const double value = loss_.kernel ? sums.mean(total_weight) : custom_value_;
        if (!std::isfinite(value) && stops_at_divergence_) { // now, while what went wrong is still there to be found
            if (thread == 0) value_ = value;
            return give_up(Outcome::diverged);
        }
        gradients(tiles, sequence.samples, thread, penalty_factor(loss_, total_weight), part);
        if (part.last && !fused_) {
            if (thread == 0) stop_late_ = monitor_.should_stop();
            barrier.wait();
            if (stop_late_) return give_up(Outcome::interrupted);
            clip_and_update(tiles);
        }
        barrier.wait();
        if (part.last && thread == 0) finish(value, total_weight);
    }
    return Outcome::updated;
}

template <class T> void Step<T>::forward_piece(int thread, int threads, const Samples<T>& samples, Index piece) {
    const Range mine = packing_->share_of(thread, threads);
    if (mine.size() == 0) return;
    const Batch inputs = packing_->inputs();
    plan_.sequence().for_rows(mine, [&](Range rows) { gather_inputs(samples, inputs, plan_, rows.first, rows.last); });
    // What is random in a piece of a truncated gradient is that of an update of its own.
    const std::uint64_t key =
        pieces_ == Pieces::truncated ? piece_key(inputs.key, static_cast<std::uint32_t>(piece)) : inputs.key;
    plan_.forward(mine.first, mine.last, key);
}

template <class T> void Step<T>::loss_and_backward(int thread, int threads, Barrier& barrier, const Samples<T>& samples,
                                                   double total_weight) {
    const Range mine = packing_->share_of(thread, threads);
    const Batch outputs = packing_->outputs();
    if (loss_.kernel) {
        if (mine.size() > 0)
            plan_.for_output_rows(mine, [&](Range rows) {
                batch_loss_.gather_targets(samples, outputs, total_weight, rows.first, rows.last);
                batch_loss_.rows(samples, rows.first, rows.last);
            });
    } else {
        barrier.wait();
        if (thread == 0) custom_loss(outputs);
        barrier.wait();
        if (failed_) return;
    }
    if (mine.size() > 0) plan_.backward(mine.first, mine.last);
}

template Outcome Step<float>::run_pieces(int, int, Barrier&, const Samples<float>&, const Batch&);
template Outcome Step<double>::run_pieces(int, int, Barrier&, const Samples<double>&, const Batch&);

} // namespace deltarule
