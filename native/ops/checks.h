#pragma once

#include "core/tensor.h"

// Argument checks that many ops share; each throws Error naming the op and what was given.
namespace cae::ops {

// The dtype of parameters, statistics and gradients beside activations of this dtype: f32, or f64 in checks.
inline Dtype parameter_dtype(Dtype activation) {
  return activation == Dtype::F64 ? Dtype::F64 : Dtype::F32;
}

inline void check_dtype(const char* op, const char* name, const Tensor& tensor, Dtype wanted) {
  check(tensor.dtype() == wanted, op, name, " is ", dtype_name(tensor.dtype()), ", expected ",
        dtype_name(wanted));
}

inline void check_shape(const char* op, const char* name, const Tensor& tensor, const Shape& wanted) {
  check(tensor.shape() == wanted, op, name, " is ", tensor.shape(), ", expected ", wanted);
}

// A vector of `size` elements, whatever its rank ([C], [1,1,C]).
inline void check_vector(const char* op, const char* name, const Tensor& tensor, int64_t size, Dtype dtype) {
  check(tensor.numel() == size, op, name, " is ", tensor.shape(), ", expected ", size, " elements");
  check_dtype(op, name, tensor, dtype);
}

// Rows of a matrix, whatever the rank.
inline void check_rows(const char* op, const char* name, const Tensor& tensor) {
  check(tensor.shape().rank() >= 1, op, name, " is a scalar, expected rows");
}

// The same where an empty row has no result.
inline void check_filled_rows(const char* op, const char* name, const Tensor& tensor) {
  check_rows(op, name, tensor);
  check(tensor.shape()[-1] > 0, op, name, " is ", tensor.shape(), ", expected rows of at least one element");
}

inline void check_rank(const char* op, const char* name, const Tensor& tensor, size_t rank) {
  check(tensor.shape().rank() == rank, op, name, " is ", tensor.shape(), ", expected rank ", rank);
}

}  // namespace cae::ops
