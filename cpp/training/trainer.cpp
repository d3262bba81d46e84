#include "training/trainer.hpp"

#include <algorithm>
#include <chrono>

#include "base/random.hpp"
#include "training/crew.hpp"

namespace deltarule {

namespace {

// What the threads of a fit share. Thread 0 writes between barriers, all read.
template <class T> class Loop {
  public:
    Loop(const Model<T>& model, T* parameters, Optimizer<T>& optimizer, const Loss<T>& loss, const Samples<T>& samples,
         const FitOptions<T>& options)
        : model_(model), parameters_(parameters), optimizer_(optimizer), samples_(&samples), options_(options),
          batch_size_(options.next_piece ? options.batch_size : std::min(options.batch_size, samples.size())),
          operations_(operations_per_sample(model, samples)),
          plan_(model, step_capacity(samples, batch_size_, options.cut),
                step_purpose(operations_, step_capacity(samples, batch_size_, options.cut), options.clipping),
                output_activation(model, loss), samples.is_sparse()),
          batch_loss_(loss, plan_, true), monitor_(options.interrupted),
          step_(plan_, batch_loss_, loss, &optimizer, options.clipping, monitor_, options.threads, options.cut.pieces),
          crew_(options.threads, !options.threads_were_asked_for, 3 * operations_ * static_cast<double>(batch_size_)),
          own_order_(options.shuffle && options.order.size == 0 ? samples.size() : 0),
          order_(options.order.size > 0 ? options.order : own_order_.view()),
          own_last_finite_(options.stops_at_divergence && !options.last_finite.data ? model.size() : 0),
          last_finite_(options.last_finite.data ? options.last_finite : own_last_finite_.view()),
          by_samples_(loss.convention.epoch_by_samples) {
        plan_.bind(parameters);
        borrow(samples);
        if (!options.stops_at_divergence) step_.ignore_divergence();
        step_.keep_average(options.averaging);
        if (options.validation)
            validation_.emplace(model, options.averaging.average ? options.averaging.average : parameters,
                                options.validation_loss ? *options.validation_loss : loss, *options.validation,
                                options.threads);
        result_.history.reserve(static_cast<std::size_t>(std::min<Index>(options.epochs, 1 << 20)));
    }

    FitResult run() {
        run_team(options_.threads, [&](int thread, Barrier& barrier) {
            if (thread == 0)
                lead(barrier);
            else
                follow(thread, barrier);
        });
        return std::move(result_);
    }

  private:
    // What all threads do next. The others are not kept waiting by those who have nothing to do.
    struct Turn {
        enum Kind { steps, validation, home } kind;
        Index first, end; // steps
    };

    void lead(Barrier& barrier) {
        const auto start = std::chrono::steady_clock::now();
        for (Index epoch = 0; epoch < options_.epochs && !done_; ++epoch) {
            const Outcome outcome = epoch_of_steps(barrier, epoch);
            if (outcome == Outcome::updated && validation_) {
                turns_.call({Turn::validation, 0, 0});
                validate(0, barrier);
            }
            const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - start;
            end_epoch(epoch, outcome, seconds.count());
        }
        turns_.call({Turn::home, 0, 0});
    }

    void follow(int thread, Barrier& barrier) {
        for (unsigned calls = 0;; ++calls) {
            const Turn turn = turns_.wait_for(calls);
            if (turn.kind == Turn::home) return;
            if (turn.kind == Turn::validation)
                validate(thread, barrier);
            else
                steps(thread, options_.threads, barrier, turn.first, turn.end);
        }
    }

    void validate(int thread, Barrier& barrier) {
        if (validation_) validation_->run(thread, options_.threads, monitor_);
        barrier.wait();
    }

    Outcome epoch_of_steps(Barrier& barrier, Index epoch) {
        try {
            begin_epoch(epoch);
            if (!options_.next_piece) return all_steps(barrier, epoch, place_.step);
            while (const Samples<T>* const piece = options_.next_piece(epoch)) {
                borrow(*piece);
                steps_before_ = place_.step;
                const Outcome outcome = all_steps(barrier, epoch, 0);
                if (outcome != Outcome::updated) return outcome;
            }
            return monitor_.should_stop() ? Outcome::interrupted : Outcome::updated;
        } catch (...) {
            // From a function of the caller's, between two turns: all other threads are waiting for the next one.
            result_.failure = std::current_exception();
            return Outcome::failed;
        }
    }

    // of the samples that there are
    Outcome all_steps(Barrier& barrier, Index epoch, Index step) {
        const Index count = (samples_->size() + batch_size_ - 1) / batch_size_;
        // From the end of the last piece; that of an epoch needs none.
        if (is_pause_due_ && place_.step > 0) pause(epoch);
        if (options_.rates) rates_ = options_.rates(epoch, steps_before_ + step, count - step);
        first_with_rate_ = step;
        while (step < count) {
            Index end = step + crew_.steps(count - step);
            if (options_.pause_every > 0) end = std::min(end, step + options_.pause_every - steps_since_pause_);
            const bool alone = crew_.active() == 1;
            crew_.begin_turn();
            if (!alone) turns_.call({Turn::steps, step, end});
            const Outcome outcome = steps(0, crew_.active(), alone ? alone_ : barrier, step, end);
            if (outcome != Outcome::updated) return outcome;
            crew_.end_turn(end - step);
            steps_since_pause_ += end - step;
            step = end;
            if (options_.pause_every == 0 || steps_since_pause_ < options_.pause_every) continue;
            steps_since_pause_ = 0;
            is_pause_due_ = true;
            if (step < count) pause(epoch);
        }
        return Outcome::updated;
    }

    void pause(Index epoch) {
        is_pause_due_ = false;
        options_.on_pause(epoch, place_);
    }

    void borrow(const Samples<T>& samples) {
        samples_ = &samples;
        plan_.borrow(samples.sparse);
        step_.prepare(samples);
    }

    void begin_epoch(Index epoch) {
        if (options_.scaling && epoch > 0)
            optimizer_.set_learning_rate(
                options_.scaling->after(static_cast<double>(epoch) * static_cast<double>(samples_->size())));
        if (options_.shuffle && options_.generator)
            shuffle(order_, *options_.generator);
        else if (options_.shuffle && options_.order.size == 0)
            shuffle(order_,
                    Random(options_.seed, Stream::shuffle, static_cast<std::uint64_t>(*options_.epochs_trained),
                           model_.philox_blocks()),
                    [this] { monitor_.poll(1e6); });
        place_ = epoch == 0 ? options_.start : Place{};
        is_pause_due_ = false;
        steps_before_ = options_.next_piece ? place_.step : 0;
        if (place_.step == 0) std::copy_n(parameters_, last_finite_.size, last_finite_.data);
    }

    Outcome steps(int thread, int active, Barrier& barrier, Index step, Index end) {
        for (; step < end; ++step) {
            const Index first = step * batch_size_;
            const Batch batch{options_.shuffle ? order_.data + first : nullptr, first,
                              std::min(batch_size_, samples_->size() - first), key_of(steps_before_ + step)};
            if (thread == 0 && !rates_.empty()) optimizer_.set_learning_rate(rate_of(step));
            const Outcome outcome = step_.run(thread, active, barrier, *samples_, batch);
            if (outcome != Outcome::updated) return outcome;
            if (thread != 0) continue;
            const double weight = by_samples_ ? static_cast<double>(batch.count) : step_.total_weight();
            place_.loss_sum += step_.loss() * weight;
            place_.weight_sum += weight;
            ++place_.step;
        }
        return Outcome::updated;
    }

    double rate_of(Index step) const {
        const auto place = static_cast<std::size_t>(step - first_with_rate_);
        return rates_[std::min(place, rates_.size() - 1)];
    }

    std::uint64_t key_of(Index step) const {
        if (!model_.is_random()) return 0;
        return step_key(options_.seed, static_cast<std::uint64_t>(*options_.epochs_trained),
                        static_cast<std::uint64_t>(step));
    }

    void end_epoch(Index epoch, Outcome outcome, double seconds) {
        try {
            if (outcome == Outcome::failed)
                std::rethrow_exception(result_.failure ? result_.failure : step_.take_failure());
            if (outcome == Outcome::interrupted || monitor_.should_stop()) return finish(FitEnd::interrupted);
            const bool finite =
                !options_.stops_at_divergence || model_.kernels().all_finite(parameters_, model_.size());
            if (outcome == Outcome::diverged || !finite) return diverged(epoch, outcome == Outcome::diverged);
            EpochLog log{place_.weight_sum > 0 ? place_.loss_sum / place_.weight_sum : 0,
                         0,
                         optimizer_.learning_rate(),
                         seconds,
                         validation_.has_value(),
                         std::numeric_limits<double>::quiet_NaN()};
            if (validation_) {
                if (validation_->failure()) std::rethrow_exception(validation_->failure());
                log.validation_loss = validation_->value();
            }
            result_.history.push_back(log);
            ++*options_.epochs_trained;
            if (options_.score) log.score = result_.history.back().score = options_.score();
            const bool converged = options_.plateau && ends(*options_.plateau, options_.score ? -log.score : log.loss);
            if (options_.after_epoch && options_.after_epoch(epoch, log)) return finish(FitEnd::stopped);
            if (converged) return finish(FitEnd::converged);
            if (seconds > options_.seconds && epoch + 1 < options_.epochs) finish(FitEnd::out_of_time);
        } catch (...) {
            result_.failure = std::current_exception();
            finish(FitEnd::failed);
        }
    }

    bool ends(const Plateau& plateau, double value) {
        const bool over = plateau.ends(value);
        if (plateau.divisor > 0) optimizer_.set_learning_rate(*plateau.rate);
        return over;
    }

    void diverged(Index epoch, bool in_loss) {
        result_.epoch = epoch;
        result_.step = in_loss ? place_.step : place_.step - 1;
        result_.loss = in_loss ? step_.loss() : 0;
        result_.layer = plan_.first_layer_not_finite(batch_size_);
        std::copy_n(last_finite_.data, last_finite_.size, parameters_);
        finish(FitEnd::diverged);
    }

    void finish(FitEnd end) {
        result_.end = end;
        done_ = true;
    }

    const Model<T>& model_;
    T* const parameters_;
    Optimizer<T>& optimizer_;
    const Samples<T>* samples_; // or the piece of them that there is
    const FitOptions<T>& options_;
    const Index batch_size_;
    const double operations_; // of a sample
    Plan<T> plan_;
    const BatchLoss<T> batch_loss_;
    Monitor monitor_;
    Step<T> step_;
    std::optional<Evaluation<T>> validation_;
    Crew crew_;
    Barrier alone_{1};
    Calls<Turn> turns_;
    const Buffer<std::int64_t> own_order_;
    const VectorView<std::int64_t> order_;
    const Buffer<T> own_last_finite_;
    const VectorView<T> last_finite_;
    const bool by_samples_;

    bool done_ = false;
    Place place_;
    Index steps_before_ = 0;      // of the epoch, in earlier pieces
    Index steps_since_pause_ = 0; // counted over all epochs
    bool is_pause_due_ = false;
    std::vector<double> rates_; // of the steps from first_with_rate_ on
    Index first_with_rate_ = 0;
    FitResult result_;
};

} // namespace

template <class T> FitResult fit(const Model<T>& model, T* parameters, Optimizer<T>& optimizer, const Loss<T>& loss,
                                 const Samples<T>& samples, const FitOptions<T>& options) {
    return Loop<T>(model, parameters, optimizer, loss, samples, options).run();
}

template FitResult fit(const Model<float>&, float*, Optimizer<float>&, const Loss<float>&, const Samples<float>&,
                       const FitOptions<float>&);
template FitResult fit(const Model<double>&, double*, Optimizer<double>&, const Loss<double>&, const Samples<double>&,
                       const FitOptions<double>&);

} // namespace deltarule
