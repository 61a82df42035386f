#include "cuda/dispatch.h"
#include "cuda/library.h"
#include "cuda/row_sums.h"
#include "ops/linear.h"

namespace cae::cuda {
void linear_forward(const TensorView& x, const TensorView& weight, const TensorView& bias,
                    const TensorView& y) {
  gemm("linear", {.m = x.shape.rows(),
                  .n = weight.shape[0],
                  .k = weight.shape[1],
                  .a = {x.pointer, x.dtype},
                  .b = {weight.pointer, weight.dtype, true},
                  .c = y.pointer,
                  .c_dtype = y.dtype,
                  .bias = bias.pointer});
}

void linear_backward_input(const TensorView& dy, const TensorView& weight, const TensorView& dx) {
  gemm("linear_backward_input", {.m = dy.shape.rows(),
                                 .n = weight.shape[1],
                                 .k = weight.shape[0],
                                 .a = {dy.pointer, dy.dtype},
                                 .b = {weight.pointer, weight.dtype},
                                 .c = dx.pointer,
                                 .c_dtype = dx.dtype});
}

void linear_backward_weight(const TensorView& dy, const TensorView& x, const TensorView& dweight,
                            const TensorView& dbias, bool accumulate, bool accumulate_bias) {
  constexpr auto op = "linear_backward_weight";
  const int64_t rows = dy.shape.rows();
  const int64_t out = dy.shape[-1];
  const Product product{.m = out,
                        .n = x.shape[-1],
                        .k = rows,
                        .a = {dy.pointer, dy.dtype, true},
                        .b = {x.pointer, x.dtype},
                        .c = dweight.pointer,
                        .c_dtype = dweight.dtype,
                        .accumulate = accumulate};
  // The library's sums overwrite; where the bias has a gradient already, an own pass adds to it.
  if (dbias && !accumulate_bias && gemm_with_sums(op, product, dbias.pointer)) return;
  gemm(op, product);
  if (!dbias) return;
  dispatch_real(dy.dtype, op, [&]<typename T>(T) {
    sum_rows(op, dy.data<T>(), rows, out, out, dbias.data<Acc<T>>(), accumulate_bias);
  });
}

}  // namespace cae::cuda
