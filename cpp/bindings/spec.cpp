#include "bindings/spec.hpp"

#include <cmath>
#include <optional>
#include <set>

#include "base/require.hpp"

namespace deltarule {

namespace {

// Takes the keys of a dict one by one; what is left at the end is unknown.
class Reader {
  public:
    Reader(const py::dict& dict, std::string what) : dict_(dict), what_(std::move(what)) {
        for (const auto& item : dict) {
            require(py::isinstance<py::str>(item.first), what_, ": the key ", std::string(py::repr(item.first)),
                    " is not a string");
            left_.insert(item.first.cast<std::string>());
        }
    }

    py::object take(const char* key) {
        require(left_.erase(key) == 1, what_, " lacks \"", key, "\"");
        return dict_[key];
    }
    Index integer(const char* key) {
        const py::object value = take(key);
        require(py::isinstance<py::int_>(value) && !py::isinstance<py::bool_>(value), what_, ": \"", key,
                "\" must be an integer, got ", std::string(py::repr(value)));
        const long long number = PyLong_AsLongLong(value.ptr());
        if (number == -1 && PyErr_Occurred()) {
            PyErr_Clear();
            require(false, what_, ": ", key, "=", std::string(py::repr(value)), " does not fit into 64 bits");
        }
        return static_cast<Index>(number);
    }
    double number(const char* key) {
        const py::object value = take(key);
        require(py::isinstance<py::float_>(value) ||
                    (py::isinstance<py::int_>(value) && !py::isinstance<py::bool_>(value)),
                what_, ": \"", key, "\" must be a number, got ", std::string(py::repr(value)));
        const double result = PyFloat_AsDouble(value.ptr());
        if (result == -1.0 && PyErr_Occurred()) PyErr_Clear();
        require(std::isfinite(result) && result >= 0, what_, ": ", key, "=", std::string(py::repr(value)),
                " must be a finite number of at least 0");
        return result;
    }
    std::optional<double> number_or_none(const char* key) { // of any sign
        const py::object value = take(key);
        if (value.is_none()) return {};
        require(py::isinstance<py::float_>(value), what_, ": \"", key, "\" must be a float or None, got ",
                std::string(py::repr(value)));
        const double result = value.cast<double>();
        require(std::isfinite(result), what_, ": ", key, "=", std::string(py::repr(value)), " must be finite");
        return result;
    }
    bool flag(const char* key) {
        const py::object value = take(key);
        require(py::isinstance<py::bool_>(value), what_, ": \"", key, "\" must be True or False, got ",
                std::string(py::repr(value)));
        return value.cast<bool>();
    }
    std::string text(const char* key) {
        const py::object value = take(key);
        require(py::isinstance<py::str>(value), what_, ": \"", key, "\" must be a string, got ",
                std::string(py::repr(value)));
        return value.cast<std::string>();
    }
    void end() const {
        require(left_.empty(), what_, " has the unknown key \"", left_.empty() ? "" : *left_.begin(),
                "\": was it written by a newer version of deltarule?");
    }

  private:
    const py::dict& dict_;
    std::string what_;
    std::set<std::string> left_;
};

LayerSpec read_layer(const py::handle& object, Index number) {
    const std::string position = std::to_string(number);
    require(py::isinstance<py::dict>(object), "layer ", position, " of the spec is no dict");
    const auto dict = py::reinterpret_borrow<py::dict>(object);
    Reader reader(dict, "layer " + position);
    LayerSpec layer;
    layer.number = number;
    layer.type = reader.text("type");
    if (layer.type == "dropout") {
        layer.rate = reader.number("rate");
    } else if (layer.type == "layer_norm") {
        layer.eps = reader.number("eps");
    } else if (layer.type == "batch_norm") {
        layer.momentum = reader.number("momentum");
        layer.eps = reader.number("eps");
    } else if (layer.type == "rnn" || layer.type == "lstm" || layer.type == "gru") {
        layer.units = reader.integer("units");
        if (layer.type == "rnn") layer.activation = reader.text("activation");
        layer.return_sequences = reader.flag("return_sequences");
        layer.bidirectional = reader.flag("bidirectional");
        layer.init = reader.text("init");
        layer.recurrent_init = reader.text("recurrent_init");
        if (layer.type == "lstm") layer.forget_bias = reader.number_or_none("forget_bias");
        layer.l1 = reader.number("l1");
        layer.l2 = reader.number("l2");
    } else {
        layer.units = reader.integer("units");
        layer.activation = reader.text("activation");
        layer.use_bias = reader.flag("use_bias");
        layer.init = reader.text("init");
        layer.l1 = reader.number("l1");
        layer.l2 = reader.number("l2");
    }
    if (layer.type != "dropout") {
        layer.trainable = reader.flag("trainable");
        layer.lr_factor = reader.number("lr_factor");
    }
    const py::object name = reader.take("name");
    layer.name = name.is_none() ? position : name.cast<std::string>();
    reader.end();
    return layer;
}

} // namespace

Spec read_spec(const py::dict& dict) {
    Reader reader(dict, "the spec");
    Spec spec;
    spec.inputs = reader.integer("inputs");
    spec.sequences = reader.flag("sequences");
    const py::object layers = reader.take("layers");
    require(py::isinstance<py::list>(layers), "\"layers\" of the spec is no list");
    std::set<std::string> names;
    for (const py::handle layer : layers) {
        spec.layers.push_back(read_layer(layer, static_cast<Index>(spec.layers.size())));
        require(names.insert(spec.layers.back().name).second, "two layers are named \"", spec.layers.back().name,
                "\": give each a name of its own");
    }
    reader.end();
    return spec;
}

} // namespace deltarule
