#pragma once

#include <array>
#include <cstdint>

#include "core/host_device.h"

namespace cae {

// Philox4x32-10 (Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", 2011): four 32-bit words as a
// pure function of a 128-bit counter and a 64-bit key. A draw is named by (seed, stream, step, index), so it
// does not matter who computes it, or when: a resumed run draws what the uninterrupted one drew.
struct Philox {
  uint64_t seed = 0;
  uint32_t stream = 0;
  uint32_t step = 0;

  CAE_HOST_DEVICE std::array<uint32_t, 4> operator()(uint64_t index) const {
    std::array<uint32_t, 4> c{static_cast<uint32_t>(index), static_cast<uint32_t>(index >> 32), step, stream};
    auto k0 = static_cast<uint32_t>(seed);
    auto k1 = static_cast<uint32_t>(seed >> 32);
    for (int round = 0; round < 10; ++round) {
      const uint64_t p0 = 0xD2511F53ull * c[0];
      const uint64_t p1 = 0xCD9E8D57ull * c[2];
      c = {static_cast<uint32_t>(p1 >> 32) ^ c[1] ^ k0, static_cast<uint32_t>(p1),
           static_cast<uint32_t>(p0 >> 32) ^ c[3] ^ k1, static_cast<uint32_t>(p0)};
      k0 += 0x9E3779B9u;
      k1 += 0xBB67AE85u;
    }
    return c;
  }

  // Uniform in [0, 1) with 24 bits.
  CAE_HOST_DEVICE float uniform(uint64_t index) const {
    return static_cast<float>((*this)(index)[0] >> 8) * 0x1p-24f;
  }
  // Uniform in (0, 1) with 53 bits, for logarithms and inverse distributions.
  CAE_HOST_DEVICE double uniform_open(uint64_t index) const {
    const auto words = (*this)(index);
    const uint64_t bits = (static_cast<uint64_t>(words[0]) << 21) ^ (words[1] >> 11);
    return (static_cast<double>(bits & ((1ull << 53) - 1)) + 0.5) * 0x1p-53;
  }
};

}  // namespace cae
