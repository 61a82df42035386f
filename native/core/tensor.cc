#include "core/tensor.h"

namespace cae {

Storage::Storage(Device device, size_t bytes, const Purpose& purpose)
    : device_(device), bytes_(bytes), memory_(memory_for(device)), data_(memory_->allocate(bytes, purpose)) {}

Storage::~Storage() {
  memory_->release(data_);
}

Tensor Tensor::empty(Device device, Shape shape, Dtype dtype) {
  Tensor tensor;
  tensor.shape_ = shape;
  tensor.dtype_ = dtype;
  tensor.storage_ = std::make_shared<Storage>(device, tensor.bytes(), Purpose{shape, dtype});
  return tensor;
}

Tensor Tensor::reshape(Shape shape) const {
  check(shape.numel() == numel(), "reshape", shape_, " has ", numel(), " elements, ", shape, " has ",
        shape.numel());
  Tensor other = *this;
  other.shape_ = shape;
  return other;
}

Tensor Tensor::rows(int64_t start, int64_t count) const {
  check(shape_.rank() > 0 && start >= 0 && start <= shape_[0] && count >= 0 && count <= shape_[0] - start,
        "rows", count, " rows from ", start, " on of ", shape_);
  std::array<int64_t, Shape::kMaxRank> extents{};
  std::ranges::copy(shape_.extents(), extents.begin());
  extents[0] = count;
  Tensor other = *this;
  other.shape_ = Shape(std::span<const int64_t>(extents.data(), shape_.rank()));
  if (shape_[0] > 0) other.offset_ += static_cast<size_t>(start) * bytes() / static_cast<size_t>(shape_[0]);
  return other;
}

}  // namespace cae
