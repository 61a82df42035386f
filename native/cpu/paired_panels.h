#pragma once

#include <cstdint>

#include "cpu/panels.h"

namespace cae::cpu {

// The summed axis of paired products goes in cycles: a pair of words, one by itself, and the same again with
// the pair's sign turned. What is left at the end is multiplied word by word.
constexpr int64_t kTurn = 3;
constexpr int64_t kCycle = 2 * kTurn;

// After a panel's numbers, for each line: the terms of its pairs alone, to be taken off its sums, and what
// its sums are multiplied by.
constexpr int64_t kClosingWords = 2;

// pack_panels for paired_kernel: f32 lines balanced by powers of two, and closed. run.length counts the
// closing words.
void pack_paired_panels(const WordSource& source, int64_t k, const PanelRun& run, Word* panels);

}  // namespace cae::cpu
