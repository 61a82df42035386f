#include "core/dtype.h"

#include <array>
#include <utility>

namespace cae {
namespace {
constexpr std::array<std::pair<const char*, size_t>, 6> kDtypes{
    {{"f32", 4}, {"bf16", 2}, {"f16", 2}, {"f64", 8}, {"i32", 4}, {"u8", 1}}};
}

size_t dtype_size(Dtype dtype) {
  return kDtypes[static_cast<size_t>(dtype)].second;
}
const char* dtype_name(Dtype dtype) {
  return kDtypes[static_cast<size_t>(dtype)].first;
}

Dtype dtype_from_name(const std::string& name) {
  for (size_t i = 0; i < kDtypes.size(); ++i)
    if (name == kDtypes[i].first) return static_cast<Dtype>(i);
  fail("dtype", "\"", name, "\" is none of f32, bf16, f16, f64, i32, u8");
}

}  // namespace cae
