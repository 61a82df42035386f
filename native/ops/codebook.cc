#include "ops/codebook.h"

#include <algorithm>

#include "ops/checks.h"

namespace cae::ops {

Tensor codebook_lookup(const Tensor& table, const Tensor& indices, Dtype dtype) {
  constexpr auto op = "codebook_lookup";
  check_rank(op, "table", table, 2);
  check_dtype(op, "indices", indices, Dtype::I32);
  check_dtype(op, "table", table, parameter_dtype(dtype));
  const size_t rank = indices.shape().rank();
  check(rank < Shape::kMaxRank, op, "indices ", indices.shape(), " have too many axes");
  std::array<int64_t, Shape::kMaxRank> extents{};
  std::ranges::copy(indices.shape().extents(), extents.begin());
  extents[rank] = table.shape()[1];
  Tensor y = Tensor::empty(table.device(), Shape(std::span<const int64_t>(extents.data(), rank + 1)), dtype);
  CAE_LAUNCH(table.device(), codebook_lookup_forward, table, indices, y);
  return y;
}

void codebook_lookup_backward(const Tensor& dy, const Tensor& indices, const Tensor& dtable,
                              bool accumulate) {
  constexpr auto op = "codebook_lookup_backward";
  check_rank(op, "dtable", dtable, 2);
  check_dtype(op, "dtable", dtable, parameter_dtype(dy.dtype()));
  check_dtype(op, "indices", indices, Dtype::I32);
  check(dy.numel() == indices.numel() * dtable.shape()[1], op, "dy ", dy.shape(), " is not for indices ",
        indices.shape(), " and table ", dtable.shape());
  CAE_LAUNCH(dy.device(), codebook_lookup_backward, dy, indices, dtable, accumulate);
}

Tensor harden(const Tensor& soft) {
  check(soft.shape().rank() >= 1 && soft.shape()[-1] > 0, "harden", "soft ", soft.shape(),
        " has nothing to choose from");
  Tensor y = Tensor::empty_like(soft);
  CAE_LAUNCH(soft.device(), harden_forward, soft, y);
  return y;
}

}  // namespace cae::ops
