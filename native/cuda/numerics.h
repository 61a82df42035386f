#pragma once

namespace cae::cuda {

// What is asked of numbers, of all devices; set before the work that it is about.
struct Numerics {
  bool tf32 = false;           // f32 products and convolutions may round their inputs to TF32
  bool deterministic = false;  // the same bits from run to run, where that takes time or memory
};
inline Numerics numerics;

}  // namespace cae::cuda
