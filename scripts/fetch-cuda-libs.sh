#!/usr/bin/env bash
# Fetches cuBLAS, cuDNN (with NVRTC, by which it compiles some of its kernels) and NCCL with their headers from their
# Python wheels (2 GB), for systems whose CUDA toolkit comes without them, or that have no toolkit. Then:
# CAE_CUDA_LIBS=DIR, for the build and for every run.
# usage: scripts/fetch-cuda-libs.sh DIR [12|13] [--headers]     the CUDA toolkit's major version; default: nvcc's
#   --headers   keeps only what the build reads (2 MB), not what a run needs
set -euo pipefail

fail() {
  printf 'fetch-cuda-libs: %s\n' "$1" >&2
  exit 1
}

usage='usage: scripts/fetch-cuda-libs.sh DIR [12|13] [--headers]'
folder='' major='' headers=no
for argument in "$@"; do
  case "$argument" in
    --headers) headers=yes ;;
    -*) fail "unknown argument $argument; $usage" ;;
    *) if [ -z "$folder" ]; then folder="$argument"; elif [ -z "$major" ]; then major="$argument"; else fail "$usage"; fi ;;
  esac
done
[ -n "$folder" ] || fail "$usage"
[ -n "$major" ] || major="$(nvcc --version 2>/dev/null | sed -n 's/.*release \([0-9]*\)\..*/\1/p')"
case "$major" in
  12) packages=(nvidia-cublas-cu12 nvidia-cudnn-cu12 nvidia-cuda-nvrtc-cu12 nvidia-nccl-cu12) ;;
  13) packages=(nvidia-cublas nvidia-cudnn-cu13 nvidia-cuda-nvrtc nvidia-nccl-cu13) ;;
  '') fail 'nvcc was not found; name the major version of CUDA: scripts/fetch-cuda-libs.sh DIR 13' ;;
  *) fail "CUDA $major is not supported; give 12 or 13" ;;
esac
python="${PYTHON:-python3}"
"$python" -m pip --version >/dev/null 2>&1 || fail "$python has no pip; install python3-pip, or name another: PYTHON=…"
pip() { "$python" -m pip "$@" --quiet --disable-pip-version-check --no-deps; }

if [ "$headers" = yes ]; then
  packages=("${packages[@]:0:2}")
  work="$(mktemp -d)"
  trap 'rm -rf "$work"' EXIT
  pip download --dest "$work/wheels" "${packages[@]}" || fail "pip could not download ${packages[*]}"
  "$python" - "$work" <<'PYTHON'
import pathlib
import sys
import zipfile

work = pathlib.Path(sys.argv[1])
for wheel in (work / "wheels").glob("*.whl"):
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(work / "headers", [name for name in archive.namelist() if "/include/" in name])
PYTHON
  mkdir -p "$folder"
  cp -r "$work/headers/." "$folder"
else
  mkdir -p "$folder"
  pip install --upgrade --target "$folder" "${packages[@]}" || fail "pip could not install ${packages[*]}"
fi
printf 'fetch-cuda-libs: done; set CAE_CUDA_LIBS=%s\n' "$(cd "$folder" && pwd)"
