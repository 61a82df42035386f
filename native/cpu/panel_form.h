#pragma once

#include <cstdint>

#include "cpu/paired_kernel.h"
#include "cpu/panel_kernel.h"

namespace cae::cpu {

// How a product's panels are packed and multiplied: word by word, or in pairs (cpu/paired_kernel.h).
struct PanelForm {
  Dtype dtype;
  bool paired;

  // The fastest on this CPU for a product that is large enough to be worth packing.
  static PanelForm of(Dtype dtype) { return {dtype, dtype == Dtype::F32 && paired_kernels_apply()}; }

  int64_t rows() const { return paired ? kPairedRows : kPanelRows; }
  // Words a line of a panel takes in memory.
  int64_t length(int64_t words) const { return words + (paired ? kClosingWords : 0); }
  // To be called once on a packed panel, of rows or of columns.
  void close(Word* panel, int64_t words, int64_t width) const {
    if (paired) close_paired_panel(reinterpret_cast<float*>(panel), words, width);
  }
  PanelKernel kernel(int64_t lines) const {
    return paired ? paired_kernel(lines) : panel_kernel(dtype, lines);
  }
};

}  // namespace cae::cpu
