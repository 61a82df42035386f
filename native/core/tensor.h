#pragma once

#include <cstddef>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "core/device.h"
#include "core/dtype.h"
#include "core/shape.h"

namespace cae {

// A block of a device's memory, given back when the last tensor on it goes.
class Storage {
 public:
  Storage(Device device, size_t bytes, const Purpose& purpose);
  ~Storage();
  Storage(const Storage&) = delete;
  Storage& operator=(const Storage&) = delete;
  void* data() const { return data_; }
  size_t bytes() const { return bytes_; }
  Device device() const { return device_; }

 private:
  Device device_;
  size_t bytes_;
  std::shared_ptr<CachingAllocator> memory_;
  void* data_;
};

// What a kernel sees of a tensor: it owns nothing. Queued work holds views, not tensors, so that a tensor
// released on the host gives its block back at once (see CachingAllocator); an absent optional tensor has no
// data.
struct TensorView {
  void* pointer = nullptr;
  Shape shape;
  Dtype dtype = Dtype::F32;

  template <typename T>
  T* data() const {
    return static_cast<T*>(pointer);
  }
  explicit operator bool() const { return pointer != nullptr; }
  int64_t numel() const { return shape.numel(); }
};

// A dense row-major tensor: shape and dtype over shared storage. Copies share the storage.
class Tensor {
 public:
  Tensor() = default;
  // Uninitialised memory.
  static Tensor empty(Device device, Shape shape, Dtype dtype);
  static Tensor empty_like(const Tensor& other) {
    return empty(other.device(), other.shape(), other.dtype());
  }

  bool defined() const { return storage_ != nullptr; }
  Device device() const { return storage_->device(); }
  const Shape& shape() const { return shape_; }
  Dtype dtype() const { return dtype_; }
  int64_t numel() const { return shape_.numel(); }
  size_t bytes() const { return static_cast<size_t>(numel()) * dtype_size(dtype_); }
  void* data() const { return static_cast<char*>(storage_->data()) + offset_; }

  // The same memory under another shape of equal size.
  Tensor reshape(Shape shape) const;
  // Rows [start, start + count) of the first axis, sharing memory.
  Tensor rows(int64_t start, int64_t count) const;
  TensorView view() const { return {data(), shape_, dtype_}; }

 private:
  std::shared_ptr<Storage> storage_;
  size_t offset_ = 0;
  Shape shape_;
  Dtype dtype_ = Dtype::F32;
};

using OptionalTensor = std::optional<Tensor>;

inline TensorView view_of(const Tensor& tensor) {
  return tensor.view();
}
inline TensorView view_of(const OptionalTensor& tensor) {
  return tensor ? tensor->view() : TensorView{};
}
inline std::vector<TensorView> view_of(const std::vector<Tensor>& tensors) {
  std::vector<TensorView> views;
  views.reserve(tensors.size());
  for (const Tensor& tensor : tensors) views.push_back(tensor.view());
  return views;
}
template <typename T>
const T& view_of(const T& scalar) {
  return scalar;
}

}  // namespace cae
