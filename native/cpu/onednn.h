#pragma once

#include <dnnl.hpp>

#include "core/dtype.h"

namespace cae::cpu {

// The one oneDNN engine of the process, and the stream of the calling thread.
dnnl::engine& onednn_engine();
dnnl::stream& onednn_stream();

// f32, bf16 and u8/i32 as oneDNN names them; throws Error for f64, which oneDNN does not compute in.
dnnl::memory::data_type onednn_type(Dtype dtype);

// Whether it computes in bf16 on this CPU, or as far as ONEDNN_MAX_CPU_ISA lets it: that takes AVX-512.
bool onednn_has_halves();

}  // namespace cae::cpu
