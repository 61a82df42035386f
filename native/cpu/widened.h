#pragma once

#include "core/tensor.h"
#include "cpu/aligned_room.h"

// bf16 where nothing computes in it: numbers are widened to f32 for an op, and its results rounded.
namespace cae::cpu {

// n numbers in f32.
const float* widened(const BF16* numbers, int64_t n, AlignedRoom<float>& room);

// The same of a tensor; one of f32 is itself.
TensorView widened(const TensorView& tensor, AlignedRoom<float>& room);

// An f32 tensor of this one's shape, its contents undefined; for one of f32, itself.
TensorView wide_room(const TensorView& tensor, AlignedRoom<float>& room);

// to = n numbers, rounded.
void round_into(const float* numbers, int64_t n, BF16* to);

}  // namespace cae::cpu
