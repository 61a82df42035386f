#pragma once

#include <dnnl.hpp>

#include "core/dtype.h"

namespace cae::cpu {

// The one oneDNN engine of the process, and the stream of the calling thread.
dnnl::engine& onednn_engine();
dnnl::stream& onednn_stream();

// f32, bf16 and u8/i32 as oneDNN names them; throws Error for f64, which oneDNN does not compute in.
dnnl::memory::data_type onednn_type(Dtype dtype);

}  // namespace cae::cpu
