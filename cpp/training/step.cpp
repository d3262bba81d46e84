#include "training/step.hpp"

#include <algorithm>
#include <cmath>

namespace deltarule {

namespace {

// What a thread needs for the gradients that it makes before it uses them up: of a tile, or of all of a small network.
template <class T> Index packed_size_of(const Plan<T>& plan) {
    return plan.is_small() ? plan.model().size() : plan.largest_tile();
}

} // namespace

template <class T>
Step<T>::Step(Plan<T>& plan, const BatchLoss<T>& batch_loss, const Loss<T>& loss, Optimizer<T>* optimizer,
              const Clipping& clipping, Monitor& monitor, int threads, Pieces pieces)
    : plan_(plan), batch_loss_(batch_loss), loss_(loss), optimizer_(optimizer), clipping_(clipping), monitor_(monitor),
      work_per_sample_(plan.model().operations_per_sample()), block_rows_(rows_at_a_time(2 * work_per_sample_, 128)),
      fused_(plan.gradients() == nullptr), packed_size_(fused_ ? packed_size_of(plan) : 0),
      packed_(packed_size_ * threads), tile_penalty_(plan.tiles().size()), tile_squares_(plan.tiles().size()),
      pieces_(pieces) {
    if (plan.model().takes_sequences()) {
        packing_ = std::make_unique<Packing<T>>(plan);
        plan.sequence().go_on = [this](double work) {
            if (std::this_thread::get_id() == leader_) monitor_.poll(work);
            return !monitor_.should_stop();
        };
    }
    for (const LayerSpec& layer : plan.model().spec().layers)
        has_penalty_ = has_penalty_ || layer.l1 > 0 || layer.l2 > 0;
    all_at_once_ = fused_ && !has_penalty_ && plan.is_small() && plan.model().rate_factors().size() == 1;
    for (int thread = 0; thread < threads; ++thread) tiles_.push_back(plan.tiles_of(thread, threads));
}

template <class T> typename Step<T>::Tiles Step<T>::tiles_of(int thread, int threads) const {
    if (threads == 1) return {Range{0, static_cast<Index>(plan_.tiles().size())}, Range{}};
    const bool all_are_here = threads == static_cast<int>(tiles_.size());
    return all_are_here ? tiles_[static_cast<std::size_t>(thread)] : plan_.tiles_of(thread, threads);
}

template <class T>
Outcome Step<T>::run(int thread, int threads, Barrier& barrier, const Samples<T>& samples, const Batch& batch) {
    if (thread == 0) failed_ = false;
    if (packing_) return run_pieces(thread, threads, barrier, samples, batch);
    const double total_weight = batch_loss_.total_weight(samples, batch);
    const Tiles tiles = tiles_of(thread, threads);

    forward_and_backward(thread, threads, barrier, samples, batch, total_weight);
    if (thread == 0) {
        stop_early_ = monitor_.should_stop();
        if (optimizer_) optimizer_->begin_step();
    }
    barrier.wait();

    const auto give_up = [&](Outcome outcome) {
        if (thread == 0 && optimizer_) optimizer_->undo_begin();
        return outcome;
    };
    if (failed_) return give_up(Outcome::failed);
    if (stop_early_) return give_up(Outcome::interrupted);
    double value =
        loss_.kernel ? batch_loss_.value(batch.count, samples.weights != nullptr, total_weight) : custom_value_;
    if (!std::isfinite(value) && stops_at_divergence_) {
        if (thread == 0) value_ = value;
        return give_up(Outcome::diverged);
    }
    if (threads == 1 && all_at_once_)
        update_all_at_once(batch.count);
    else
        gradients(tiles, batch.count, thread, penalty_factor(loss_, total_weight));
    if (!fused_) {
        if (thread == 0) stop_late_ = monitor_.should_stop();
        barrier.wait();
        if (stop_late_) return give_up(Outcome::interrupted);
        clip_and_update(tiles);
    }
    if (optimizer_)
        plan_.keep_measured(batch.count, thread, threads,
                            [this](Index offset, Index count) { average(offset, count); });
    barrier.wait();
    if (thread == 0) finish(value, total_weight);
    return Outcome::updated;
}

template <class T> void Step<T>::finish(double value, double total_weight) {
    if (has_penalty_)
        for (const double penalty : tile_penalty_) value += penalty;
    value_ = value;
    total_weight_ = total_weight;
    if (averaging_.average) ++*averaging_.steps;
}

// of the parameters from offset on, all of one group of the optimizer
template <class T> void Step<T>::update(const T* gradient, Index offset, Index count, std::size_t group) const {
    optimizer_->update(plan_.parameters(), gradient, offset, count, group);
    average(offset, count);
}

template <class T> void Step<T>::average(Index offset, Index count) const {
    if (!averaging_.average) return;
    const T* const now = plan_.parameters() + offset;
    if (*averaging_.steps == 0 || averaging_.decay == 0) // which rounding would not quite reach
        std::copy_n(now, count, averaging_.average + offset);
    else
        plan_.model().kernels().approach(averaging_.average + offset, now, count, static_cast<T>(1 - averaging_.decay));
}

template <class T> void Step<T>::forward_and_backward(int thread, int threads, Barrier& barrier,
                                                      const Samples<T>& samples, const Batch& batch,
                                                      double total_weight) {
    if (plan_.measures_batch()) return pass_segments(thread, threads, barrier, samples, batch, total_weight);
    const Range mine = share(batch.count, thread, threads);
    const auto gather = [&](Index first, Index last) { batch_loss_.gather(samples, batch, total_weight, first, last); };
    const bool by_units = plan_.shares_out_units(threads);
    if (by_units) {
        in_blocks(thread, mine, [&](Index first, Index last) {
            gather(first, last);
            plan_.forward_before_units(first, last, batch.key);
        });
        barrier.wait();
        in_blocks(thread, {0, batch.count},
                  [&](Index first, Index last) { plan_.forward_units(thread, threads, first, last); });
        barrier.wait();
    }
    const auto forward = [&](Index first, Index last) {
        if (by_units) return plan_.forward_after_units(first, last, batch.key);
        gather(first, last);
        plan_.forward(first, last, batch.key);
    };
    if (loss_.kernel)
        return in_blocks(thread, mine, [&](Index first, Index last) {
            forward(first, last);
            batch_loss_.rows(samples, first, last);
            plan_.backward(first, last);
        });
    // A function of the user's sees the whole batch at once, on the fit's own thread.
    in_blocks(thread, mine, forward);
    barrier.wait();
    if (thread == 0) custom_loss(batch);
    barrier.wait();
    if (!failed_) in_blocks(thread, mine, [&](Index first, Index last) { plan_.backward(first, last); });
}

template <class T> void Step<T>::custom_loss(const Batch& batch) {
    if (monitor_.should_stop()) return;
    try {
        custom_value_ = batch_loss_.custom(batch);
    } catch (...) {
        failure_ = std::current_exception();
        failed_ = true;
    }
}

template <class T> void Step<T>::update_all_at_once(Index batch) {
    plan_.small_gradients(batch, packed_.data());
    update(packed_.data(), 0, plan_.model().size(), 0);
    for (const PlanTile<T>& tile : plan_.tiles()) plan_.refresh(tile);
    monitor_.poll(work_per_sample_ * static_cast<double>(batch));
}

template <class T>
void Step<T>::gradients(const Tiles& tiles, Index batch, int thread, double penalty_factor, Part part) {
    const Kernels<T>& kernels = plan_.model().kernels();
    T* const packed = fused_ ? packed_.data() + packed_size_ * thread : nullptr;
    for_tiles(tiles, [&](Index t) {
        if (!fused_ && monitor_.should_stop()) return; // nothing is updated yet: the step can be given up
        const PlanTile<T>& tile = plan_.tiles()[static_cast<std::size_t>(t)];
        if (!tile.is_frozen) plan_.gradient(tile, batch, packed, !part.first);
        poll(thread, tile.cost * static_cast<double>(batch));
        if (!part.last) return;
        const auto gradient_of = [&](const auto& stretch) {
            return packed ? packed + stretch.packed : plan_.gradients() + stretch.offset;
        };
        if (has_penalty_) {
            const LayerSpec& layer = plan_.model().spec().layers[static_cast<std::size_t>(tile.layer)];
            double penalty = 0;
            for (const auto& stretch : tile.stretches) {
                if (!stretch.penalized) continue;
                double absolute = 0, squared = 0;
                kernels.penalty_sums(plan_.parameters() + stretch.offset, stretch.size, &absolute, &squared);
                penalty += penalty_factor * (layer.l1 * absolute + 0.5 * layer.l2 * squared);
                if (tile.is_frozen) continue;
                kernels.add_penalty(plan_.parameters() + stretch.offset, gradient_of(stretch), stretch.size,
                                    static_cast<T>(penalty_factor * layer.l1),
                                    static_cast<T>(penalty_factor * layer.l2));
            }
            tile_penalty_[static_cast<std::size_t>(t)] = penalty;
        }
        if (tile.is_frozen) return;
        if (clipping_.value > 0)
            for (const auto& stretch : tile.stretches)
                kernels.clamp(gradient_of(stretch), stretch.size, static_cast<T>(clipping_.value));
        if (clipping_.norm > 0) {
            double squares = 0;
            for (const auto& stretch : tile.stretches)
                squares += kernels.sum_of_squares(gradient_of(stretch), stretch.size);
            tile_squares_[static_cast<std::size_t>(t)] = squares;
        }
        if (fused_) {
            for (const auto& stretch : tile.updates)
                update(gradient_of(stretch), stretch.offset, stretch.size, tile.group);
            plan_.refresh(tile);
        }
    });
}

template <class T> void Step<T>::clip_and_update(const Tiles& tiles) {
    double factor = 1;
    if (clipping_.norm > 0) {
        double squares = 0;
        for (const double of_tile : tile_squares_) squares += of_tile;
        factor = clip_factor(clipping_, std::sqrt(squares));
    }
    for_tiles(tiles, [&](Index t) {
        const PlanTile<T>& tile = plan_.tiles()[static_cast<std::size_t>(t)];
        if (tile.is_frozen) return;
        for (const auto& stretch : tile.updates) {
            if (factor < 1)
                plan_.model().kernels().scale(plan_.gradients() + stretch.offset, stretch.size, static_cast<T>(factor));
            if (optimizer_) update(plan_.gradients() + stretch.offset, stretch.offset, stretch.size, tile.group);
        }
        if (optimizer_) plan_.refresh(tile);
    });
}

template class Step<float>;
template class Step<double>;

} // namespace deltarule
