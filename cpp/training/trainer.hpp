// The training loop: epochs of steps on a team of threads, in one call without the interpreter.
#pragma once

#include <cmath>
#include <cstdint>
#include <exception>
#include <functional>
#include <limits>
#include <optional>
#include <vector>

#include "training/evaluate.hpp"
#include "training/order.hpp"
#include "training/plateau.hpp"
#include "training/step.hpp"

namespace deltarule {

// The learning rate of scikit-learn's 'invscaling' from the second epoch on: initial / (samples seen + 1)^power.
struct InverseScaling {
    double initial, power, seen;
    double after(double samples) const { return initial / std::pow(seen + samples + 1, power); }
};

struct EpochLog {
    double loss, validation_loss, learning_rate, seconds;
    bool has_validation;
    double score; // of the caller's own, where there is one
};

// Where in an epoch a fit stands, between two steps.
struct Place {
    Index step = 0; // of the epoch, the next one
    double loss_sum = 0, weight_sum = 0;
};

template <class T> struct FitOptions {
    Index epochs = 1;
    std::int64_t* epochs_trained =
        nullptr; // counts completed epochs, on from earlier fits: each has a shuffle of its own
    Index batch_size = 32;
    bool shuffle = true;
    std::uint64_t seed = 0;
    std::optional<BitGenerator> generator; // draws the shuffles in place of the seed
    VectorView<std::int64_t> order; // with it: the order so far, which each epoch shuffles further; alone: the order
    std::optional<InverseScaling> scaling; // of the learning rate; none: as the optimizer has it
    // The learning rates of the next `count` steps of the epoch, or one for all of them; empty: as the optimizer has it
    std::function<std::vector<double>(Index epoch, Index step, Index count)> rates;
    Averaging<T> averaging; // what is validated is the average
    std::optional<Plateau> plateau;
    double seconds = std::numeric_limits<double>::infinity(); // after which no new epoch is begun
    bool stops_at_divergence = true;
    Clipping clipping;
    Cut cut; // of sequences
    int threads = 1;
    bool threads_were_asked_for = true; // else fewer may take part, where that is faster
    // Data that comes in pieces: the next one of the epoch, or none at its end. `samples` is like the pieces and not looked at.
    std::function<const Samples<T>*(Index epoch)> next_piece;
    Place start; // of the first epoch; step 0: its beginning
    VectorView<T>
        last_finite;       // room for the parameters at the beginning of an epoch; where it does not start there, these
    Index pause_every = 0; // after so many steps, and not at an epoch's end, on_pause is asked; 0: never
    std::function<void(Index epoch, const Place&)> on_pause;
    std::optional<Samples<T>> validation;
    const Loss<T>* validation_loss =
        nullptr; // null: the loss of the training; a function of the user's looks at other targets
    std::function<bool()> interrupted; // asked every now and then; true: stop
    std::function<double()> score;     // the higher the better: what the plateau looks at in place of the loss
    std::function<bool(Index, const EpochLog&)> after_epoch; // true: stop; may be empty
};

enum class FitEnd { finished, stopped, converged, out_of_time, interrupted, diverged, failed };

struct FitResult {
    FitEnd end = FitEnd::finished;
    Index epoch = 0, step = 0, layer = -1; // where it diverged
    double loss = 0;                       // that it diverged with
    std::vector<EpochLog> history;         // of the epochs that were completed
    std::exception_ptr failure;            // what a loss, a score or after_epoch of the caller's threw: that ended it
};

// Trains the parameters in place. Diverged: they are those from the end of the last finite epoch (or as they were given).
// Interrupted or left by an exception: those after the last whole step.
template <class T> FitResult fit(const Model<T>& model, T* parameters, Optimizer<T>& optimizer, const Loss<T>& loss,
                                 const Samples<T>& samples, const FitOptions<T>& options);

} // namespace deltarule
