#!/usr/bin/env bash
# Fetches cuBLAS, cuDNN (with NVRTC, by which it compiles some of its kernels) and NCCL with their headers from their
# Python wheels (2 GB), for systems whose CUDA toolkit comes without them, or that have no toolkit. Then:
# CAE_CUDA_LIBS=DIR, for the build and for every run.
# usage: scripts/fetch-cuda-libs.sh DIR [12|13]     the CUDA toolkit's major version; default: nvcc's
set -euo pipefail

fail() {
  printf 'fetch-cuda-libs: %s\n' "$1" >&2
  exit 1
}

[ $# -ge 1 ] && [ $# -le 2 ] || fail 'usage: scripts/fetch-cuda-libs.sh DIR [12|13]'
folder="$1"
major="${2:-$(nvcc --version 2>/dev/null | sed -n 's/.*release \([0-9]*\)\..*/\1/p')}"
case "$major" in
  12) packages=(nvidia-cublas-cu12 nvidia-cudnn-cu12 nvidia-cuda-nvrtc-cu12 nvidia-nccl-cu12) ;;
  13) packages=(nvidia-cublas nvidia-cudnn-cu13 nvidia-cuda-nvrtc nvidia-nccl-cu13) ;;
  '') fail 'nvcc was not found; name the major version of CUDA: scripts/fetch-cuda-libs.sh DIR 13' ;;
  *) fail "CUDA $major is not supported; give 12 or 13" ;;
esac
python="${PYTHON:-python3}"
"$python" -m pip --version >/dev/null 2>&1 || fail "$python has no pip; install python3-pip, or name another: PYTHON=…"
mkdir -p "$folder"
"$python" -m pip install --quiet --disable-pip-version-check --no-deps --upgrade --target "$folder" "${packages[@]}" ||
  fail "pip could not install ${packages[*]}"
printf 'fetch-cuda-libs: done; set CAE_CUDA_LIBS=%s\n' "$(cd "$folder" && pwd)"
