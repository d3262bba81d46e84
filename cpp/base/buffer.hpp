// The only owner of memory in the core: zeroed, aligned to a panel, sized once. What grows during a fit does not exist.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <limits>
#include <new>
#include <utility>

#ifdef __linux__
#include <sys/mman.h>
#endif

#include "base/view.hpp"

namespace deltarule {

// Zeroed memory. A large piece comes straight from the system, where it can in pages of 2 MB, of which there are fewer to be
// fetched and looked up. Pages are asked for all at once: one after the other, when they are first touched, would cost
// several times as much, and the first step of a fit would pay for it.
class Memory {
  public:
    Memory() = default;
    explicit Memory(std::size_t bytes) {
#ifdef __linux__
        if (bytes >= 2 * huge_page) {
            length_ = bytes + huge_page;
            memory_ = mmap(nullptr, length_, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
            if (memory_ == MAP_FAILED) {
                memory_ = nullptr;
                throw std::bad_alloc();
            }
            madvise(aligned(huge_page), bytes, MADV_HUGEPAGE); // a wish, like the next: nothing depends on it
            fetch_pages(bytes);
            return;
        }
#endif
        memory_ = std::calloc(bytes + static_cast<std::size_t>(panel_bytes), 1);
        if (!memory_) throw std::bad_alloc();
        fetch_pages(bytes);
    }
    Memory(Memory&& other) noexcept
        : memory_(std::exchange(other.memory_, nullptr)), length_(std::exchange(other.length_, 0)) {}
    Memory& operator=(Memory&& other) noexcept {
        std::swap(memory_, other.memory_);
        std::swap(length_, other.length_);
        return *this;
    }
    Memory(const Memory&) = delete;
    Memory& operator=(const Memory&) = delete;
    ~Memory() {
#ifdef __linux__
        if (length_ > 0) {
            munmap(memory_, length_);
            return;
        }
#endif
        std::free(memory_);
    }

    void* data() const { return aligned(length_ > 0 ? huge_page : static_cast<std::size_t>(panel_bytes)); }

  private:
    static constexpr std::size_t huge_page = 2 << 20;
    void fetch_pages([[maybe_unused]] std::size_t bytes) const {
#ifdef MADV_POPULATE_WRITE
        constexpr std::size_t page = 4096, fewest = 128 << 10, most = 64 << 20; // more come as they are touched
        if (bytes < fewest || bytes > most) return;
        const std::size_t past = reinterpret_cast<std::uintptr_t>(data()) % page, skipped = (page - past) % page;
        madvise(static_cast<char*>(data()) + skipped, (bytes - skipped) / page * page, MADV_POPULATE_WRITE);
#endif
    }
    void* aligned(std::size_t to) const {
        const auto past = reinterpret_cast<std::uintptr_t>(memory_) % to;
        return static_cast<char*>(memory_) + (to - past) % to;
    }

    void* memory_ = nullptr;
    std::size_t length_ = 0; // of a piece from the system; 0: from the heap
};

template <class T> class Buffer {
  public:
    Buffer() = default;
    explicit Buffer(Index size) : size_(size) {
        if (size < 0 || size > std::numeric_limits<Index>::max() / static_cast<Index>(sizeof(T)) / 2)
            throw std::bad_alloc();
        if (size == 0) return;
        memory_ = Memory(static_cast<std::size_t>(size) * sizeof(T));
        data_ = static_cast<T*>(memory_.data());
    }
    Buffer(Buffer&& other) noexcept
        : memory_(std::move(other.memory_)), data_(std::exchange(other.data_, nullptr)),
          size_(std::exchange(other.size_, 0)) {}
    Buffer& operator=(Buffer&& other) noexcept {
        std::swap(memory_, other.memory_);
        std::swap(data_, other.data_);
        std::swap(size_, other.size_);
        return *this;
    }
    Buffer(const Buffer&) = delete;
    Buffer& operator=(const Buffer&) = delete;
    ~Buffer() = default;

    T* data() const { return data_; }
    Index size() const { return size_; }
    VectorView<T> view() const { return {data_, size_}; }
    T& operator[](Index i) const { return data_[i]; }

  private:
    Memory memory_;
    T* data_ = nullptr;
    Index size_ = 0;
};

} // namespace deltarule
