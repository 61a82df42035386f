#include "ops/frozen_conv.h"

#include <algorithm>
#include <array>
#include <map>
#include <memory>
#include <new>
#include <tuple>
#include <unordered_map>
#include <vector>

#include "cpu/onednn.h"

namespace cae::cpu {
namespace {

using dnnl::memory;

struct Plan {
  dnnl::convolution_forward::primitive_desc description;
  dnnl::convolution_forward primitive;
};

memory at(const memory::desc& description, const void* data) {
  return {description, onednn_engine(), const_cast<void*>(data)};
}

memory::desc plain_weight(const Shape& w, Dtype dtype) {
  return {{w[0], w[1], w[2], w[3]}, onednn_type(dtype), memory::format_tag::oihw};
}

Plan make_plan(const TensorView& x, const Shape& w, const TensorView& y, int64_t stride, int64_t padding,
               bool relu, bool residual, float gain) {
  const auto type = onednn_type(x.dtype);
  const auto picture = [&](const Shape& s) {
    return memory::desc({s[0], s[3], s[1], s[2]}, type, memory::format_tag::nhwc);
  };
  const memory::desc weight({w[0], w[1], w[2], w[3]}, type, memory::format_tag::any);
  const memory::desc bias({w[0]}, memory::data_type::f32, memory::format_tag::a);
  dnnl::post_ops after;
  if (relu) after.append_eltwise(1.f, dnnl::algorithm::eltwise_relu, 0.f, 0.f);
  if (residual) {
    // y holds the residual r: gain·(conv + r/gain), since fast kernels take the sum in the first place only.
    after.append_sum(1.f / gain);
    after.append_eltwise(1.f, dnnl::algorithm::eltwise_linear, gain, 0.f);
  }
  dnnl::primitive_attr attributes;
  attributes.set_post_ops(after);
  const dnnl::convolution_forward::primitive_desc description(
      {dnnl::prop_kind::forward_inference, dnnl::algorithm::convolution_direct, picture(x.shape), weight,
       bias, picture(y.shape), memory::dims{stride, stride}, memory::dims{padding, padding},
       memory::dims{padding, padding}},
      attributes, onednn_engine());
  return {description, dnnl::convolution_forward(description)};
}

const Plan& plan_for(const TensorView& x, const Shape& w, const TensorView& y, int64_t stride,
                     int64_t padding, bool relu, bool residual, float gain) {
  const std::array<int64_t, 10> sizes{x.shape[0], x.shape[1], x.shape[2], w[0],   w[1],
                                      w[2],       w[3],       stride,     padding};
  using Key = std::tuple<std::array<int64_t, 10>, Dtype, bool, bool, float>;
  static thread_local std::map<Key, Plan> plans;
  const Key key{sizes, x.dtype, relu, residual, gain};
  auto found = plans.find(key);
  if (found == plans.end())
    found = plans.emplace(key, make_plan(x, w, y, stride, padding, relu, residual, gain)).first;
  return found->second;
}

struct Free {
  void operator()(char* block) const { ::operator delete[](block, std::align_val_t(64)); }
};

struct Arranged {
  memory::desc order;
  std::unique_ptr<char[], Free> data;
};

// Weights in each order that a shape asked for: one as a rule, since the order follows from the channels.
std::map<int64_t, std::vector<Arranged>>& arranged_weights() {
  static thread_local std::map<int64_t, std::vector<Arranged>> weights;
  return weights;
}

// The weight in the wanted order: where it lies if that is its order, else the copy kept for it.
const void* arranged(const TensorView& weight, const memory::desc& wanted, int64_t id) {
  const memory::desc plain = plain_weight(weight.shape, weight.dtype);
  if (wanted == plain) return weight.pointer;
  auto& kept = arranged_weights()[id];
  for (const Arranged& each : kept)
    if (each.order == wanted) return each.data.get();
  std::unique_ptr<char[], Free> data(
      static_cast<char*>(::operator new[](wanted.get_size(), std::align_val_t(64))));
  memory from = at(plain, weight.pointer);
  memory to = at(wanted, data.get());
  dnnl::reorder(from, to).execute(onednn_stream(), from, to);
  onednn_stream().wait();
  kept.push_back({wanted, std::move(data)});
  return kept.back().data.get();
}

void copy_picture(const TensorView& from, const TensorView& to) {
  const auto bytes = static_cast<int64_t>(dtype_size(from.dtype)) * from.numel();
  constexpr int64_t kChunk = 1 << 18;
#pragma omp parallel for schedule(static)
  for (int64_t begin = 0; begin < bytes; begin += kChunk)
    std::copy_n(from.data<char>() + begin, std::min(kChunk, bytes - begin), to.data<char>() + begin);
}

}  // namespace

void frozen_conv2d_forward(const TensorView& x, const TensorView& weight, const TensorView& bias,
                           const TensorView& residual, int64_t stride, int64_t padding, bool relu,
                           double gain, int64_t id, const TensorView& y) {
  const bool adds = static_cast<bool>(residual);
  const float factor = adds ? static_cast<float>(gain) : 1.f;
  const Plan& plan = plan_for(x, weight.shape, y, stride, padding, relu, adds, factor);
  const auto& d = plan.description;
  if (adds) copy_picture(residual, y);
  plan.primitive.execute(onednn_stream(),
                         {{DNNL_ARG_SRC, at(d.src_desc(), x.pointer)},
                          {DNNL_ARG_WEIGHTS, at(d.weights_desc(), arranged(weight, d.weights_desc(), id))},
                          {DNNL_ARG_BIAS, at(d.bias_desc(), bias.pointer)},
                          {DNNL_ARG_DST, at(d.dst_desc(), y.pointer)}});
  onednn_stream().wait();
}

void forget_frozen_conv(int64_t id) {
  arranged_weights().erase(id);
}

}  // namespace cae::cpu
