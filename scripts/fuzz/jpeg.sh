#!/usr/bin/env bash
# Builds the picture reader with AddressSanitizer and UBSan and feeds it mutated JPEG files.
# usage: scripts/fuzz/jpeg.sh [INPUTS] [SEED]     default: 20000 inputs, seed 1
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

work="$(mktemp -d)"
trap 'rm -rf "$work"' EXIT
# Inputs lie in memory where that is there; the last one is kept for whoever looks into a finding.
scratch="build/fuzz-jpeg-input"
mkdir -p build
[ -d /dev/shm ] && scratch="/dev/shm/cae-fuzz-jpeg-$$"

node scripts/fuzz/jpeg-seeds.mjs "$work/seeds"
"${CXX:-g++}" -std=c++20 -O1 -g -march=x86-64-v3 -fsanitize=address,undefined -fno-sanitize-recover=all \
  -fno-omit-frame-pointer -I native -o "$work/jpeg" scripts/fuzz/jpeg.cc native/image/*.cc -ljpeg -lpthread
status=0
"$work/jpeg" "$work/seeds" "${1:-20000}" "${2:-1}" "$scratch" || status=$?
if [ "$status" -ne 0 ]; then
  mkdir -p fuzz-findings
  cp "$scratch" "fuzz-findings/jpeg-$$"
  printf 'the input is kept: fuzz-findings/jpeg-%s\n' "$$"
fi
rm -f "$scratch"
exit "$status"
