#pragma once

#include "core/dispatch.h"

namespace cae {

CAE_KERNEL(codebook_lookup_forward, const TensorView& table, const TensorView& indices, const TensorView& y)
CAE_KERNEL(codebook_lookup_backward, const TensorView& dy, const TensorView& indices,
           const TensorView& dtable, bool accumulate)
CAE_KERNEL(harden_forward, const TensorView& soft, const TensorView& y)

namespace ops {

// Rows of a table [V,D] by indices i32 [...]: [...,D] in `dtype`. The table is f32 (f64 with f64).
Tensor codebook_lookup(const Tensor& table, const Tensor& indices, Dtype dtype);
// dtable[index] (+)= the rows of dy that it gave; the order of the sums does not depend on threads.
void codebook_lookup_backward(const Tensor& dy, const Tensor& indices, const Tensor& dtable, bool accumulate);

// One at the largest of the last axis (the first of equals), zero elsewhere. Its straight-through gradient is
// dy itself, so there is no backward op.
Tensor harden(const Tensor& soft);

}  // namespace ops
}  // namespace cae
