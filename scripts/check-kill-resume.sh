#!/usr/bin/env bash
# Kills a small pretraining run with SIGKILL at random moments, half of them while a checkpoint is being written,
# resumes it to its end, and compares model and optimizer byte by byte with those of a run never interrupted.
# usage: scripts/check-kill-resume.sh [KILLS [SEED]]     default: 20 kills, a random seed
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

kills="${1:-20}"
seed="${2:-$RANDOM}"
if [[ ! "$kills" =~ ^[1-9][0-9]*$ || ! "$seed" =~ ^[0-9]+$ ]]; then
  printf 'usage: scripts/check-kill-resume.sh [KILLS [SEED]]\n' >&2
  exit 2
fi
printf 'check-kill-resume: %s kills, seed %s\n' "$kills" "$seed"
CAE_KILLS="$kills" CAE_KILL_SEED="$seed" exec npx vitest run test/cli/kill-resume.test.ts
