#include "training/evaluate.hpp"

#include <algorithm>

namespace deltarule {

template <class T> bool predict(const Model<T>& model, T* parameters, const Samples<T>& samples,
                                const std::string& output_activation, MatrixView<T> outputs, int threads,
                                Monitor& monitor) {
    const Index block_rows = rows_at_a_time(model.operations_per_sample(), 256);
    const Index blocks = (samples.size() + block_rows - 1) / block_rows;
    const int team = static_cast<int>(std::min<Index>(threads, std::max<Index>(blocks, 1)));
    std::vector<std::unique_ptr<Plan<T>>> plans;
    for (int i = 0; i < team; ++i) {
        plans.push_back(std::make_unique<Plan<T>>(model,
                                                  Capacity{std::min(block_rows, std::max<Index>(samples.size(), 1))},
                                                  Purpose::inference, output_activation, samples.is_sparse()));
        plans.back()->borrow(samples.sparse);
        plans.back()->bind(parameters);
    }
    run_team(team, [&](int thread, Barrier&) {
        const Plan<T>& plan = *plans[static_cast<std::size_t>(thread)];
        const Range mine = share(blocks, thread, team);
        for (Index block = mine.first; block < mine.last && !monitor.should_stop(); ++block) {
            const Index first = block * block_rows;
            const Index count = std::min(block_rows, samples.size() - first);
            const PanelView<T> output = plan.output();
            gather_inputs(samples, {nullptr, first, count}, plan, 0, count);
            plan.forward(0, count);
            model.kernels().scatter(output.data, output.rows, 0, count, output.columns, outputs.row(first));
            if (thread == 0) monitor.poll(model.operations_per_sample() * static_cast<double>(count));
        }
    });
    return !monitor.should_stop();
}

template <class T> Evaluation<T>::Evaluation(const Model<T>& model, T* parameters, const Loss<T>& loss,
                                             const Samples<T>& samples, int threads)
    : model_(model), parameters_(parameters), loss_(loss), samples_(samples) {
    // A function of the user's sees all samples at once: its mean over parts would not be its value.
    const Index rows =
        loss.kernel ? std::min(rows_at_a_time(model.operations_per_sample(), 256), samples.size()) : samples.size();
    const Index blocks = (samples.size() + rows - 1) / rows;
    for (Index i = 0; i < (loss.kernel ? std::min<Index>(threads, blocks) : 1); ++i) {
        Worker worker{std::make_unique<Plan<T>>(model, Capacity{rows}, Purpose::inference,
                                                output_activation(model, loss), samples.is_sparse()),
                      nullptr};
        worker.plan->borrow(samples.sparse);
        worker.plan->bind(parameters);
        worker.batch_loss = std::make_unique<BatchLoss<T>>(loss_, *worker.plan, false);
        workers_.push_back(std::move(worker));
    }
    block_sum_.resize(static_cast<std::size_t>(blocks));
    block_weight_.resize(static_cast<std::size_t>(blocks));
}

template <class T> void Evaluation<T>::run(int thread, int threads, Monitor& monitor) {
    if (thread >= static_cast<int>(workers_.size())) return;
    const Worker& worker = workers_[static_cast<std::size_t>(thread)];
    const Index rows = worker.plan->batch_size();
    const Range mine =
        share(static_cast<Index>(block_sum_.size()), thread, std::min(threads, static_cast<int>(workers_.size())));
    for (Index block = mine.first; block < mine.last && !monitor.should_stop(); ++block) {
        const Batch batch{nullptr, block * rows, std::min(rows, samples_.size() - block * rows)};
        const double weight = worker.batch_loss->total_weight(samples_, batch);
        const Index at_a_time = rows_at_a_time(model_.operations_per_sample(), 256);
        for (Index first = 0; first < batch.count && !monitor.should_stop(); first += at_a_time) {
            const Index last = std::min(first + at_a_time, batch.count);
            worker.batch_loss->gather(samples_, batch, weight, first, last);
            worker.plan->forward(first, last);
            if (thread == 0) monitor.poll(model_.operations_per_sample() * static_cast<double>(last - first));
        }
        if (monitor.should_stop()) return;
        double value = 0;
        if (loss_.kernel) {
            worker.batch_loss->rows(samples_, 0, batch.count);
            value = worker.batch_loss->value(batch.count, samples_.weights != nullptr, weight);
        } else {
            try {
                value = worker.batch_loss->custom(batch);
            } catch (...) {
                failure_ = std::current_exception();
            }
        }
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
                      Monitor&);
template bool predict(const Model<double>&, double*, const Samples<double>&, const std::string&, MatrixView<double>,
                      int, Monitor&);
template class Evaluation<float>;
template class Evaluation<double>;

} // namespace deltarule
