#include "training/evaluate.hpp"

#include <algorithm>

namespace deltarule {

namespace {

// Some steps at a time, so that what is kept of them need not grow with the sequences
template <class T>
Capacity inference_capacity(const Model<T>& model, const Samples<T>& samples, Index rows, bool whole) {
    constexpr Index steps = 64;
    if (samples.steps == 0) return {rows};
    whole = whole || model.needs_whole_sequences();
    return {rows, whole ? samples.steps : std::min(steps, samples.steps), samples.lengths != nullptr};
}

template <class T> Index samples_at_a_time(const Model<T>& model, const Samples<T>& samples) {
    const double steps = static_cast<double>(std::min<Index>(std::max<Index>(samples.steps, 1), 64));
    return rows_at_a_time(model.operations_per_sample(steps), 256);
}

// visit() after the forward pass of each piece of some sequences, until somebody wants to stop
template <class T, class Visit> void for_pieces(const Plan<T>& plan, Packing<T>& packing, const Samples<T>& samples,
                                                const Batch& batch, int thread, Monitor& monitor, const Visit& visit) {
    plan.sequence().go_on = [&](double work) {
        if (thread == 0) monitor.poll(work);
        return !monitor.should_stop();
    };
    packing.begin(samples, batch);
    for (Index piece = 0; piece < packing.pieces() && !monitor.should_stop(); ++piece) {
        packing.take(piece, true);
        const Sequence& sequence = plan.sequence();
        gather_inputs(samples, packing.inputs(), plan, 0, sequence.rows);
        plan.forward(0, sequence.samples);
        if (!monitor.should_stop()) visit();
    }
}

} // namespace

template <class T> bool predict(const Model<T>& model, T* parameters, const Samples<T>& samples,
                                const std::string& output_activation, MatrixView<T> outputs, int threads,
                                Monitor& monitor, const std::vector<MatrixView<T>>& states) {
    Index block_rows = samples_at_a_time(model, samples);
    if (samples.steps > 0) // a few long ones are work for all threads
        block_rows = std::min(block_rows, std::max<Index>(1, (samples.size() + threads - 1) / threads));
    const Index blocks = (samples.size() + block_rows - 1) / block_rows;
    const int team = static_cast<int>(std::min<Index>(threads, std::max<Index>(blocks, 1)));
    std::vector<std::unique_ptr<Plan<T>>> plans;
    std::vector<std::unique_ptr<Packing<T>>> packings;
    for (int i = 0; i < team; ++i) {
        const Index rows = std::min(block_rows, std::max<Index>(samples.size(), 1));
        plans.push_back(std::make_unique<Plan<T>>(model, inference_capacity(model, samples, rows, false),
                                                  Purpose::inference, output_activation, samples.is_sparse()));
        plans.back()->borrow(samples.sparse);
        plans.back()->bind(parameters);
        if (samples.steps == 0) continue;
        packings.push_back(std::make_unique<Packing<T>>(*plans.back()));
        packings.back()->reserve(samples.steps);
    }
    const auto scatter = [&](PanelView<T> from, Index row, Index count, MatrixView<T> to, Index to_row) {
        model.kernels().scatter(from.data, from.rows, row, count, from.columns, to.row(to_row));
    };
    const auto predict_sequences = [&](const Plan<T>& plan, Packing<T>& packing, const Batch& batch, int thread) {
        for_pieces(plan, packing, samples, batch, thread, monitor, [&] {
            const Range rows = packing.output_rows();
            const Batch users = packing.outputs();
            for (Index row = rows.first; row < rows.last; ++row)
                scatter(plan.output(), row, 1, outputs, users.sample(row));
        });
        const Batch users = packing.samples();
        for (std::size_t i = 0; i < states.size(); ++i)
            for (Index row = 0; row < users.count; ++row)
                scatter(plan.states()[i], row, 1, states[i], users.sample(row));
    };
    run_team(team, [&](int thread, Barrier&) {
        const Plan<T>& plan = *plans[static_cast<std::size_t>(thread)];
        const Range mine = share(blocks, thread, team);
        for (Index block = mine.first; block < mine.last && !monitor.should_stop(); ++block) {
            const Index first = block * block_rows;
            const Batch batch{nullptr, first, std::min(block_rows, samples.size() - first)};
            if (samples.steps > 0) {
                predict_sequences(plan, *packings[static_cast<std::size_t>(thread)], batch, thread);
                continue;
            }
            gather_inputs(samples, batch, plan, 0, batch.count);
            plan.forward(0, batch.count);
            scatter(plan.output(), 0, batch.count, outputs, first);
            if (thread == 0) monitor.poll(model.operations_per_sample() * static_cast<double>(batch.count));
        }
    });
    return !monitor.should_stop();
}

template <class T> Evaluation<T>::Evaluation(const Model<T>& model, T* parameters, const Loss<T>& loss,
                                             const Samples<T>& samples, int threads)
    : model_(model), parameters_(parameters), loss_(loss), samples_(samples) {
    // A function of the user's sees all samples at once: its mean over parts would not be its value.
    const Index rows = loss.kernel ? std::min(samples_at_a_time(model, samples), samples.size()) : samples.size();
    const Index blocks = (samples.size() + rows - 1) / rows;
    for (Index i = 0; i < (loss.kernel ? std::min<Index>(threads, blocks) : 1); ++i) {
        Worker worker{std::make_unique<Plan<T>>(model, inference_capacity(model, samples, rows, !loss.kernel),
                                                Purpose::inference, output_activation(model, loss),
                                                samples.is_sparse()),
                      nullptr, nullptr};
        worker.plan->borrow(samples.sparse);
        worker.plan->bind(parameters);
        worker.batch_loss = std::make_unique<BatchLoss<T>>(loss_, *worker.plan, false);
        if (samples.steps > 0) {
            worker.packing = std::make_unique<Packing<T>>(*worker.plan);
            worker.packing->reserve(samples.steps);
        }
        workers_.push_back(std::move(worker));
    }
    block_sum_.resize(static_cast<std::size_t>(blocks));
    block_weight_.resize(static_cast<std::size_t>(blocks));
}

template <class T> double Evaluation<T>::custom(const Worker& worker, const Batch& outputs) {
    try {
        return worker.batch_loss->custom(outputs);
    } catch (...) {
        failure_ = std::current_exception();
        return 0;
    }
}

template <class T> double Evaluation<T>::loss_of_rows(const Worker& worker, const Batch& batch, double weight,
                                                      int thread, Monitor& monitor) {
    const Index at_a_time = samples_at_a_time(model_, samples_);
    for (Index first = 0; first < batch.count && !monitor.should_stop(); first += at_a_time) {
        const Index last = std::min(first + at_a_time, batch.count);
        worker.batch_loss->gather(samples_, batch, weight, first, last);
        worker.plan->forward(first, last);
        if (thread == 0) monitor.poll(model_.operations_per_sample() * static_cast<double>(last - first));
    }
    if (monitor.should_stop()) return 0;
    if (!loss_.kernel) return custom(worker, batch);
    worker.batch_loss->rows(samples_, 0, batch.count);
    return worker.batch_loss->value(batch.count, samples_.weights != nullptr, weight);
}

template <class T> double Evaluation<T>::loss_of_sequences(const Worker& worker, const Batch& batch, double& weight,
                                                           int thread, Monitor& monitor) {
    typename BatchLoss<T>::Sums sums;
    Packing<T>& packing = *worker.packing;
    double value = 0;
    for_pieces(*worker.plan, packing, samples_, batch, thread, monitor, [&] {
        weight = packing.outputs_of(samples_, {0, packing.pieces()}).weight;
        if (!loss_.kernel) {
            value = custom(worker, packing.outputs()); // all is one piece
            return;
        }
        const Range rows = packing.output_rows();
        worker.batch_loss->gather_targets(samples_, packing.outputs(), weight, rows.first, rows.last);
        worker.batch_loss->rows(samples_, rows.first, rows.last);
        worker.batch_loss->add(rows, samples_.weights != nullptr, sums);
    });
    return loss_.kernel ? sums.mean(weight) : value;
}

template <class T> void Evaluation<T>::run(int thread, int threads, Monitor& monitor) {
    if (thread >= static_cast<int>(workers_.size())) return;
    const Worker& worker = workers_[static_cast<std::size_t>(thread)];
    const Index rows = worker.plan->batch_size();
    const Range mine =
        share(static_cast<Index>(block_sum_.size()), thread, std::min(threads, static_cast<int>(workers_.size())));
    for (Index block = mine.first; block < mine.last && !monitor.should_stop(); ++block) {
        const Batch batch{nullptr, block * rows, std::min(rows, samples_.size() - block * rows)};
        double weight = samples_.steps > 0 ? 0 : worker.batch_loss->total_weight(samples_, batch);
        const double value = samples_.steps > 0 ? loss_of_sequences(worker, batch, weight, thread, monitor)
                                                : loss_of_rows(worker, batch, weight, thread, monitor);
        if (monitor.should_stop()) return;
        block_sum_[static_cast<std::size_t>(block)] = value * weight;
        block_weight_[static_cast<std::size_t>(block)] = weight;
    }
}

template <class T> double Evaluation<T>::value() const {
    double sum = 0, weight = 0;
    for (std::size_t block = 0; block < block_sum_.size(); ++block) {
        sum += block_sum_[block];
        weight += block_weight_[block];
    }
    double value = weight > 0 ? sum / weight : 0;
    const double factor = penalty_factor(loss_, weight);
    for (const Tensor& tensor : model_.tensors()) {
        const LayerSpec& layer = model_.spec().layers[static_cast<std::size_t>(tensor.layer)];
        if (!tensor.shape.penalized || (layer.l1 <= 0 && layer.l2 <= 0)) continue;
        double absolute = 0, squared = 0;
        model_.kernels().penalty_sums(parameters_ + tensor.offset, tensor.size, &absolute, &squared);
        value += factor * (layer.l1 * absolute + 0.5 * layer.l2 * squared);
    }
    return value;
}

template bool predict(const Model<float>&, float*, const Samples<float>&, const std::string&, MatrixView<float>, int,
                      Monitor&, const std::vector<MatrixView<float>>&);
template bool predict(const Model<double>&, double*, const Samples<double>&, const std::string&, MatrixView<double>,
                      int, Monitor&, const std::vector<MatrixView<double>>&);
template class Evaluation<float>;
template class Evaluation<double>;

} // namespace deltarule
