#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <initializer_list>
#include <ostream>
#include <span>

#include "core/error.h"

namespace cae {

class Shape;
std::ostream& operator<<(std::ostream& out, const Shape& shape);

// Extents of a dense row-major tensor, at most six of them, held in place.
class Shape {
 public:
  static constexpr size_t kMaxRank = 6;
  // Bytes, offsets and doubled extents of shapes up to this one stay far from 2^63.
  static constexpr int64_t kMostElements = int64_t{1} << 47;

  Shape() = default;
  Shape(std::initializer_list<int64_t> extents) : Shape(std::span(extents.begin(), extents.size())) {}
  explicit Shape(std::span<const int64_t> extents) : rank_(extents.size()) {
    check(rank_ <= kMaxRank, "shape", "rank ", rank_, " is over ", kMaxRank);
    std::copy(extents.begin(), extents.end(), extents_.begin());
    check_extents();
  }

  size_t rank() const { return rank_; }
  // Extent of an axis; negative axes count from the end.
  int64_t operator[](int axis) const {
    const int at = axis < 0 ? axis + static_cast<int>(rank_) : axis;
    check(at >= 0 && at < static_cast<int>(rank_), "shape", "axis ", axis, " of a rank ", rank_, " tensor");
    return extents_[static_cast<size_t>(at)];
  }
  int64_t numel() const {
    int64_t n = 1;
    for (size_t i = 0; i < rank_; ++i) n *= extents_[i];
    return n;
  }
  // Elements in all axes but the last: the rows of the matrix that a layer sees.
  int64_t rows() const {
    int64_t n = 1;
    for (size_t i = 0; i + 1 < rank_; ++i) n *= extents_[i];
    return n;
  }
  int64_t columns() const { return rank_ == 0 ? 1 : extents_[rank_ - 1]; }
  // The same shape with another last extent.
  Shape with_last(int64_t extent) const {
    check(rank_ > 0, "shape", "a scalar has no last axis");
    Shape other = *this;
    other.extents_[rank_ - 1] = extent;
    other.check_extents();
    return other;
  }
  std::span<const int64_t> extents() const { return {extents_.data(), rank_}; }
  bool operator==(const Shape& other) const { return std::ranges::equal(extents(), other.extents()); }

 private:
  // Empty axes are left out of the product, so that no part of a shape is larger either.
  void check_extents() const {
    int64_t elements = 1;
    for (const int64_t extent : extents()) {
      check(extent >= 0, "shape", "extent ", extent, " is negative");
      const bool overflows = __builtin_mul_overflow(elements, std::max<int64_t>(extent, 1), &elements);
      check(!overflows && elements <= kMostElements, "shape", *this, " has more than ", kMostElements,
            " elements");
    }
  }

  std::array<int64_t, kMaxRank> extents_{};
  size_t rank_ = 0;
};

inline std::ostream& operator<<(std::ostream& out, const Shape& shape) {
  out << '[';
  for (size_t i = 0; i < shape.rank(); ++i) out << (i ? "," : "") << shape.extents()[i];
  return out << ']';
}

}  // namespace cae
