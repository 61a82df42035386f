// Convolutions: the library's, over weights brought from torch's order [out, in, k, k] into [out, k, k, in],
// which NHWC kernels read.
#include "cuda/dispatch.h"
#include "cuda/elements.h"
#include "cuda/library.h"
#include "cuda/row_sums.h"
#include "ops/conv.h"

namespace cae::cuda {
namespace {

// ordered[o, r, c] = plain[o, c, r], where r counts the k·k taps; a thread an element of `ordered`.
template <typename T>
__global__ void __launch_bounds__(kElementThreads)
    order_weight_kernel(int64_t n, int64_t channels, int64_t taps, const T* plain, T* ordered) {
  const int64_t at = static_cast<int64_t>(blockIdx.x) * kElementThreads + threadIdx.x;
  if (at >= n) return;
  const int64_t c = at % channels;
  const int64_t r = at / channels % taps;
  const int64_t o = at / channels / taps;
  ordered[at] = plain[(o * channels + c) * taps + r];
}

// The way back, adding to what is there if asked to.
template <typename T>
__global__ void __launch_bounds__(kElementThreads)
    plain_weight_kernel(int64_t n, int64_t channels, int64_t taps, const T* ordered, Acc<T>* plain,
                        bool accumulate) {
  const int64_t at = static_cast<int64_t>(blockIdx.x) * kElementThreads + threadIdx.x;
  if (at >= n) return;
  const int64_t r = at % taps;
  const int64_t c = at / taps % channels;
  const int64_t o = at / taps / channels;
  const auto value = static_cast<Acc<T>>(ordered[(o * taps + r) * channels + c]);
  plain[at] = accumulate ? plain[at] + value : value;
}

void order_weight(const char* op, const TensorView& weight, void* ordered) {
  const int64_t n = weight.numel();
  dispatch_real(weight.dtype, op, [&]<typename T>(T) {
    launch(op, &order_weight_kernel<T>, dim3(blocks_for(n, kElementThreads)), dim3(kElementThreads), 0, n,
           weight.shape[1], weight.shape[2] * weight.shape[3], weight.data<const T>(),
           static_cast<T*>(ordered));
  });
}

// The weight as convolve() takes it, in memory of its own unless it lies so already.
class OrderedWeight {
 public:
  OrderedWeight(const char* op, const TensorView& weight)
      : same_(weight.shape[2] == 1 || weight.shape[1] == 1),
        room_(same_ ? 0 : static_cast<size_t>(weight.numel()) * dtype_size(weight.dtype)),
        data_(same_ ? weight.pointer : room_.as<void>()) {
    if (!same_) order_weight(op, weight, data_);
  }
  void* data() const { return data_; }

 private:
  bool same_;
  Scratch room_;
  void* data_;
};

// With a weight [out, k, k, in].
void forward(const char* op, const TensorView& x, int64_t kernel, void* weight, const TensorView& bias,
             int64_t stride, int64_t padding, bool relu, const TensorView& y) {
  const Convolution geometry{Convolution::Forward, x.shape, y.shape, kernel, stride, padding, x.dtype};
  if ((bias || relu) && convolve_with_bias(geometry, x.pointer, weight, bias, relu, y.pointer)) return;
  convolve(op, geometry, x.pointer, weight, y.pointer);
  add_bias(op, y, bias, relu);
}

}  // namespace

void conv2d_forward(const TensorView& x, const TensorView& weight, const TensorView& bias, int64_t stride,
                    int64_t padding, bool relu, const TensorView& y) {
  constexpr auto op = "conv2d";
  const OrderedWeight ordered(op, weight);
  forward(op, x, weight.shape[2], ordered.data(), bias, stride, padding, relu, y);
}

void prepare_conv_weight(const TensorView& weight, const TensorView& prepared) {
  order_weight("prepare_conv_weight", weight, prepared.pointer);
}

void conv2d_prepared_forward(const TensorView& x, const TensorView& weight, const TensorView& bias,
                             int64_t stride, int64_t padding, bool relu, const TensorView& y) {
  forward("conv2d_prepared", x, weight.shape[2], weight.pointer, bias, stride, padding, relu, y);
}

void conv2d_backward_input(const TensorView& dy, const TensorView& weight, const TensorView& bias,
                           int64_t stride, int64_t padding, const TensorView& dx) {
  constexpr auto op = "conv2d_backward_input";
  const OrderedWeight ordered(op, weight);
  convolve(op, {Convolution::Input, dx.shape, dy.shape, weight.shape[2], stride, padding, dy.dtype},
           dx.pointer, ordered.data(), dy.pointer);
  add_bias(op, dx, bias, false);
}

void conv2d_backward_weight(const TensorView& dy, const TensorView& x, int64_t stride, int64_t padding,
                            const TensorView& dweight, const TensorView& dbias, bool accumulate) {
  constexpr auto op = "conv2d_backward_weight";
  const int64_t n = dweight.numel();
  // In x's dtype, in the library's order; an own pass brings it into the gradient's.
  const Scratch ordered(static_cast<size_t>(n) * dtype_size(x.dtype));
  convolve(op, {Convolution::Weight, x.shape, dy.shape, dweight.shape[2], stride, padding, x.dtype},
           x.pointer, ordered.as<void>(), dy.pointer);
  dispatch_real(x.dtype, op, [&]<typename T>(T) {
    using A = Acc<T>;
    launch(op, &plain_weight_kernel<T>, dim3(blocks_for(n, kElementThreads)), dim3(kElementThreads), 0, n,
           dweight.shape[1], dweight.shape[2] * dweight.shape[3], ordered.as<const T>(), dweight.data<A>(),
           accumulate);
    if (dbias)
      sum_rows(op, dy.data<T>(), dy.shape.rows(), dy.shape[3], dy.shape[3], dbias.data<A>(), accumulate);
  });
}

}  // namespace cae::cuda
