// The only owner of memory in the core: zeroed, aligned to a panel, sized once. What grows during a fit does not exist.
#pragma once

#include <cstddef>
#include <cstring>
#include <limits>
#include <new>
#include <utility>

#include "base/view.hpp"

namespace deltarule {

template <class T> class Buffer {
  public:
    Buffer() = default;
    explicit Buffer(Index size) : size_(size) {
        if (size < 0 || size > std::numeric_limits<Index>::max() / static_cast<Index>(sizeof(T)) - panel_bytes) throw std::bad_alloc();
        if (size == 0) return;
        const auto bytes = static_cast<std::size_t>(size) * sizeof(T);
        data_ = static_cast<T*>(::operator new(bytes, alignment));
        std::memset(static_cast<void*>(data_), 0, bytes);
    }
    Buffer(Buffer&& other) noexcept : data_(std::exchange(other.data_, nullptr)), size_(std::exchange(other.size_, 0)) {}
    Buffer& operator=(Buffer&& other) noexcept {
        std::swap(data_, other.data_);
        std::swap(size_, other.size_);
        return *this;
    }
    Buffer(const Buffer&) = delete;
    Buffer& operator=(const Buffer&) = delete;
    ~Buffer() {
        if (data_) ::operator delete(data_, alignment);
    }

    T* data() const { return data_; }
    Index size() const { return size_; }
    VectorView<T> view() const { return {data_, size_}; }
    T& operator[](Index i) const { return data_[i]; }

  private:
    static constexpr std::align_val_t alignment{panel_bytes};
    T* data_ = nullptr;
    Index size_ = 0;
};

} // namespace deltarule
