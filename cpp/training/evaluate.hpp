// A network used, not trained: outputs and losses of many samples, block by block, shared out among threads.
#pragma once

#include <functional>
#include <memory>
#include <vector>

#include "base/threads.hpp"
#include "training/loss.hpp"
#include "training/monitor.hpp"
#include "training/packing.hpp"

namespace deltarule {

// Writes the outputs of all samples, row-major; of sequences those of steps that exist, and in `states`, where there are any,
// the states after the last (Plan::states). false: interrupted, the outputs are incomplete.
template <class T> bool predict(const Model<T>& model, T* parameters, const Samples<T>& samples,
                                const std::string& output_activation, MatrixView<T> outputs, int threads,
                                Monitor& monitor, const std::vector<MatrixView<T>>& states = {});

// The mean loss over samples, penalties included, kept ready to be asked again and again (validation after each epoch).
template <class T> class Evaluation {
  public:
    Evaluation(const Model<T>& model, T* parameters, const Loss<T>& loss, const Samples<T>& samples, int threads);

    // By all threads alike, then value() by one of them after a barrier; custom losses run on thread 0 alone.
    void run(int thread, int threads, Monitor& monitor);
    double value() const;
    int workers() const { return static_cast<int>(workers_.size()); } // more threads would find nothing to do
    std::exception_ptr failure() const { return failure_; }

  private:
    struct Worker {
        std::unique_ptr<Plan<T>> plan;
        std::unique_ptr<BatchLoss<T>> batch_loss;
        std::unique_ptr<Packing<T>> packing; // of sequences
    };
    double loss_of_rows(const Worker& worker, const Batch& batch, double weight, int thread, Monitor& monitor);
    double loss_of_sequences(const Worker& worker, const Batch& batch, double& weight, int thread, Monitor& monitor);
    double custom(const Worker& worker, const Batch& outputs);
    const Model<T>& model_;
    T* const parameters_;
    const Loss<T>& loss_;
    const Samples<T> samples_;
    std::vector<Worker> workers_;
    std::vector<double> block_sum_, block_weight_;
    std::exception_ptr failure_;
};

} // namespace deltarule
