// Convolutions over NHWC activations: wide 3x3 ones forward by Winograd's algorithm (cpu/winograd.h), wide
// 1x1 ones in f32 as paired products, all others through oneDNN, bf16 by way of f32 where it has none;
// weights are brought into the layout it likes best at each call, which costs one pass over them.
#include "ops/conv.h"

#include <cstring>
#include <map>
#include <tuple>
#include <unordered_map>
#include <vector>

#include "cpu/column_sum.h"
#include "cpu/onednn.h"
#include "cpu/paired_kernel.h"
#include "cpu/panel_gemm.h"
#include "cpu/widened_conv.h"
#include "cpu/winograd.h"

namespace cae::cpu {
namespace {

using dnnl::memory;
enum class Pass { Forward, Input, Weight };

struct Plan {
  dnnl::primitive primitive;
  memory x, y, plain_weight, weight, bias;
  dnnl::reorder reorder;
  bool reordered = false;
};

struct Geometry {
  Shape x, y, weight;
  int64_t stride, padding;
};

memory empty(const memory::desc& d) {
  return {d, onednn_engine(), nullptr};
}

Plan make_plan(Pass pass, const Geometry& g, Dtype dtype, Dtype weight_dtype, bool bias) {
  const auto type = onednn_type(dtype);
  const auto nhwc = [&](const Shape& s) {
    return memory::desc({s[0], s[3], s[1], s[2]}, type, memory::format_tag::nhwc);
  };
  const memory::dims w_dims{g.weight[0], g.weight[1], g.weight[2], g.weight[3]};
  const memory::desc x = nhwc(g.x);
  const memory::desc y = nhwc(g.y);
  const memory::desc plain(w_dims, onednn_type(weight_dtype), memory::format_tag::oihw);
  const memory::desc any(w_dims, onednn_type(weight_dtype), memory::format_tag::any);
  const memory::desc b =
      bias ? memory::desc({g.weight[0]}, memory::data_type::f32, memory::format_tag::a) : memory::desc();
  const memory::dims strides{g.stride, g.stride};
  // The far side is padded as much as the output's extent needs; inputs that do not divide leave a rim
  // unread.
  const auto far = [&](int axis) { return (g.y[axis] - 1) * g.stride + g.weight[2] - g.x[axis] - g.padding; };
  const memory::dims near_pad{g.padding, g.padding};
  const memory::dims far_pad{far(1), far(2)};
  constexpr auto direct = dnnl::algorithm::convolution_direct;
  // Backward passes are described beside the forward one that they belong to.
  const dnnl::convolution_forward::primitive_desc forward(
      {pass == Pass::Forward ? dnnl::prop_kind::forward_inference : dnnl::prop_kind::forward_training, direct,
       x, pass == Pass::Weight ? memory::desc(w_dims, type, memory::format_tag::any) : any, b, y, strides,
       near_pad, far_pad},
      onednn_engine());
  Plan plan;
  memory::desc chosen;
  if (pass == Pass::Forward) {
    plan.primitive = dnnl::convolution_forward(forward);
    chosen = forward.weights_desc();
  } else if (pass == Pass::Input) {
    const dnnl::convolution_backward_data::primitive_desc backward(
        {direct, x, any, y, strides, near_pad, far_pad}, onednn_engine(), forward);
    plan.primitive = dnnl::convolution_backward_data(backward);
    chosen = backward.weights_desc();
  } else {
    const dnnl::convolution_backward_weights::primitive_desc backward(
        {direct, x, any, y, strides, near_pad, far_pad}, onednn_engine(), forward);
    plan.primitive = dnnl::convolution_backward_weights(backward);
    chosen = backward.diff_weights_desc();
  }
  plan.x = empty(x);
  plan.y = empty(y);
  plan.plain_weight = empty(plain);
  plan.bias = bias ? empty(b) : memory();
  plan.reordered = chosen != plain;
  plan.weight = plan.reordered ? empty(chosen) : plan.plain_weight;
  if (plan.reordered)
    plan.reorder = pass == Pass::Weight ? dnnl::reorder(plan.weight, plan.plain_weight)
                                        : dnnl::reorder(plan.plain_weight, plan.weight);
  return plan;
}

// Room for one weight in oneDNN's own layout. All plans share it: each call fills it anew.
void* packed_room(size_t bytes) {
  constexpr size_t kLine = 64;
  static thread_local std::vector<char> room;
  if (room.size() < bytes + kLine) room = std::vector<char>(bytes + kLine);
  const auto address = reinterpret_cast<uintptr_t>(room.data());
  return room.data() + (kLine - address % kLine) % kLine;
}

Plan& plan_for(Pass pass, const Geometry& g, Dtype dtype, Dtype weight_dtype, bool bias) {
  using Key = std::tuple<Pass, std::vector<int64_t>, Dtype, Dtype, bool>;
  static thread_local std::map<Key, Plan> plans;
  std::vector<int64_t> extents;
  for (const Shape* shape : {&g.x, &g.y, &g.weight})
    extents.insert(extents.end(), shape->extents().begin(), shape->extents().end());
  extents.insert(extents.end(), {g.stride, g.padding});
  const Key key{pass, extents, dtype, weight_dtype, bias};
  auto found = plans.find(key);
  if (found == plans.end()) found = plans.emplace(key, make_plan(pass, g, dtype, weight_dtype, bias)).first;
  Plan& plan = found->second;
  if (plan.reordered) plan.weight.set_data_handle(packed_room(plan.weight.get_desc().get_size()));
  return plan;
}

// Whether it is a product of pixels and channels that paired kernels compute faster than oneDNN.
bool is_product(const Geometry& g, Dtype dtype, Dtype weight_dtype, bool relu) {
  constexpr int64_t kLeastChannels = 128;  // as measured
  return dtype == Dtype::F32 && weight_dtype == Dtype::F32 && paired_kernels_apply() && g.weight[2] == 1 &&
         g.stride == 1 && g.padding == 0 && !relu && g.weight[0] >= kLeastChannels &&
         g.weight[1] >= kLeastChannels;
}

// The taps of a convolution, for the plain loops in f64: body(x index, weight index, y index).
template <typename Body>
void for_taps(const Geometry& g, Body&& body) {
  const int64_t k = g.weight[2];
  for (int64_t b = 0; b < g.y[0]; ++b)
    for (int64_t i = 0; i < g.y[1]; ++i)
      for (int64_t j = 0; j < g.y[2]; ++j)
        for (int64_t r = 0; r < k; ++r)
          for (int64_t s = 0; s < k; ++s) {
            const int64_t row = i * g.stride - g.padding + r;
            const int64_t column = j * g.stride - g.padding + s;
            if (row < 0 || row >= g.x[1] || column < 0 || column >= g.x[2]) continue;
            for (int64_t o = 0; o < g.y[3]; ++o)
              for (int64_t c = 0; c < g.x[3]; ++c)
                body(((b * g.x[1] + row) * g.x[2] + column) * g.x[3] + c, ((o * g.x[3] + c) * k + r) * k + s,
                     ((b * g.y[1] + i) * g.y[2] + j) * g.y[3] + o);
          }
}

// Bias in every pixel of y, or zeros.
template <typename T>
void fill_channels(const TensorView& y, const TensorView& bias) {
  const int64_t channels = y.shape[-1];
  for (int64_t i = 0; i < y.numel(); ++i) y.data<T>()[i] = bias ? bias.data<T>()[i % channels] : T(0);
}

// y += bias, where a library call has no place for one.
void add_bias(const TensorView& y, const TensorView& bias) {
  const int64_t channels = y.shape[-1];
  dispatch_float(y.dtype, "conv_transpose2d", [&]<typename T>(T) {
    const auto* shift = bias.data<Acc<T>>();
#pragma omp parallel for schedule(static)
    for (int64_t row = 0; row < y.shape.rows(); ++row) {
      T* to = y.data<T>() + row * channels;
#pragma omp simd
      for (int64_t c = 0; c < channels; ++c) to[c] = store<T>(load(to[c]) + shift[c]);
    }
  });
}

// In place, after oneDNN, whose own relu makes a NaN zero.
void relu_in_place(const TensorView& y) {
  dispatch_float(y.dtype, "conv2d", [&]<typename T>(T) {
    T* to = y.data<T>();
#pragma omp parallel for simd schedule(static)
    for (int64_t i = 0; i < y.numel(); ++i) {
      const auto value = load(to[i]);
      to[i] = store<T>(value < 0 ? 0 : value);
    }
  });
}

}  // namespace

void conv2d_forward(const TensorView& x, const TensorView& weight, const TensorView& bias, int64_t stride,
                    int64_t padding, bool relu, const TensorView& y) {
  const Geometry g{x.shape, y.shape, weight.shape, stride, padding};
  if (x.dtype == Dtype::F64) {
    fill_channels<double>(y, bias);
    double* out = y.data<double>();
    for_taps(g, [&](int64_t xi, int64_t wi, int64_t yi) {
      out[yi] += x.data<double>()[xi] * weight.data<double>()[wi];
    });
    if (relu) relu_in_place(y);
    return;
  }
  if (winograd_applies(x, weight, stride, padding)) {
    winograd_conv3x3(x, weight, bias, relu, y);
    return;
  }
  if (is_product(g, x.dtype, weight.dtype, relu)) {
    panel_gemm(y.shape.rows(), y.shape[3], x.shape[3], {x.pointer, x.dtype},
               {weight.pointer, weight.dtype, true}, y.pointer, y.dtype,
               static_cast<const float*>(bias.pointer), false);
    return;
  }
  if (conv_is_widened(x.dtype)) {
    widened_conv_forward(x, weight, bias, stride, padding, relu, y);
    return;
  }
  Plan& plan = plan_for(Pass::Forward, g, x.dtype, weight.dtype, static_cast<bool>(bias));
  plan.x.set_data_handle(x.pointer);
  plan.y.set_data_handle(y.pointer);
  plan.plain_weight.set_data_handle(weight.pointer);
  if (plan.reordered) plan.reorder.execute(onednn_stream(), plan.plain_weight, plan.weight);
  std::unordered_map<int, memory> arguments{
      {DNNL_ARG_SRC, plan.x}, {DNNL_ARG_WEIGHTS, plan.weight}, {DNNL_ARG_DST, plan.y}};
  if (bias) {
    plan.bias.set_data_handle(bias.pointer);
    arguments.emplace(DNNL_ARG_BIAS, plan.bias);
  }
  plan.primitive.execute(onednn_stream(), arguments);
  onednn_stream().wait();
  if (relu) relu_in_place(y);
}

// oneDNN's own order depends on the whole convolution, and costs one pass over the weight: none is kept.
void prepare_conv_weight(const TensorView& weight, const TensorView& prepared) {
  std::memcpy(prepared.pointer, weight.pointer,
              static_cast<size_t>(weight.numel()) * dtype_size(weight.dtype));
}

void conv2d_prepared_forward(const TensorView& x, const TensorView& weight, const TensorView& bias,
                             int64_t stride, int64_t padding, bool relu, const TensorView& y) {
  conv2d_forward(x, weight, bias, stride, padding, relu, y);
}

void conv2d_backward_input(const TensorView& dy, const TensorView& weight, const TensorView& bias,
                           int64_t stride, int64_t padding, const TensorView& dx) {
  const Geometry g{dx.shape, dy.shape, weight.shape, stride, padding};
  if (dy.dtype == Dtype::F64) {
    fill_channels<double>(dx, bias);
    for_taps(g, [&](int64_t xi, int64_t wi, int64_t yi) {
      dx.data<double>()[xi] += dy.data<double>()[yi] * weight.data<double>()[wi];
    });
    return;
  }
  if (conv_is_widened(dy.dtype)) {
    widened_conv_backward_input(dy, weight, bias, stride, padding, dx);
    return;
  }
  Plan& plan = plan_for(Pass::Input, g, dy.dtype, weight.dtype, false);
  plan.x.set_data_handle(dx.pointer);
  plan.y.set_data_handle(dy.pointer);
  plan.plain_weight.set_data_handle(weight.pointer);
  if (plan.reordered) plan.reorder.execute(onednn_stream(), plan.plain_weight, plan.weight);
  plan.primitive.execute(
      onednn_stream(),
      {{DNNL_ARG_DIFF_SRC, plan.x}, {DNNL_ARG_WEIGHTS, plan.weight}, {DNNL_ARG_DIFF_DST, plan.y}});
  onednn_stream().wait();
  if (bias) add_bias(dx, bias);
}

void conv2d_backward_weight(const TensorView& dy, const TensorView& x, int64_t stride, int64_t padding,
                            const TensorView& dweight, const TensorView& dbias, bool accumulate) {
  const Geometry g{x.shape, dy.shape, dweight.shape, stride, padding};
  if (x.dtype == Dtype::F64) {
    if (!accumulate) fill_channels<double>(dweight, {});
    for_taps(g, [&](int64_t xi, int64_t wi, int64_t yi) {
      dweight.data<double>()[wi] += dy.data<double>()[yi] * x.data<double>()[xi];
    });
  } else if (conv_is_widened(x.dtype)) {
    widened_conv_backward_weight(dy, x, stride, padding, dweight, dbias, accumulate);
    return;
  } else {
    Plan& plan = plan_for(Pass::Weight, g, x.dtype, Dtype::F32, false);
    static thread_local std::vector<float> fresh;
    const int64_t n = dweight.numel();
    if (accumulate) fresh.resize(static_cast<size_t>(n));
    plan.x.set_data_handle(x.pointer);
    plan.y.set_data_handle(dy.pointer);
    plan.plain_weight.set_data_handle(accumulate ? fresh.data() : dweight.pointer);
    if (!plan.reordered) plan.weight = plan.plain_weight;
    plan.primitive.execute(
        onednn_stream(),
        {{DNNL_ARG_SRC, plan.x}, {DNNL_ARG_DIFF_DST, plan.y}, {DNNL_ARG_DIFF_WEIGHTS, plan.weight}});
    if (plan.reordered) plan.reorder.execute(onednn_stream(), plan.weight, plan.plain_weight);
    onednn_stream().wait();
    if (accumulate)
      for (int64_t i = 0; i < n; ++i) dweight.data<float>()[i] += fresh[i];
  }
  if (!dbias) return;
  const int64_t channels = dy.shape[3];
  dispatch_float(dy.dtype, "conv2d_backward_weight", [&]<typename T>(T) {
    using A = Acc<T>;
    A* sums[] = {dbias.data<A>()};
    sum_over_rows<A>(dy.shape.rows(), channels, 1, sums, accumulate, [&](int64_t row, A* partial) {
      const T* from = dy.data<T>() + row * channels;
#pragma omp simd
      for (int64_t c = 0; c < channels; ++c) partial[c] += load(from[c]);
    });
  });
}

}  // namespace cae::cpu
