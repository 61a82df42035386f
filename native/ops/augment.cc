#include "ops/augment.h"

#include "ops/checks.h"

namespace cae::ops {

void erase_boxes(const Tensor& images, const Tensor& boxes, const Tensor& ids, int64_t fill, double seed,
                 int64_t stream, int64_t step) {
  check_rank("erase_boxes", "images", images, 4);
  check_rank("erase_boxes", "boxes", boxes, 3);
  const int64_t batch = images.shape()[0];
  check_shape("erase_boxes", "boxes", boxes, {batch, boxes.shape()[1], 4});
  check_dtype("erase_boxes", "boxes", boxes, Dtype::I32);
  check_vector("erase_boxes", "ids", ids, batch, Dtype::I32);
  check(fill >= 0 && fill <= 2, "erase_boxes", "fill ", fill, " is none of 0 (const), 1 (rand), 2 (pixel)");
  if (boxes.numel() == 0) return;
  CAE_LAUNCH(images.device(), erase_boxes_forward, images, boxes, ids, fill, seed, stream, step);
}

Tensor mix_images(const Tensor& x, const Tensor& partner, const Tensor& weight, const Tensor& boxes) {
  check_rank("mix_images", "x", x, 4);
  const int64_t batch = x.shape()[0];
  check_vector("mix_images", "partner", partner, batch, Dtype::I32);
  check_vector("mix_images", "weight", weight, batch, parameter_dtype(x.dtype()));
  check_shape("mix_images", "boxes", boxes, {batch, 4});
  check_dtype("mix_images", "boxes", boxes, Dtype::I32);
  Tensor y = Tensor::empty_like(x);
  CAE_LAUNCH(x.device(), mix_images_forward, x, partner, weight, boxes, y);
  return y;
}

}  // namespace cae::ops
