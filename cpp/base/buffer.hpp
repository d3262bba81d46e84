// The only owner of memory in the core: zeroed, aligned to a panel, sized once. What grows during a fit does not exist.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <limits>
#include <new>
#include <utility>

#include "base/view.hpp"

namespace deltarule {

template <class T> class Buffer {
  public:
    Buffer() = default;
    explicit Buffer(Index size) : size_(size) {
        if (size < 0 || size > std::numeric_limits<Index>::max() / static_cast<Index>(sizeof(T)) - panel_bytes)
            throw std::bad_alloc();
        if (size == 0) return;
        // calloc, since the pages of a large piece then come as zeros when they are first touched: nobody waits for them here.
        memory_ = std::calloc(static_cast<std::size_t>(size) * sizeof(T) + panel_bytes, 1);
        if (!memory_) throw std::bad_alloc();
        const auto past_a_panel = reinterpret_cast<std::uintptr_t>(memory_) % panel_bytes;
        data_ = reinterpret_cast<T*>(static_cast<char*>(memory_) + (panel_bytes - past_a_panel) % panel_bytes);
    }
    Buffer(Buffer&& other) noexcept
        : memory_(std::exchange(other.memory_, nullptr)), data_(std::exchange(other.data_, nullptr)),
          size_(std::exchange(other.size_, 0)) {}
    Buffer& operator=(Buffer&& other) noexcept {
        std::swap(memory_, other.memory_);
        std::swap(data_, other.data_);
        std::swap(size_, other.size_);
        return *this;
    }
    Buffer(const Buffer&) = delete;
    Buffer& operator=(const Buffer&) = delete;
    ~Buffer() { std::free(memory_); }

    T* data() const { return data_; }
    Index size() const { return size_; }
    VectorView<T> view() const { return {data_, size_}; }
    T& operator[](Index i) const { return data_[i]; }

  private:
    void* memory_ = nullptr;
    T* data_ = nullptr;
    Index size_ = 0;
};

} // namespace deltarule
