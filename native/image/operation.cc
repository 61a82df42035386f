#include "image/operation.h"

#include <array>
#include <cmath>
#include <string>
#include <utility>

#include "core/error.h"
#include "image/augment.h"
#include "image/sharpness.h"
#include "image/tables.h"

namespace cae::image {
namespace {

using enum OperationKind;

constexpr std::array<std::pair<std::string_view, OperationKind>, 16> kNames{{
    {"mirror", mirror},
    {"autoContrast", auto_contrast},
    {"equalize", equalize},
    {"invert", invert},
    {"posterize", posterize},
    {"solarize", solarize},
    {"solarizeAdd", solarize_add},
    {"brightness", brightness},
    {"contrast", contrast},
    {"saturation", saturation},
    {"sharpness", sharpness},
    {"rotate", rotate},
    {"shearX", shear_x},
    {"shearY", shear_y},
    {"translateX", translate_x},
    {"translateY", translate_y},
}};

// Where a kind's pixels come from; kinds of other families have no matrix.
Matrix matrix_of(const Operation& operation, Size size) {
  const double v = operation.value;
  switch (operation.kind) {
    case rotate:
      return rotation(size, v);
    case shear_x:
      return {1, v, 0, 0, 1, 0};
    case shear_y:
      return {1, 0, 0, v, 1, 0};
    case translate_x:
      return {1, 0, v * size.width, 0, 1, 0};
    default:
      return {1, 0, 0, 0, 1, v * size.height};
  }
}

bool is_affine(OperationKind kind) {
  return kind == rotate || kind == shear_x || kind == shear_y || kind == translate_x || kind == translate_y;
}

void apply_in_place(const Picture& picture, const Operation& operation) {
  const int whole = static_cast<int>(operation.value);
  const auto factor = static_cast<float>(operation.value);
  switch (operation.kind) {
    case mirror:
      return flip(picture);
    case auto_contrast:
      return look_up(picture, auto_contrast_tables(picture));
    case equalize:
      return look_up(picture, equalize_tables(picture));
    case invert:
      return look_up(picture, invert_tables());
    case posterize:
      return look_up(picture, posterize_tables(whole));
    case solarize:
      return look_up(picture, solarize_tables(whole));
    case solarize_add:
      return look_up(picture, solarize_add_tables(whole));
    case brightness:
      return jitter(picture, {{Jitter::brightness, factor}});
    case contrast:
      return jitter(picture, {{Jitter::contrast, factor}});
    case saturation:
      return jitter(picture, {{Jitter::saturation, factor}});
    default:
      return;  // not in place: see apply
  }
}

}  // namespace

OperationKind operation_from_name(std::string_view name) {
  for (const auto& [known, kind] : kNames)
    if (known == name) return kind;
  std::string all;
  for (const auto& [known, kind] : kNames) all.append(all.empty() ? "" : ", ").append(known);
  fail("imageOperation", "no operation '", std::string(name), "'; give one of ", all);
}

void check_operation(const Operation& operation) {
  const auto whole_up_to = [&](const char* name, int most) {
    const double v = operation.value;
    check(v >= 0 && v <= most && v == std::floor(v), "imageOperation", name, " ", v,
          "; give a whole number, 0 to ", most);
  };
  // Far beyond what a picture shows anything of, and within what coordinates can hold.
  check(std::fabs(operation.value) <= 1e6, "imageOperation", "a value of ", operation.value,
        "; give a number of -1e6 to 1e6");
  switch (operation.kind) {
    case posterize:
      return whole_up_to("posterize", 8);
    case solarize:
      return whole_up_to("solarize", 256);
    case solarize_add:
      return whole_up_to("solarizeAdd", 255);
    default:
      return;
  }
}

Picture apply(const Picture& picture, const std::vector<Operation>& operations, Buffer& memory,
              Buffer& other) {
  Picture now = picture;
  // The buffer that does not hold `now`.
  Buffer* free = &other;
  Buffer* taken = &memory;
  for (const Operation& operation : operations) {
    const bool moves = is_affine(operation.kind);
    if (!moves && operation.kind != sharpness) {
      apply_in_place(now, operation);
      continue;
    }
    const Picture next = make_picture(*free, now.size);
    if (moves) {
      affine(now, matrix_of(operation, now.size), operation.filter, operation.fill, next);
    } else {
      sharpen(now, static_cast<float>(operation.value), next);
    }
    now = next;
    std::swap(free, taken);
  }
  return now;
}

}  // namespace cae::image
