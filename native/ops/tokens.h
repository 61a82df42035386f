#pragma once

#include <tuple>

#include "core/dispatch.h"

namespace cae {

CAE_KERNEL(normalize_images_forward, const TensorView& pixels, const TensorView& mean,
           const TensorView& deviation, bool channels_last, const TensorView& y)
CAE_KERNEL(unfold_patches_forward, const TensorView& images, int64_t patch, const TensorView& ids,
           const TensorView& y)
CAE_KERNEL(embed_tokens_forward, const TensorView& x, const TensorView& first, const TensorView& positions,
           const TensorView& ids, const TensorView& y)
CAE_KERNEL(embed_tokens_backward, const TensorView& dy, const TensorView& dx, const TensorView& dfirst,
           bool accumulate)
CAE_KERNEL(gather_rows_forward, const TensorView& table, const TensorView& ids, int64_t offset,
           const TensorView& y)
CAE_KERNEL(repeat_token_forward, const TensorView& token, const TensorView& y)
CAE_KERNEL(repeat_token_backward, const TensorView& dy, const TensorView& dtoken, bool accumulate)
CAE_KERNEL(copy_tokens, const TensorView& from, int64_t from_start, int64_t count, const TensorView& to,
           int64_t to_start)
CAE_KERNEL(mean_tokens_forward, const TensorView& x, int64_t start, const TensorView& y)
CAE_KERNEL(mean_tokens_backward, const TensorView& dy, int64_t start, const TensorView& dx)
CAE_KERNEL(zero_tokens, const TensorView& y, int64_t start, int64_t count)

namespace ops {

// Pixels [B,H,W,3] u8 -> (x/255 − mean)/deviation in `dtype`, as [B,H,W,3] (channels_last) or [B,3,H,W].
// mean and deviation: f32 [3].
Tensor normalize_images(const Tensor& pixels, const Tensor& mean, const Tensor& deviation, bool channels_last,
                        Dtype dtype);

// The patches of images [B,C,H,W] named by ids i32 [B,K] (raster numbers), unfolded to [B,K,C·p·p] in the
// order of a p×p convolution's weight, in `dtype`: a GEMM with that weight is the patch embedding.
Tensor unfold_patches(const Tensor& images, int64_t patch, const Tensor& ids, Dtype dtype);

// [first ; x + positions[1 + ids]], the first token with positions[0]. x [B,K,C], first [C] or none (then
// nothing is put in front), positions [1+N,C] (any leading 1), ids i32 [B,K]; y [B,1+K,C] in positions'
// dtype.
Tensor embed_tokens(const Tensor& x, const OptionalTensor& first, const Tensor& positions, const Tensor& ids);
// dx [B,K,C] in `dtype`; dfirst (+)= Σ over the batch of the first token's gradient, if given. `has_first`
// says whether dy holds a first token.
Tensor embed_tokens_backward(const Tensor& dy, bool has_first, Dtype dtype, const OptionalTensor& dfirst,
                             bool accumulate);

// Rows offset + ids of a table [R,C] (any leading 1): ids i32 [B,K] -> [B,K,C].
Tensor gather_rows(const Tensor& table, const Tensor& ids, int64_t offset);

// A token [C] (any leading 1) repeated: [batch, count, C] in `dtype`.
Tensor repeat_token(const Tensor& token, int64_t batch, int64_t count, Dtype dtype);
void repeat_token_backward(const Tensor& dy, const Tensor& dtoken, bool accumulate);

// Tokens of a, then of b: [B,Ta,C], [B,Tb,C] -> [B,Ta+Tb,C].
Tensor concat_tokens(const Tensor& a, const Tensor& b);
// Tokens [start, start + count) of x [B,T,C].
Tensor slice_tokens(const Tensor& x, int64_t start, int64_t count);
// Its gradient: dy [B,count,C] placed at `start` of [B,total,C], zeros elsewhere.
Tensor slice_tokens_backward(const Tensor& dy, int64_t start, int64_t total);

// Mean of the tokens [start, T) of x [B,T,C]: [B,C] in x's dtype, summed in f32.
Tensor mean_tokens(const Tensor& x, int64_t start);
// Its gradient: dy/(total − start) at tokens [start, total) of [B,total,C], zeros before.
Tensor mean_tokens_backward(const Tensor& dy, int64_t start, int64_t total);

}  // namespace ops
}  // namespace cae
