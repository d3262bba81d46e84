#include "training/loss.hpp"

#include <algorithm>
#include <cstdlib>
#include <string_view>

#include "base/require.hpp"

namespace deltarule {

template <class T> const LossKernel<T>& find_loss(const Kernels<T>& kernels, const std::string& name) {
    for (int i = 0; i < kernels.loss_count; ++i)
        if (name == kernels.losses[i].name) return kernels.losses[i];
    require(false, "there is no loss \"", name, "\"");
    std::abort(); // not reached
}

template <class T> std::string output_activation(const Model<T>& model, const Loss<T>& loss) {
    if (!loss.kernel) return {};
    const std::string& written = model.spec().layers.back().activation;
    const std::string_view link = loss.kernel->link;
    const bool from_logits = link == "softmax" || link == "sigmoid";
    return from_logits && written == link ? "identity" : std::string();
}

template <class T> BatchLoss<T>::BatchLoss(const Loss<T>& loss, const Plan<T>& plan, bool wants_gradient)
    : loss_(loss), plan_(plan), wants_gradient_(wants_gradient), target_(plan.output().size()),
      scale_(plan.output_rows()), weight_(plan.output_rows()), row_value_(plan.output_rows()),
      row_major_(loss.kernel ? 0 : 2 * plan.output_rows() * plan.output().columns),
      labels_(loss.kernel && loss.kernel->takes_labels ? plan.output_rows() : 0) {}

template <class T>
void gather_inputs(const Samples<T>& samples, const Batch& batch, const Plan<T>& plan, Index first, Index last) {
    const PanelView<T> to = plan.input();
    if (!samples.is_sparse()) {
        const T* const rows = batch.order ? samples.inputs.data : samples.inputs.row(batch.first + first);
        return plan.model().kernels().gather(rows, samples.inputs.columns, batch.order ? batch.order + first : nullptr,
                                             last - first, to.data, to.rows, first);
    }
    const SparseRows<T>& from = samples.sparse;
    for (Index panel = 0; panel < to.panels() && !plan.keeps_sparse(); ++panel)
        std::fill_n(to.panel(panel) + first * panel_width<T>, (last - first) * panel_width<T>, T{});
    for (Index row = first; row < last; ++row) {
        const Index sample = batch.sample(row);
        if (plan.keeps_sparse())
            plan.take_sparse(row, from.begin[sample], from.end[sample]);
        else
            for (std::int64_t i = from.begin[sample]; i < from.end[sample]; ++i)
                to.at(row, from.columns[i]) = from.values[i];
    }
}

template <class T> double operations_per_sample(const Model<T>& model, const Samples<T>& samples) {
    if (samples.steps > 0) {
        if (!samples.lengths) return model.operations_per_sample(static_cast<double>(samples.steps));
        double steps = 0;
        for (Index i = 0; i < samples.size(); ++i) steps += static_cast<double>(samples.lengths[i]);
        return model.operations_per_sample(steps / static_cast<double>(samples.size()));
    }
    const Layer<T>& first = *model.layers().front();
    if (!samples.is_sparse() || !first.takes_sparse()) return model.operations_per_sample();
    const auto stored = static_cast<double>(samples.sparse.end[samples.size() - 1] - samples.sparse.begin[0]);
    const double of_first = static_cast<double>(first.outputs()) * stored / static_cast<double>(samples.size());
    return model.operations_per_sample() - first.operations() + of_first;
}

template <class T> double BatchLoss<T>::total_weight(const Samples<T>& samples, const Batch& batch) const {
    if (!samples.weights) return static_cast<double>(batch.count);
    double sum = 0;
    for (Index row = 0; row < batch.count; ++row) sum += static_cast<double>(samples.weights[batch.sample(row)]);
    return sum;
}

template <class T> void BatchLoss<T>::gather_targets(const Samples<T>& samples, const Batch& batch, double total_weight,
                                                     Index first, Index last) const {
    const Kernels<T>& kernels = plan_.model().kernels();
    const auto rows_of = [&](MatrixView<const T> matrix, PanelView<T> panels) {
        kernels.gather(batch.order ? matrix.data : matrix.row(batch.first + first), matrix.columns,
                       batch.order ? batch.order + first : nullptr, last - first, panels.data, panels.rows, first);
    };
    if (!loss_.kernel) return;
    if (samples.labels)
        for (Index row = first; row < last; ++row) labels_[row] = samples.labels[batch.sample(row)];
    else
        rows_of(samples.targets, {target_.data(), plan_.output_rows(), samples.targets.columns});
    // A batch whose weights are all zero has no gradient and no say in the mean.
    if (!samples.weights) {
        const T share = static_cast<T>(1 / total_weight);
        for (Index row = first; row < last; ++row) scale_[row] = share;
        return;
    }
    for (Index row = first; row < last; ++row) {
        weight_[row] = samples.weights[batch.sample(row)];
        scale_[row] = total_weight != 0 ? static_cast<T>(static_cast<double>(weight_[row]) / total_weight) : T{0};
    }
}

template <class T> void BatchLoss<T>::rows(const Samples<T>& samples, Index first, Index last) const {
    const PanelView<T> output = plan_.output(), delta = plan_.output_gradient();
    const LossConvention& convention = loss_.convention;
    const T mean = T{1} / static_cast<T>(output.columns);
    const auto share = [mean](double asked) { return asked > 0 ? static_cast<T>(asked) : mean; };
    loss_.kernel->rows({.output = output.data,
                        .output_stride = output.rows,
                        .delta = wants_gradient_ ? delta.data : nullptr,
                        .delta_stride = delta.rows,
                        .target = target_.data(),
                        .target_stride = plan_.output_rows(),
                        .labels = samples.labels ? labels_.data() : nullptr,
                        .row_scale = scale_.data(),
                        .row_value = row_value_.data(),
                        .columns = output.columns,
                        .first_row = first,
                        .last_row = last,
                        .parameters = &loss_.parameter,
                        .value_share = share(convention.value_share),
                        .gradient_share = share(convention.gradient_share),
                        .least = static_cast<T>(convention.least),
                        .most = static_cast<T>(convention.most)});
}

template <class T> double BatchLoss<T>::custom(const Batch& batch) const {
    const Kernels<T>& kernels = plan_.model().kernels();
    const PanelView<T> output = plan_.output();
    const MatrixView<T> values{row_major_.data(), batch.count, output.columns};
    const MatrixView<T> gradient{row_major_.data() + plan_.output_rows() * output.columns, batch.count, output.columns};
    kernels.scatter(output.data, output.rows, 0, batch.count, output.columns, values.data);
    const double value = loss_.custom(values, batch, gradient);
    if (wants_gradient_)
        kernels.gather(gradient.data, output.columns, nullptr, batch.count, plan_.output_gradient().data, output.rows,
                       0);
    return value;
}

template <class T> void BatchLoss<T>::add(Range rows, bool weighted, Sums& sums, Index before) const {
    for (Index row = rows.first; row < rows.last; ++row)
        sums.of_every_fourth[(before + row) % 4] +=
            static_cast<double>(row_value_[row]) * (weighted ? static_cast<double>(weight_[row]) : 1.0);
}

template <class T> double BatchLoss<T>::Sums::mean(double total_weight) const {
    const auto& s = of_every_fourth;
    const double sum = (s[0] + s[2]) + (s[1] + s[3]);
    return total_weight != 0 ? sum / total_weight : 0;
}

template const LossKernel<float>& find_loss(const Kernels<float>&, const std::string&);
template const LossKernel<double>& find_loss(const Kernels<double>&, const std::string&);
template std::string output_activation(const Model<float>&, const Loss<float>&);
template std::string output_activation(const Model<double>&, const Loss<double>&);
template void gather_inputs(const Samples<float>&, const Batch&, const Plan<float>&, Index, Index);
template void gather_inputs(const Samples<double>&, const Batch&, const Plan<double>&, Index, Index);
template double operations_per_sample(const Model<float>&, const Samples<float>&);
template double operations_per_sample(const Model<double>&, const Samples<double>&);
template class BatchLoss<float>;
template class BatchLoss<double>;

} // namespace deltarule
