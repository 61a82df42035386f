#include "cpu/widened.h"

#include <algorithm>

#include "cpu/runs.h"

namespace cae::cpu {
namespace {

template <typename From, typename To>
void convert(const From* from, int64_t n, To* to) {
  constexpr int64_t kPiece = 16 * kRun;
#pragma omp parallel for schedule(static)
  for (int64_t i = 0; i < n; i += kPiece) convert_run(from + i, to + i, std::min(kPiece, n - i));
}

}  // namespace

const float* widened(const BF16* numbers, int64_t n, AlignedRoom<float>& room) {
  float* wide = room.of(n);
  convert(numbers, n, wide);
  return wide;
}

TensorView widened(const TensorView& tensor, AlignedRoom<float>& room) {
  const TensorView wide = wide_room(tensor, room);
  if (tensor.dtype == Dtype::BF16) convert(tensor.data<BF16>(), tensor.numel(), wide.data<float>());
  return wide;
}

TensorView wide_room(const TensorView& tensor, AlignedRoom<float>& room) {
  if (tensor.dtype == Dtype::F32) return tensor;
  check(tensor.dtype == Dtype::BF16, "widened", dtype_name(tensor.dtype), " is not widened");
  return {room.of(tensor.numel()), tensor.shape, Dtype::F32};
}

void round_into(const float* numbers, int64_t n, BF16* to) {
  convert(numbers, n, to);
}

}  // namespace cae::cpu
