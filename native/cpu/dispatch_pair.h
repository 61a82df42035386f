#pragma once

#include <type_traits>

#include "core/dtype.h"

namespace cae::cpu {

// Calls body(A{}, B{}) with the C++ types of two dtypes: equal ones, or f32 beside bf16 in either order, as a
// residual stream and its branches are in a bf16 run.
template <typename Body>
void dispatch_pair(Dtype a, Dtype b, const char* op, Body&& body) {
  dispatch_float(a, op, [&]<typename A>(A) {
    dispatch_float(b, op, [&]<typename B>(B) {
      if constexpr (std::is_same_v<Acc<A>, Acc<B>>)
        body(A{}, B{});
      else
        fail(op, "f64 goes with f64 only");
    });
  });
}

}  // namespace cae::cpu
