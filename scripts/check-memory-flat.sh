#!/usr/bin/env bash
# Pretrains cae_tiny_patch16_224_8k_vocab through the real loader and compares the process's resident memory after STEPS
# steps with that after 50: it may be 2 % more at most.
# usage: scripts/check-memory-flat.sh [STEPS]     default: 500
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

steps="${1:-500}"
if [[ ! "$steps" =~ ^[1-9][0-9]+$ ]]; then
  printf 'usage: scripts/check-memory-flat.sh [STEPS]\n' >&2
  exit 2
fi
CAE_MEMORY_STEPS="$steps" exec npx vitest run test/cli/memory-flat.test.ts
