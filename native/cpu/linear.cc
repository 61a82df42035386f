#include "ops/linear.h"

#include "cpu/column_sum.h"
#include "cpu/gemm.h"

namespace cae::cpu {

void linear_forward(const TensorView& x, const TensorView& weight, const TensorView& bias,
                    const TensorView& y) {
  gemm(x.shape.rows(), weight.shape[0], weight.shape[1], {x.pointer, x.dtype},
       {weight.pointer, weight.dtype, true}, y.pointer, y.dtype, bias.pointer, false);
}

void linear_backward_input(const TensorView& dy, const TensorView& weight, const TensorView& dx) {
  gemm(dy.shape.rows(), weight.shape[1], weight.shape[0], {dy.pointer, dy.dtype},
       {weight.pointer, weight.dtype}, dx.pointer, dx.dtype, nullptr, false);
}

void linear_backward_weight(const TensorView& dy, const TensorView& x, const TensorView& dweight,
                            const TensorView& dbias, bool accumulate, bool accumulate_bias) {
  const int64_t rows = dy.shape.rows();
  const int64_t out = dy.shape[-1];
  gemm(out, x.shape[-1], rows, {dy.pointer, dy.dtype, true}, {x.pointer, x.dtype}, dweight.pointer,
       dweight.dtype, nullptr, accumulate);
  if (!dbias) return;
  dispatch_float(dy.dtype, "linear_backward_weight", [&]<typename T>(T) {
    using A = Acc<T>;
    A* sums[] = {dbias.data<A>()};
    sum_over_rows<A>(rows, out, 1, sums, accumulate_bias, [&](int64_t row, A* partial) {
      const T* from = dy.data<T>() + row * out;
#pragma omp simd
      for (int64_t c = 0; c < out; ++c) partial[c] += load(from[c]);
    });
  });
}

}  // namespace cae::cpu
