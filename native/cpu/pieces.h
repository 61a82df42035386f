#pragma once

#include <algorithm>
#include <cstdint>
#include <vector>

#include "core/tensor.h"

namespace cae::cpu {

// Tensors cut into pieces of equal cost, so that threads share out a model of a few large and many small
// ones.
constexpr int64_t kPiece = 1 << 15;
struct Piece {
  size_t tensor;
  int64_t begin, end;
};

inline std::vector<Piece> pieces_of(const std::vector<TensorView>& tensors) {
  std::vector<Piece> pieces;
  for (size_t i = 0; i < tensors.size(); ++i)
    for (int64_t begin = 0; begin < tensors[i].numel(); begin += kPiece)
      pieces.push_back({i, begin, std::min(tensors[i].numel(), begin + kPiece)});
  return pieces;
}

}  // namespace cae::cpu
