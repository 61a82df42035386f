#include "ops/position_bias.h"

#include "ops/checks.h"

namespace cae::ops {
namespace {

void check_table(const char* op, const Tensor& table, const Tensor& index) {
  check_rank(op, "table", table, 2);
  check(table.dtype() == Dtype::F32 || table.dtype() == Dtype::F64, op, "table is ",
        dtype_name(table.dtype()), ", expected f32 or f64");
  check_rank(op, "index", index, 2);
  check_dtype(op, "index", index, Dtype::I32);
}

}  // namespace

Tensor position_bias(const Tensor& table, const Tensor& index) {
  check_table("position_bias", table, index);
  Tensor y =
      Tensor::empty(table.device(), {table.shape()[1], index.shape()[0], index.shape()[1]}, table.dtype());
  CAE_LAUNCH(table.device(), position_bias_forward, table, index, y);
  return y;
}

void position_bias_backward(const Tensor& dy, const Tensor& index, const Tensor& dtable, bool accumulate) {
  constexpr auto op = "position_bias_backward";
  check_table(op, dtable, index);
  check_shape(op, "dy", dy, {dtable.shape()[1], index.shape()[0], index.shape()[1]});
  check_dtype(op, "dy", dy, dtable.dtype());
  CAE_LAUNCH(dy.device(), position_bias_backward, dy, index, dtable, accumulate);
}

}  // namespace cae::ops
