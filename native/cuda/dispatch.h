#pragma once

#include <type_traits>

#include "core/dtype.h"

namespace cae::cuda {

// Calls body(T{}) with the C++ type of a dtype that kernels compute in: those of the CPU, and f16.
template <typename Body>
void dispatch_real(Dtype dtype, const char* op, Body&& body) {
  switch (dtype) {
    case Dtype::F32:
      return body(float{});
    case Dtype::BF16:
      return body(BF16{});
    case Dtype::F16:
      return body(F16{});
    case Dtype::F64:
      return body(double{});
    default:
      fail(op, "computes in f32, bf16, f16 or f64, not in ", dtype_name(dtype), "; cast first");
  }
}

// Calls body(A{}, B{}) with the C++ types of two dtypes: equal ones, or f32 beside bf16 or f16 in either
// order.
template <typename Body>
void dispatch_reals(Dtype a, Dtype b, const char* op, Body&& body) {
  dispatch_real(a, op, [&]<typename A>(A) {
    dispatch_real(b, op, [&]<typename B>(B) {
      constexpr bool same = std::is_same_v<A, B>;
      constexpr bool beside =
          (std::is_same_v<A, float> || std::is_same_v<B, float>)&&std::is_same_v<Acc<A>, float> &&
          std::is_same_v<Acc<B>, float>;
      if constexpr (same || beside)
        body(A{}, B{});
      else
        fail(op, "takes equal dtypes, or f32 beside bf16 or f16, not ", dtype_name(a), " and ",
             dtype_name(b));
    });
  });
}

}  // namespace cae::cuda
