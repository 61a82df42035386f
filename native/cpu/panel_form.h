#pragma once

#include <cstdint>

#include "cpu/paired_kernel.h"
#include "cpu/paired_panels.h"
#include "cpu/panel_kernel.h"

namespace cae::cpu {

// How a product's panels are packed and multiplied: word by word, or in pairs (cpu/paired_kernel.h).
struct PanelForm {
  Dtype dtype;
  bool paired;

  // The fastest on this CPU for a product that is large enough to be worth packing.
  static PanelForm of(Dtype dtype) { return {dtype, dtype == Dtype::F32 && paired_kernels_apply()}; }

  int64_t rows() const { return paired ? kPairedRows : kPanelRows; }
  // Words of the summed axis in one go. Paired ones are short, so that a panel stays near the processor.
  int64_t most_words() const { return paired ? 1152 : 4096; }
  // Words a line of a panel takes in memory.
  int64_t length(int64_t words) const { return words + (paired ? kClosingWords : 0); }
  void pack(const WordSource& source, int64_t k, const PanelRun& run, Word* panels) const {
    if (paired)
      pack_paired_panels(source, k, run, panels);
    else
      pack_panels(source, k, run, nullptr, panels);
  }
  PanelKernel kernel(int64_t lines) const {
    return paired ? paired_kernel(lines) : panel_kernel(dtype, lines);
  }
  // Of f32 rows in blocks.
  PanelKernel block_kernel(int64_t lines) const {
    return paired ? paired_block_kernel(lines) : panel_block_kernel(lines);
  }
};

}  // namespace cae::cpu
