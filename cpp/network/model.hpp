// A spec made concrete: its layers for one number type and instruction set, and where each tensor lies in the one flat
// array of parameters. Gradients and the arrays of an optimizer lie in the same way.
#pragma once

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "isa/select.hpp"
#include "layers/layer.hpp"
#include "network/spec.hpp"

namespace deltarule {

struct Tensor {
    std::string name; // "0.weight"
    Index layer;
    TensorShape shape;
    Index offset; // in the flat array
    Index size;   // with the padding of its panels
};

template <class T> class Model {
  public:
    Model(Spec spec, const KernelTable& table);

    const Spec& spec() const { return spec_; }
    const Kernels<T>& kernels() const { return kernels_; }
    auto philox_blocks() const { return table_.philox_blocks; }
    const std::vector<std::unique_ptr<Layer<T>>>& layers() const { return layers_; }
    const std::vector<Tensor>& tensors() const { return tensors_; }
    Index size() const { return size_; } // of the flat array
    Index inputs() const { return spec_.inputs; }
    Index outputs() const { return layers_.back()->outputs(); }
    bool is_random() const { return is_random_; } // a step needs a key
    bool takes_sequences() const { return spec_.sequences; }
    bool gives_sequences() const { return takes_sequences() && sequence_layers_ > layers_.size(); } // an output a step
    bool is_sequence(std::size_t layer) const { // the input of a layer; of the one after the last: the output
        return takes_sequences() && layer < sequence_layers_;
    }
    bool needs_whole_sequences() const { return is_bidirectional_; }
    bool is_trainable(std::size_t layer) const { return spec_.layers[layer].trainable; }
    bool all_trainable() const;
    // Of each layer: whether its tensors are trained, and with what factor of the learning rate. Plans for training that were
    // made before are of no more use.
    void set_learning(const std::vector<std::pair<bool, double>>& learning);
    // Layers with one factor of the learning rate are a group.
    const std::vector<double>& rate_factors() const { return rate_factors_; } // of each group
    std::size_t group_of(std::size_t layer) const;
    double operations_per_sample(double steps = 1) const; // multiply-adds of one forward pass

    // What the layers remember from step to step: "0.hidden", and of how many units
    std::vector<std::pair<std::string, Index>> state_shapes() const;

    // The last layer with another activation: a loss that works on logits, probabilities from a network of logits.
    std::unique_ptr<Layer<T>> last_layer_with(const std::string& activation) const;

    // Where in the flat array an element is, by its place in the tensor as users see it
    Index place(const Tensor& tensor, Index row, Index column) const {
        if (tensor.shape.is_kept_transposed) std::swap(row, column);
        if (tensor.shape.gates > 1) {
            const Index units = tensor.shape.gate_columns(), gate = column / units + tensor.shape.rotation;
            column = gate % tensor.shape.gates * tensor.shape.kept_gate_columns<T>() + column % units;
        }
        return tensor.offset + (column / panel_width<T> * tensor.shape.kept_rows() + row) * panel_width<T> +
               column % panel_width<T>;
    }
    void read(const Tensor& tensor, const T* flat, T* matrix) const;  // panels to row-major
    void write(const Tensor& tensor, T* flat, const T* matrix) const; // and back

  private:
    Spec spec_;
    const KernelTable& table_;
    const Kernels<T>& kernels_;
    std::vector<std::unique_ptr<Layer<T>>> layers_;
    std::vector<Tensor> tensors_;
    Index size_ = 0;
    bool is_random_ = false, is_bidirectional_ = false;
    std::size_t sequence_layers_ = 0; // whose input is sequences
    std::vector<double> rate_factors_;
    void group_layers();
};

} // namespace deltarule
