#pragma once

#include <array>
#include <cstdint>

#include "image/picture.h"

namespace cae::image {

// What becomes of each value of each channel: red, green, blue.
using Tables = std::array<std::array<uint8_t, 256>, 3>;

// Each is the table of a function of Pillow's ImageOps on an RGB picture.

// Stretches each channel's values to 0 … 255. A channel of one value stays.
Tables auto_contrast_tables(const Picture& picture);
// Spreads each channel's values evenly. A channel with too few of them stays.
Tables equalize_tables(const Picture& picture);
Tables invert_tables();
// Keeps the `bits` (0 … 8) upper bits.
Tables posterize_tables(int bits);
// Inverts the values of `threshold` (0 … 256) and above.
Tables solarize_tables(int threshold);
// Adds to the values below 128 (RandAugment's SolarizeAdd; 0 <= add).
Tables solarize_add_tables(int add);

// Sends every pixel through the tables, in place.
void look_up(const Picture& picture, const Tables& tables);

}  // namespace cae::image
