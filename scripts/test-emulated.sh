#!/usr/bin/env bash
# Builds the addon with an emulated CUDA device and runs the tests of kernels, ops, layers and golden numbers on it: the
# CUDA backend's own kernels, without a GPU. With --asan, AddressSanitizer watches every access of every kernel.
# usage: scripts/test-emulated.sh [--asan] [ARGUMENT OF VITEST]...     as in: scripts/test-emulated.sh --asan test/cuda
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

folder=build-emulated
options=(--CDCAE_CUDA_EMULATE=ON)
run=()
if [ "${1:-}" = --asan ]; then
  shift
  folder=build-emulated-asan
  options+=(--CDCAE_SANITIZE_BACKEND=address)
  # Node itself is built without the sanitizer, so its runtime is loaded first; what node never frees is no finding.
  run=(env "LD_PRELOAD=$("${CXX:-g++}" -print-file-name=libasan.so)" ASAN_OPTIONS=detect_leaks=0:halt_on_error=1)
fi
npx cmake-js build --out "$folder" "${options[@]}"
export CAE_NATIVE_ADDON="$PWD/$folder/Release/cae_native.node"
exec "${run[@]+"${run[@]}"}" node node_modules/vitest/vitest.mjs run --config vitest.cuda.config.ts "$@"
