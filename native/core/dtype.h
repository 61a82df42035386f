#pragma once

#ifdef __CUDACC__
#include <cuda_bf16.h>
#include <cuda_fp16.h>
#else
#include <immintrin.h>
#endif

#include <bit>
#include <cstddef>
#include <cstdint>

#include "core/error.h"
#include "core/host_device.h"

namespace cae {

// F32, BF16 and F64 compute; F16 is stored and cast (it computes on CUDA); I32 holds indices and labels, U8
// masks and pictures. F64 exists for gradient checks.
enum class Dtype : uint8_t { F32, BF16, F16, F64, I32, U8 };

// bfloat16: the upper half of a float, rounded to nearest even. NaN stays NaN.
struct BF16 {
  uint16_t bits = 0;
  BF16() = default;
#ifdef __CUDA_ARCH__
  __device__ explicit BF16(float value) : bits(__bfloat16_as_ushort(__float2bfloat16_rn(value))) {}
#else
  CAE_HOST_DEVICE explicit BF16(float value) : bits(round(value)) {}
#endif
  CAE_HOST_DEVICE static uint16_t round(float value) {
    const auto u = std::bit_cast<uint32_t>(value);
    const uint32_t rounded = (u + 0x7fffu + ((u >> 16) & 1u)) >> 16;
    return static_cast<uint16_t>((u & 0x7fffffffu) > 0x7f800000u ? (u >> 16) | 0x40u : rounded);
  }
  CAE_HOST_DEVICE explicit operator float() const {
    return std::bit_cast<float>(static_cast<uint32_t>(bits) << 16);
  }
};

// IEEE half precision, rounded to nearest even by the processor's own conversion (F16C on the CPU).
struct F16 {
  uint16_t bits = 0;
  F16() = default;
#ifdef __CUDACC__
  CAE_HOST_DEVICE explicit F16(float value) : bits(__half_as_ushort(__float2half_rn(value))) {}
  CAE_HOST_DEVICE explicit operator float() const {
    return __half2float(__ushort_as_half(bits));
  }
#else
  explicit F16(float value) : bits(_cvtss_sh(value, _MM_FROUND_TO_NEAREST_INT)) {}
  explicit operator float() const {
    return _cvtsh_ss(bits);
  }
#endif
};

size_t dtype_size(Dtype dtype);
const char* dtype_name(Dtype dtype);
// Throws Error for a name that is none of f32, bf16, f16, f64, i32, u8.
Dtype dtype_from_name(const std::string& name);

template <typename T>
struct DtypeOf;
template <>
struct DtypeOf<float> {
  static constexpr Dtype value = Dtype::F32;
};
template <>
struct DtypeOf<BF16> {
  static constexpr Dtype value = Dtype::BF16;
};
template <>
struct DtypeOf<F16> {
  static constexpr Dtype value = Dtype::F16;
};
template <>
struct DtypeOf<double> {
  static constexpr Dtype value = Dtype::F64;
};
template <>
struct DtypeOf<int32_t> {
  static constexpr Dtype value = Dtype::I32;
};
template <>
struct DtypeOf<uint8_t> {
  static constexpr Dtype value = Dtype::U8;
};

// The type sums are kept in: float for everything but double.
template <typename T>
struct Accumulator {
  using type = float;
};
template <>
struct Accumulator<double> {
  using type = double;
};
template <typename T>
using Acc = typename Accumulator<T>::type;

// Calls body(T{}) with the C++ type of a dtype that ops compute in: f32, bf16 or f64.
template <typename Body>
void dispatch_float(Dtype dtype, const char* op, Body&& body) {
  switch (dtype) {
    case Dtype::F32:
      return body(float{});
    case Dtype::BF16:
      return body(BF16{});
    case Dtype::F64:
      return body(double{});
    default:
      fail(op, "computes in f32, bf16 or f64, not in ", dtype_name(dtype), "; cast first");
  }
}

// As dispatch_float, for every dtype there is.
template <typename Body>
void dispatch_any(Dtype dtype, Body&& body) {
  switch (dtype) {
    case Dtype::F32:
      return body(float{});
    case Dtype::BF16:
      return body(BF16{});
    case Dtype::F16:
      return body(F16{});
    case Dtype::F64:
      return body(double{});
    case Dtype::I32:
      return body(int32_t{});
    case Dtype::U8:
      return body(uint8_t{});
  }
}

}  // namespace cae
