// Which layers there are, by the name that the spec uses. To add one: its file here and a row in registry.cpp.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "layers/layer.hpp"

namespace deltarule {

// A layer as the user wrote it; each type reads what concerns it.
struct LayerSpec {
    std::string type;
    std::string name; // of its tensors: "<name>.weight"; the layer's number where the user gave none
    Index number = 0; // its place in the network
    Index units = 0;
    std::string activation = "identity";
    bool use_bias = true;
    std::string init = "auto";
    double l1 = 0, l2 = 0;
    double rate = 0, eps = 0, momentum = 0;
    bool trainable = true; // else an update leaves its tensors as they are
    double lr_factor = 1;  // of the learning rate
    bool return_sequences = false, bidirectional = false;
    std::string recurrent_init = "auto";
    std::optional<double> forget_bias;
};

std::vector<std::string> layer_names();

// The layer for so many inputs, or std::invalid_argument where the spec is none.
template <class T> std::unique_ptr<Layer<T>> make_layer(const Kernels<T>& kernels, const LayerSpec& spec, Index inputs);

template <class T> const ActivationKernel<T>& find_activation(const Kernels<T>& kernels, const std::string& name);

} // namespace deltarule
