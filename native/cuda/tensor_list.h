#pragma once

#include <algorithm>

#include "cuda/kernel.h"

// Many tensors a launch: lists of them travel as kernel arguments, so nothing waits and nothing must outlive
// a call. 4 KiB of arguments are what every device takes.
namespace cae::cuda {

constexpr int kListThreads = 256;
constexpr int64_t kPiece = 1 << 14;  // elements of a block

// Tensors of one launch, cut into pieces: tensor t has blocks [first_block[t], first_block[t + 1]).
template <int kTensors>
struct Cut {
  int tensors = 0;
  int first_block[kTensors + 1] = {};
  int64_t size[kTensors] = {};

  bool full() const { return tensors == kTensors; }
  int blocks() const { return first_block[tensors]; }
  void add(int64_t elements) {
    size[tensors] = elements;
    first_block[tensors + 1] = first_block[tensors] + static_cast<int>((elements + kPiece - 1) / kPiece);
    ++tensors;
  }
  // The tensor that a block belongs to.
  __device__ int tensor_of(int block) const {
    int low = 0;
    int high = tensors - 1;
    while (low < high) {
      const int middle = (low + high + 1) / 2;
      if (first_block[middle] <= block)
        low = middle;
      else
        high = middle - 1;
    }
    return low;
  }
};

// The running block's piece: elements [begin, end) of a tensor of the list.
struct ListPiece {
  int tensor;
  int64_t begin, end;
};
template <int kTensors>
__device__ inline ListPiece piece_of_block(const Cut<kTensors>& cut) {
  const int block = static_cast<int>(blockIdx.x);
  const int t = cut.tensor_of(block);
  const int64_t begin = (block - cut.first_block[t]) * kPiece;
  return {t, begin, std::min(cut.size[t], begin + kPiece)};
}

template <typename... Pointers>
__device__ bool aligned(const Pointers*... at) {
  return ((reinterpret_cast<uintptr_t>(at) % 16 == 0) && ...);
}

// body(std::integral_constant<int, N>, at) for all elements of a piece, N = kFull at a time where `wide`.
template <int kFull, typename Body>
__device__ inline void over_piece(const ListPiece& piece, bool wide, const Body& body) {
  const int64_t whole = wide ? piece.begin + (piece.end - piece.begin) / kFull * kFull : piece.begin;
  for (int64_t at = piece.begin + static_cast<int64_t>(threadIdx.x) * kFull; at < whole;
       at += kListThreads * kFull)
    body(std::integral_constant<int, kFull>{}, at);
  for (int64_t at = whole + threadIdx.x; at < piece.end; at += kListThreads)
    body(std::integral_constant<int, 1>{}, at);
}

}  // namespace cae::cuda
