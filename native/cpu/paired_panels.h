#pragma once

#include <cstdint>

#include "cpu/panels.h"

namespace cae::cpu {

// The summed axis of paired products goes in cycles: a pair of words, one by itself, and the same again with
// the pair's sign turned. What is left at the end is multiplied word by word.
constexpr int64_t kTurn = 3;
constexpr int64_t kCycle = 2 * kTurn;

// In rows of blocks a cycle is two blocks: each has five turns, the first one's with a plus and the second
// one's with a minus to begin with, and one word more. What word w of the summed axis is there: 0 unless it
// is the second of a pair, else that pair's sign.
constexpr int block_pair_sign(int64_t w) {
  const int64_t in_block = w % kBlockWords;
  if (in_block % kTurn != 1) return 0;
  return (in_block / kTurn + w / kBlockWords) % 2 == 0 ? 1 : -1;
}

// After a panel's numbers, for each line: the terms of its pairs alone, to be taken off its sums, and what
// its sums are multiplied by.
constexpr int64_t kClosingWords = 2;

// pack_panels for paired_kernel: f32 lines balanced by powers of two, and closed. run.length counts the
// closing words.
void pack_paired_panels(const WordSource& source, int64_t k, const PanelRun& run, Word* panels);

// Closes a panel of rows in blocks, not balanced.
void close_paired_blocks(float* panel, int64_t words, int64_t rows);

}  // namespace cae::cpu
