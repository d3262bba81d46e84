#include "bindings/network.hpp"

#include <algorithm>
#include <chrono>
#include <exception>
#include <utility>

#include <pthread.h>

#include "bindings/spec.hpp"
#include "network/initialize.hpp"

namespace deltarule {

namespace {

// A daemon thread may be in a fit when Python ends. Taking the lock back would then end that thread in the middle of the
// core, and the process with it; so the end waits for such calls, which hear of it as of a Ctrl-C.
std::atomic<bool> closing{false};
std::atomic<int> under_way{0};

void wait_for_all() {
    closing = true;
    const py::gil_scoped_release release;
    for (int waited = 0; under_way > 0 && waited < 2000; ++waited)
        std::this_thread::sleep_for(std::chrono::milliseconds(1));
}

} // namespace

template <class T> NetworkBinding<T>::NetworkBinding(const py::dict& spec) : model(read_spec(spec), selected_table()) {}

template <class T> NetworkBinding<T>::Changing::Changing(NetworkBinding& network, const char* doing)
    : network_(network) {
    const std::lock_guard lock(network_.mutex_);
    if (network_.changing_)
        throw std::runtime_error(
            std::string(doing) +
            " while a fit runs on the same network, or another call that changes it: wait for it to end, or train "
            "a copy (copy.deepcopy(network))");
    if (network_.readers_ > 0)
        throw std::runtime_error(
            std::string(doing) +
            " while the network is being asked for an answer: wait for it, or train a copy (copy.deepcopy(network))");
    network_.changing_ = true;
    network_.owner_ = std::this_thread::get_id();
    ++under_way;
}

template <class T> void NetworkBinding<T>::Changing::hand_over() const {
    const std::lock_guard lock(network_.mutex_);
    network_.owner_ = std::this_thread::get_id();
}

template <class T> NetworkBinding<T>::Changing::~Changing() {
    const std::lock_guard lock(network_.mutex_);
    network_.changing_ = false;
    --under_way;
}

template <class T> NetworkBinding<T>::Reading::Reading(const NetworkBinding& network, const char* doing)
    : network_(network) {
    const std::lock_guard lock(network_.mutex_);
    if (network_.changing_ && network_.owner_ != std::this_thread::get_id())
        throw std::runtime_error(
            std::string(doing) +
            " while another thread trains the network: wait for the fit to end, or use a copy made before it");
    ++network_.readers_;
    ++under_way;
}

template <class T> NetworkBinding<T>::Reading::~Reading() {
    const std::lock_guard lock(network_.mutex_);
    --network_.readers_;
    --under_way;
}

template <class T> VectorView<T> NetworkBinding<T>::parameters(const py::handle& array) const {
    const VectorView<T> view = writable_vector<T>(array, "parameters");
    require(view.size == model.size(), "parameters has ", view.size, " elements, expected ", model.size());
    return view;
}

bool Interrupt::operator()() {
    const InPython in_python;
    if (raised_) return true;
    if (closing) {
        PyErr_SetNone(PyExc_SystemExit); // with which a thread ends silently
        raised_ = std::make_exception_ptr(py::error_already_set());
        return true;
    }
    if (PyErr_CheckSignals() == 0) return false;
    raised_ = std::make_exception_ptr(py::error_already_set());
    return true;
}

namespace {

py::tuple describe(const Tensor& tensor) {
    const py::tuple shape = tensor.shape.is_vector ? py::tuple(py::make_tuple(tensor.shape.columns))
                                                   : py::tuple(py::make_tuple(tensor.shape.rows, tensor.shape.columns));
    return py::make_tuple(tensor.name, shape, tensor.layer);
}

template <class T> const Tensor& tensor_at(const Model<T>& model, Index index) {
    require(index >= 0 && index < static_cast<Index>(model.tensors().size()), "there is no tensor ", index);
    return model.tensors()[static_cast<std::size_t>(index)];
}

template <class T> py::array_t<T> read_tensor(const NetworkBinding<T>& network, const py::object& flat, Index index) {
    const typename NetworkBinding<T>::Reading reading(network, "the parameters were asked for");
    const VectorView<T> from = network.parameters(flat);
    const Tensor& tensor = tensor_at(network.model, index);
    py::array_t<T> matrix = tensor.shape.is_vector ? py::array_t<T>(tensor.shape.columns)
                                                   : py::array_t<T>({tensor.shape.rows, tensor.shape.columns});
    network.model.read(tensor, from.data, matrix.mutable_data());
    return matrix;
}

// Into any array of that layout, such as one to assign
template <class T>
void write_tensor(const NetworkBinding<T>& network, const py::object& flat, Index index, const py::object& matrix) {
    const Tensor& tensor = tensor_at(network.model, index);
    const VectorView<T> to = network.parameters(flat);
    const py::array from = checked<T>(matrix, tensor.name.c_str(), tensor.shape.is_vector ? 1 : 2);
    require(tensor.shape.is_vector ? from.shape(0) == tensor.shape.columns
                                   : from.shape(0) == tensor.shape.rows && from.shape(1) == tensor.shape.columns,
            tensor.name, " has shape ", shape_of(from));
    network.model.write(tensor, to.data, static_cast<const T*>(from.data()));
}

// All parameters at once, in the core's layout
template <class T> void assign(NetworkBinding<T>& network, const py::object& flat, const py::object& values) {
    const typename NetworkBinding<T>::Changing changing(network, "the parameters were set");
    const VectorView<T> to = network.parameters(flat), from = network.parameters(values);
    std::copy_n(from.data, from.size, to.data);
    ++network.version;
}

// Refuses a network that somebody trains or asks at this moment.
template <class T> void require_free(NetworkBinding<T>& network, const std::string& doing) {
    const typename NetworkBinding<T>::Changing changing(network, doing.c_str());
}

// Of each layer (whether it is trained, the factor of its learning rate)
template <class T> void set_learning(NetworkBinding<T>& network, const std::vector<std::pair<bool, double>>& learning) {
    const typename NetworkBinding<T>::Changing changing(network, "layers were frozen, or their learning rate was set");
    network.model.set_learning(learning);
    ++network.learning;
}

template <class T> void initialize_parameters(NetworkBinding<T>& network, const py::object& flat, std::uint64_t seed) {
    const typename NetworkBinding<T>::Changing changing(network, "the parameters were initialized");
    const VectorView<T> parameters = network.parameters(flat);
    Interrupt interrupt;
    Monitor monitor(std::ref(interrupt));
    struct Stopped : std::exception {};
    try {
        const py::gil_scoped_release release;
        initialize(network.model, seed, parameters.data, [&monitor] {
            monitor.poll(1e6);
            if (monitor.should_stop()) throw Stopped{};
        });
    } catch (const Stopped&) {
        interrupt.raise_if_set();
    }
    ++network.version;
}

template <class T> void bind_network_of(py::module_& module, const char* name, const char* stepper_name) {
    using Network = NetworkBinding<T>;
    py::class_<Network> network(module, name);
    network.def(py::init<const py::dict&>(), py::arg("spec"))
        .def_property_readonly("size", [](const Network& n) { return n.model.size(); })
        .def_property_readonly("inputs", [](const Network& n) { return n.model.inputs(); })
        .def_property_readonly("outputs", [](const Network& n) { return n.model.outputs(); })
        .def_property_readonly("tensors",
                               [](const Network& n) {
                                   py::list list;
                                   for (const Tensor& tensor : n.model.tensors()) list.append(describe(tensor));
                                   return list;
                               })
        .def_property_readonly("measured", // tensors that are not trained: without a gradient, and no parameters
                               [](const Network& n) {
                                   py::list list;
                                   for (const Tensor& tensor : n.model.tensors())
                                       if (!tensor.shape.trained) list.append(tensor.name);
                                   return list;
                               })
        .def_property_readonly("states", [](const Network& n) { return n.model.state_shapes(); })
        .def_property_readonly("gives_sequences", [](const Network& n) { return n.model.gives_sequences(); })
        .def("allocate", [](const Network& n) { return array_of(Buffer<T>(n.model.size())); })
        .def("initialize", &initialize_parameters<T>, py::arg("parameters"), py::arg("seed"))
        .def("read", &read_tensor<T>, py::arg("flat"), py::arg("index"))
        .def("write", &write_tensor<T>, py::arg("flat"), py::arg("index"), py::arg("matrix"))
        .def("require_free", &require_free<T>, py::arg("doing"))
        .def("set_learning", &set_learning<T>, py::arg("learning"))
        .def("assign", &assign<T>, py::arg("parameters"), py::arg("values"));
    bind_passes<T>(network);
    bind_fit<T>(network);
    bind_stepper<T>(module, stepper_name);
}

} // namespace

void bind_network(py::module_& module) {
    py::module_::import("atexit").attr("register")(py::cpp_function(&wait_for_all));
    pthread_atfork(nullptr, nullptr, [] { // whatever was under way stayed with the parent
        under_way = 0;
        FitUnderWay::forget();
    });
    bind_network_of<float>(module, "NetworkFloat32", "StepperFloat32");
    bind_network_of<double>(module, "NetworkFloat64", "StepperFloat64");
    bind_fit_many(module);
}

template class NetworkBinding<float>;
template class NetworkBinding<double>;

} // namespace deltarule
