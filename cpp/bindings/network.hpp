// A network as Python sees it: the model, and the guard that keeps two threads from changing one network at a time.
#pragma once

#include <atomic>
#include <memory>
#include <mutex>
#include <string>
#include <thread>

#include "base/cpu.hpp"
#include "bindings/arrays.hpp"
#include "network/model.hpp"
#include "training/stepper.hpp"

namespace deltarule {

template <class T> class NetworkBinding {
  public:
    explicit NetworkBinding(const py::dict& spec);

    Model<T> model;
    std::atomic<std::uint64_t> version{0};  // counts what has changed the parameters behind a stepper's back
    std::atomic<std::uint64_t> learning{0}; // counts changes of which layers learn, and how fast

    // Holds the network for one that changes it. A second one is refused, from whatever thread, and so is one that comes
    // while somebody reads.
    class Changing {
      public:
        Changing(NetworkBinding& network, const char* doing);
        ~Changing();
        void hand_over() const; // to the calling thread, whose callbacks may look
        Changing(const Changing&) = delete;
        Changing& operator=(const Changing&) = delete;

      private:
        NetworkBinding& network_;
    };
    // Holds it for one that reads; refused while another thread changes it. The callbacks of a fit may look.
    class Reading {
      public:
        Reading(const NetworkBinding& network, const char* doing);
        ~Reading();
        Reading(const Reading&) = delete;
        Reading& operator=(const Reading&) = delete;

      private:
        const NetworkBinding& network_;
    };

    VectorView<T> parameters(const py::handle& array) const;

    std::unique_ptr<Plan<T>> small; // for predictions of a few rows
    std::string small_activation;   // at its end, in place of the last layer's

    // Kept between forward() and backward().
    std::unique_ptr<Plan<T>> pass;
    Purpose pass_purpose = Purpose::gradients_with_input;
    std::uint64_t pass_learning = 0;
    Index pass_rows = 0, pass_input_rows = 0; // of the output and of the input
    std::unique_ptr<Packing<T>> pass_packing; // of sequences
    std::uint64_t pass_version = 0;

  private:
    mutable std::mutex mutex_;
    bool changing_ = false;
    std::thread::id owner_; // of the change
    mutable int readers_ = 0;
};

// Back in the interpreter for a moment: its lock, and numbers as the user's code expects them.
class InPython {
    py::gil_scoped_acquire acquire_;
    KeepDenormals keep_;
};

// Ctrl-C while the interpreter's lock is released: asks Python, keeps what it raised for the end.
class Interrupt {
  public:
    bool operator()();
    void raise_if_set() const {
        if (raised_) std::rethrow_exception(raised_);
    }
    std::exception_ptr raised() const { return raised_; }

  private:
    std::exception_ptr raised_;
};

// None, (name, parameter) or a function(output, indices) -> (value, gradient)
template <class T> Loss<T> read_loss(const Kernels<T>& kernels, const py::object& loss);

// The inputs alone: a matrix, a tuple of the parts of compressed sparse rows, or one of sequences, their lengths and the
// states before their first step
template <class T> Samples<T> read_inputs(const Model<T>& model, const py::object& inputs);
template <class T> Samples<T> read_samples(const Model<T>& model, const Loss<T>& loss, const py::object& inputs,
                                           const py::object& targets, const py::object& weights);

// (steps at a time or 0, whether the gradient ends there)
Cut read_cut(const py::tuple& cut);

// Where a call is so short that the interpreter's lock may stay with it and Ctrl-C can wait: some 20 µs
inline bool is_short(double operations) { return operations <= 1e6; } // multiply-adds

// Counts the fits of this process, on whatever networks, as long as it lives.
class FitUnderWay {
  public:
    FitUnderWay();
    ~FitUnderWay();
    FitUnderWay(const FitUnderWay&) = delete;
    FitUnderWay& operator=(const FitUnderWay&) = delete;
    static void forget(); // in a child after fork: they stayed with the parent
};

// How many threads: as asked for; with 0 one, and another of those available for each 15 µs of work in a step, unless there
// are more fits under way than the caller's own.
int choose_threads(int asked, int available, double operations, int own_fits = 0);

template <class T> void bind_passes(py::class_<NetworkBinding<T>>& network);
template <class T> void bind_fit(py::class_<NetworkBinding<T>>& network);
template <class T> void bind_stepper(py::module_& module, const char* name);
void bind_fit_many(py::module_& module);

} // namespace deltarule
