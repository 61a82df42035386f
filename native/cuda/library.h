#pragma once

#include <cstdint>

#include "core/dtype.h"
#include "core/shape.h"
#include "ops/attention.h"

// The work that libraries do: cuBLASLt (gemm.cc), cuDNN (convolution.cc, fused_convolution.cc,
// fused_attention.cc); in the emulator, the CPU's backend. Everything is queued on the selected device.
namespace cae::cuda {

// One side of a product: a dense row-major matrix, read as it lies or transposed.
struct Matrix {
  const void* data;
  Dtype dtype;
  bool transposed = false;
};

// c [m,n] (+)= a [m,k] · b [k,n] (+ bias [n], f32 or f64), `batch` times over, matrices of a batch one behind
// the other.
struct Product {
  int64_t m, n, k;
  Matrix a, b;
  void* c;
  Dtype c_dtype;
  const void* bias = nullptr;
  bool accumulate = false;
  int64_t batch = 1;
};
void gemm(const char* op, const Product& product);
// c (+)= a·b and sums [m] = the sums of a over k, in c's dtype. Answers false, with nothing done, where the
// library cannot do both at once.
bool gemm_with_sums(const char* op, const Product& product, void* sums);

// y = y + bias over its last axis (none: no bias), then a relu if asked for: what a library call had no place
// for. An own kernel (bias.cu).
void add_bias(const char* op, const TensorView& y, const TensorView& bias, bool relu);

// A convolution of x [B,H,W,in] with weights [out, kernel, kernel, in] to y [B,H',W',out], or the gradient of
// x or of the weights, all in one dtype.
struct Convolution {
  enum Pass { Forward, Input, Weight };
  Pass pass;
  Shape x, y;
  int64_t kernel, stride, padding;
  Dtype dtype;
};
void convolve(const char* op, const Convolution& convolution, void* x, void* weight, void* y);
// The same forward, then + bias [out] in f32 (none: no bias) and a relu if asked for, in one pass. Answers
// false, with nothing done, where the library has no kernel for that.
bool convolve_with_bias(const Convolution& convolution, void* x, void* weight, const TensorView& bias,
                        bool relu, void* y);

// Attention in one kernel, as ops/attention.h declares it, with a bias and its gradient or without. Answers
// false, with nothing done, where the library has no kernel for the dtype, the head size or the device.
bool fused_attention_forward(const TensorView& q, const TensorView& k, const TensorView& v,
                             const TensorView& bias, const AttentionLayout& layout, const TensorView& out,
                             const TensorView& log_sum);
bool fused_attention_backward(const TensorView& dout, const TensorView& q, const TensorView& k,
                              const TensorView& v, const TensorView& bias, const AttentionLayout& layout,
                              const TensorView& out, const TensorView& log_sum, const TensorView& dq,
                              const TensorView& dk, const TensorView& dv, const TensorView& dbias);

}  // namespace cae::cuda
