#include "cpu/onednn.h"

namespace cae::cpu {

dnnl::engine& onednn_engine() {
  static dnnl::engine engine(dnnl::engine::kind::cpu, 0);
  return engine;
}

dnnl::stream& onednn_stream() {
  static thread_local dnnl::stream stream(onednn_engine());
  return stream;
}

dnnl::memory::data_type onednn_type(Dtype dtype) {
  using type = dnnl::memory::data_type;
  switch (dtype) {
    case Dtype::F32:
      return type::f32;
    case Dtype::BF16:
      return type::bf16;
    case Dtype::I32:
      return type::s32;
    case Dtype::U8:
      return type::u8;
    default:
      fail("onednn", "does not compute in ", dtype_name(dtype));
  }
}

bool onednn_has_halves() {
  constexpr int kNeeded = dnnl_cpu_isa_avx512_core;  // instruction sets are bits that contain one another's
  static const bool has = (dnnl_get_effective_cpu_isa() & kNeeded) == kNeeded;
  return has;
}

}  // namespace cae::cpu
