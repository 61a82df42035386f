// What libraries do on a device, done by the CPU's backend on the emulated one's stream.
#include "cuda/library.h"

#include <vector>

#include "cpu/gemm.h"
#include "emulator/block.h"
#include "emulator/machine.h"
#include "ops/conv.h"

namespace cae::cuda {
namespace {

size_t bytes_of(int64_t count, Dtype dtype) {
  return static_cast<size_t>(count) * dtype_size(dtype);
}

// The CPU does not compute in f16: such numbers are widened to f32 before and rounded after.
std::vector<float> widened(const void* data, int64_t count) {
  std::vector<float> wide(static_cast<size_t>(count));
  for (size_t i = 0; i < wide.size(); ++i) wide[i] = static_cast<float>(static_cast<const F16*>(data)[i]);
  return wide;
}
void narrow(const std::vector<float>& wide, void* data) {
  for (size_t i = 0; i < wide.size(); ++i) static_cast<F16*>(data)[i] = F16(wide[i]);
}

void multiply(const Product& p, const void* a, const void* b, void* c) {
  if (p.a.dtype != Dtype::F16)
    return cpu::gemm(p.m, p.n, p.k, {a, p.a.dtype, p.a.transposed}, {b, p.b.dtype, p.b.transposed}, c,
                     p.c_dtype, p.bias, p.accumulate);
  const std::vector<float> wide_a = widened(a, p.m * p.k);
  const std::vector<float> wide_b = widened(b, p.k * p.n);
  std::vector<float> wide_c(static_cast<size_t>(p.c_dtype == Dtype::F16 ? p.m * p.n : 0));
  cpu::gemm(p.m, p.n, p.k, {wide_a.data(), Dtype::F32, p.a.transposed},
            {wide_b.data(), Dtype::F32, p.b.transposed}, wide_c.empty() ? c : wide_c.data(), Dtype::F32,
            p.bias, p.accumulate);
  narrow(wide_c, c);
}

// Weights between the library's order [out, k, k, in] and torch's [out, in, k, k].
std::vector<char> reordered(const char* from, const Convolution& g, bool to_torch) {
  const int64_t out = g.y[3];
  const int64_t in = g.x[3];
  const int64_t taps = g.kernel * g.kernel;
  const size_t size = dtype_size(g.dtype);
  std::vector<char> to(bytes_of(out * in * taps, g.dtype));
  for (int64_t o = 0; o < out; ++o)
    for (int64_t c = 0; c < in; ++c)
      for (int64_t r = 0; r < taps; ++r) {
        const auto library = static_cast<size_t>((o * taps + r) * in + c) * size;
        const auto torch = static_cast<size_t>((o * in + c) * taps + r) * size;
        std::copy_n(from + (to_torch ? library : torch), size, to.data() + (to_torch ? torch : library));
      }
  return to;
}

// What a forward pass does to its result before it writes it.
struct Epilogue {
  TensorView bias;
  bool relu = false;
};

void convolve_now(const Convolution& g, TensorView x, char* weight, TensorView y, const Epilogue& after) {
  TensorView w{nullptr, {g.y[3], g.x[3], g.kernel, g.kernel}, g.dtype};
  if (g.pass != Convolution::Weight) {
    std::vector<char> torch = reordered(weight, g, true);
    w.pointer = torch.data();
    if (g.pass == Convolution::Forward)
      cpu::conv2d_forward(x, w, after.bias, g.stride, g.padding, after.relu, y);
    else
      cpu::conv2d_backward_input(y, w, {}, g.stride, g.padding, x);
    return;
  }
  // The CPU's gradient of weights is f32 (f64 with f64); the library's has the activations' dtype.
  const Dtype wide = g.dtype == Dtype::F64 ? Dtype::F64 : Dtype::F32;
  std::vector<char> gradient(bytes_of(w.numel(), wide));
  cpu::conv2d_backward_weight(y, x, g.stride, g.padding, {gradient.data(), w.shape, wide}, {}, false);
  if (g.dtype == Dtype::BF16) {
    const std::vector<char> wide_gradient = std::move(gradient);
    gradient = std::vector<char>(bytes_of(w.numel(), g.dtype));
    for (int64_t i = 0; i < w.numel(); ++i)
      reinterpret_cast<BF16*>(gradient.data())[i] =
          BF16(reinterpret_cast<const float*>(wide_gradient.data())[i]);
  }
  const std::vector<char> ordered = reordered(gradient.data(), g, false);
  std::copy(ordered.begin(), ordered.end(), weight);
}

// The same in f32, for f16.
void convolve_wide(Convolution g, void* x, void* weight, void* y, const Epilogue& after) {
  const int64_t w_count = g.y[3] * g.x[3] * g.kernel * g.kernel;
  g.dtype = Dtype::F32;
  std::vector<float> wx = widened(x, g.x.numel());
  std::vector<float> ww = widened(weight, w_count);
  std::vector<float> wy = widened(y, g.y.numel());
  convolve_now(g, {wx.data(), g.x, g.dtype}, reinterpret_cast<char*>(ww.data()), {wy.data(), g.y, g.dtype},
               after);
  if (g.pass == Convolution::Forward) narrow(wy, y);
  if (g.pass == Convolution::Input) narrow(wx, x);
  if (g.pass == Convolution::Weight) narrow(ww, weight);
}

void queue_convolution(const char* op, const Convolution& convolution, void* x, void* weight, void* y,
                       const Epilogue& epilogue) {
  emulator::require_cudnn();
  emulator::enqueue_host(op, [g = convolution, x, weight, y, after = epilogue] {
    if (g.dtype == Dtype::F16)
      convolve_wide(g, x, weight, y, after);
    else
      convolve_now(g, {x, g.x, g.dtype}, static_cast<char*>(weight), {y, g.y, g.dtype}, after);
  });
}

}  // namespace

void gemm(const char* op, const Product& product) {
  emulator::require_cublas();
  emulator::enqueue_host(op, [p = product] {
    for (int64_t i = 0; i < p.batch; ++i)
      multiply(p, static_cast<const char*>(p.a.data) + bytes_of(i * p.m * p.k, p.a.dtype),
               static_cast<const char*>(p.b.data) + bytes_of(i * p.k * p.n, p.b.dtype),
               static_cast<char*>(p.c) + bytes_of(i * p.m * p.n, p.c_dtype));
  });
}

bool gemm_with_sums(const char*, const Product&, void*) {
  return false;
}

void convolve(const char* op, const Convolution& convolution, void* x, void* weight, void* y) {
  queue_convolution(op, convolution, x, weight, y, {});
}

// In half precision and over whole packs of channels, as the library's: elsewhere its callers' own way is
// run.
bool convolve_with_bias(const Convolution& g, void* x, void* weight, const TensorView& bias, bool relu,
                        void* y) {
  if ((g.dtype != Dtype::BF16 && g.dtype != Dtype::F16) || g.x[3] % 8 != 0 || g.y[3] % 8 != 0) return false;
  queue_convolution("conv2d", g, x, weight, y, {bias, relu});
  return true;
}

}  // namespace cae::cuda
