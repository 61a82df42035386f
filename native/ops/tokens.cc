#include "ops/tokens.h"

#include "ops/checks.h"

namespace cae::ops {

Tensor normalize_images(const Tensor& pixels, const Tensor& mean, const Tensor& deviation, bool channels_last,
                        Dtype dtype) {
  constexpr auto op = "normalize_images";
  check_rank(op, "pixels", pixels, 4);
  check_dtype(op, "pixels", pixels, Dtype::U8);
  check(pixels.shape()[3] == 3, op, "pixels ", pixels.shape(), " are not [B,H,W,3]");
  check_vector(op, "mean", mean, 3, Dtype::F32);
  check_vector(op, "deviation", deviation, 3, Dtype::F32);
  const Shape& s = pixels.shape();
  Tensor y = Tensor::empty(pixels.device(), channels_last ? s : Shape{s[0], 3, s[1], s[2]}, dtype);
  CAE_LAUNCH(pixels.device(), normalize_images_forward, pixels, mean, deviation, channels_last, y);
  return y;
}

Tensor unfold_patches(const Tensor& images, int64_t patch, const Tensor& ids, Dtype dtype) {
  constexpr auto op = "unfold_patches";
  check_rank(op, "images", images, 4);
  check_rank(op, "ids", ids, 2);
  check_dtype(op, "ids", ids, Dtype::I32);
  const Shape& s = images.shape();
  check(patch > 0 && s[2] > 0 && s[3] > 0 && s[2] % patch == 0 && s[3] % patch == 0, op, "images ", s,
        " do not divide into patches of ", patch);
  check(ids.shape()[0] == s[0], op, "ids ", ids.shape(), " are not of ", s[0], " images");
  Tensor y = Tensor::empty(images.device(), {s[0], ids.shape()[1], s[1] * patch * patch}, dtype);
  CAE_LAUNCH(images.device(), unfold_patches_forward, images, patch, ids, y);
  return y;
}

namespace {
void check_ids(const char* op, const Tensor& table, const Tensor& ids) {
  check(table.shape().rank() >= 2, op, "positions ", table.shape(), " are no table");
  check(table.shape()[-1] > 0, op, "positions ", table.shape(), " have no columns");
  check_rank(op, "ids", ids, 2);
  check_dtype(op, "ids", ids, Dtype::I32);
}
}  // namespace

Tensor embed_tokens(const Tensor& x, const OptionalTensor& first, const Tensor& positions,
                    const Tensor& ids) {
  constexpr auto op = "embed_tokens";
  check_rank(op, "x", x, 3);
  check_ids(op, positions, ids);
  check(positions.shape()[-1] == x.shape()[2], op, "positions ", positions.shape(), " and x ", x.shape(),
        " differ in width");
  check_shape(op, "ids", ids, {x.shape()[0], x.shape()[1]});
  if (first) check_vector(op, "first", *first, x.shape()[2], positions.dtype());
  Tensor y = Tensor::empty(x.device(), {x.shape()[0], x.shape()[1] + (first ? 1 : 0), x.shape()[2]},
                           positions.dtype());
  CAE_LAUNCH(x.device(), embed_tokens_forward, x, first, positions, ids, y);
  return y;
}

Tensor embed_tokens_backward(const Tensor& dy, bool has_first, Dtype dtype, const OptionalTensor& dfirst,
                             bool accumulate) {
  check_rank("embed_tokens_backward", "dy", dy, 3);
  check(has_first || !dfirst, "embed_tokens_backward", "dfirst without a first token");
  if (dfirst) check_vector("embed_tokens_backward", "dfirst", *dfirst, dy.shape()[2], dy.dtype());
  Tensor dx =
      Tensor::empty(dy.device(), {dy.shape()[0], dy.shape()[1] - (has_first ? 1 : 0), dy.shape()[2]}, dtype);
  CAE_LAUNCH(dy.device(), embed_tokens_backward, dy, dx, dfirst, accumulate);
  return dx;
}

Tensor gather_rows(const Tensor& table, const Tensor& ids, int64_t offset) {
  check_ids("gather_rows", table, ids);
  Tensor y =
      Tensor::empty(table.device(), {ids.shape()[0], ids.shape()[1], table.shape()[-1]}, table.dtype());
  CAE_LAUNCH(table.device(), gather_rows_forward, table, ids, offset, y);
  return y;
}

Tensor repeat_token(const Tensor& token, int64_t batch, int64_t count, Dtype dtype) {
  Tensor y = Tensor::empty(token.device(), {batch, count, token.numel()}, dtype);
  CAE_LAUNCH(token.device(), repeat_token_forward, token, y);
  return y;
}

void repeat_token_backward(const Tensor& dy, const Tensor& dtoken, bool accumulate) {
  check_rank("repeat_token_backward", "dy", dy, 3);
  check_vector("repeat_token_backward", "dtoken", dtoken, dy.shape()[2], parameter_dtype(dy.dtype()));
  CAE_LAUNCH(dy.device(), repeat_token_backward, dy, dtoken, accumulate);
}

Tensor concat_tokens(const Tensor& a, const Tensor& b) {
  constexpr auto op = "concat_tokens";
  check_rank(op, "a", a, 3);
  check_shape(op, "b", b, {a.shape()[0], b.shape()[1], a.shape()[2]});
  check_dtype(op, "b", b, a.dtype());
  const int64_t na = a.shape()[1];
  const int64_t nb = b.shape()[1];
  Tensor y = Tensor::empty(a.device(), {a.shape()[0], na + nb, a.shape()[2]}, a.dtype());
  CAE_LAUNCH(a.device(), copy_tokens, a, int64_t{0}, na, y, int64_t{0});
  CAE_LAUNCH(a.device(), copy_tokens, b, int64_t{0}, nb, y, na);
  return y;
}

Tensor slice_tokens(const Tensor& x, int64_t start, int64_t count) {
  check_rank("slice_tokens", "x", x, 3);
  const int64_t tokens = x.shape()[1];
  check(start >= 0 && start <= tokens && count >= 0 && count <= tokens - start, "slice_tokens", count,
        " tokens from ", start, " on of ", x.shape());
  Tensor y = Tensor::empty(x.device(), {x.shape()[0], count, x.shape()[2]}, x.dtype());
  CAE_LAUNCH(x.device(), copy_tokens, x, start, count, y, int64_t{0});
  return y;
}

Tensor slice_tokens_backward(const Tensor& dy, int64_t start, int64_t total) {
  check_rank("slice_tokens_backward", "dy", dy, 3);
  const int64_t count = dy.shape()[1];
  check(start >= 0 && start <= total && count <= total - start, "slice_tokens_backward", count,
        " tokens from ", start, " on of ", total);
  Tensor dx = Tensor::empty(dy.device(), {dy.shape()[0], total, dy.shape()[2]}, dy.dtype());
  CAE_LAUNCH(dy.device(), zero_tokens, dx, int64_t{0}, start);
  CAE_LAUNCH(dy.device(), copy_tokens, dy, int64_t{0}, count, dx, start);
  CAE_LAUNCH(dy.device(), zero_tokens, dx, start + count, total - start - count);
  return dx;
}

Tensor mean_tokens(const Tensor& x, int64_t start) {
  check_rank("mean_tokens", "x", x, 3);
  check(start >= 0 && start < x.shape()[1], "mean_tokens", "no tokens from ", start, " on in ", x.shape());
  Tensor y = Tensor::empty(x.device(), {x.shape()[0], x.shape()[2]}, x.dtype());
  CAE_LAUNCH(x.device(), mean_tokens_forward, x, start, y);
  return y;
}

Tensor mean_tokens_backward(const Tensor& dy, int64_t start, int64_t total) {
  check_rank("mean_tokens_backward", "dy", dy, 2);
  check(start >= 0 && start < total, "mean_tokens_backward", "no tokens from ", start, " on of ", total);
  Tensor dx = Tensor::empty(dy.device(), {dy.shape()[0], total, dy.shape()[1]}, dy.dtype());
  CAE_LAUNCH(dy.device(), mean_tokens_backward, dy, start, dx);
  return dx;
}

}  // namespace cae::ops
