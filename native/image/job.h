#pragma once

#include <string>
#include <variant>
#include <vector>

#include "image/augment.h"
#include "image/crop.h"
#include "image/operation.h"

namespace cae::image {

// One picture to read: from its file, or from pixels another library decoded.
struct PixelSource {
  const uint8_t* rgb = nullptr;  // 3 bytes a pixel
  Size size;
};
using Source = std::variant<std::string, PixelSource>;

// The whole picture resized, then its centre kept.
struct CentreCrop {};
using CropRule = std::variant<RandomCrop, CentreCrop, Box>;

// One picture of size × size pixels of 3 bytes to write. `shorter` (for CentreCrop) is the side that the
// picture's shorter side is resized to before its centre is kept.
struct View {
  uint8_t* out;
  int size;
  int shorter;
  Filter filter;
};

struct Job {
  Source source;
  CropRule crop;
  bool mirrored = false;
  std::vector<JitterStep> jitter;
  std::vector<View> views;
  // What is done to each view once it is resized.
  std::vector<Operation> operations;
};

enum class Outcome {
  done,
  failed,        // `message` says why
  other_format,  // the file is no JPEG
  cancelled,
};

struct Report {
  Outcome outcome = Outcome::cancelled;
  std::string message;
  Size size;  // of the whole picture
  Box crop;   // in the picture after mirroring
};

// Jitter, mirroring, one crop, that crop resized to each view, and the operations on each, in that order.
// Never throws.
Report run(const Job& job);

}  // namespace cae::image
