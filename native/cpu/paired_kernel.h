#pragma once

#include <cstdint>

#include "cpu/panel_kernel.h"

// Products of f32 panels with a third fewer multiplications (S. Winograd, "A new algorithm for inner
// product", 1968): two words of the summed axis take one product of two sums,
//
//   (x₁ + y₂)·(x₂ + y₁) = x₁·y₁ + x₂·y₂ + x₁·x₂ + y₁·y₂,
//
// whose last two terms depend on a row alone, or on a column, and are summed once for all products of a
// panel. A core whose adders work beside its multipliers (AMD's from Zen 4 on: two of each) does in four
// cycles so what takes six by multiplications; so every third word is multiplied as ever.
//
// Rounding: a pair's sums are of its terms' size only where x and y are, so lines are balanced to a mean
// absolute value near 1, by powers of two, which round nothing. Signs alternate from pair to pair, so that
// terms of one sign do not grow with the axis. What is left is about twice the error of plain products.
namespace cae::cpu {

constexpr int64_t kPairedRows = 12;  // 12 x 2 registers of sums, 6 of columns, 2 of terms

// Whether this build and this CPU gain by it.
bool paired_kernels_apply();

// The kernel for panels of so many rows, up to kPairedRows, that pack_paired_panels packed.
PanelKernel paired_kernel(int64_t rows);

// The same of rows in blocks (panel_block_kernel), whose words are paired as block_pair_sign says: an even
// number of blocks.
PanelKernel paired_block_kernel(int64_t rows);

}  // namespace cae::cpu
