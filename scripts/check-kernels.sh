#!/usr/bin/env bash
# Reads what nvcc made of the kernels: registers, stack and local memory of each. Fails where a hot kernel keeps
# anything in local memory (spilled registers, arrays indexed at run time): it would be several times slower.
# usage: scripts/check-kernels.sh [LOG]     LOG: of a CUDA build, to read; default: compile the kernels for sm_90
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

fail() {
  printf 'check-kernels: %s\n' "$1" >&2
  exit 1
}

command -v c++filt >/dev/null 2>&1 || fail 'c++filt is missing; install binutils'
if [ $# -gt 0 ]; then
  [ -f "$1" ] || fail "$1 is missing; make it with: npx cmake-js build --CDCAE_CUDA=ON > LOG 2>&1"
  c++filt <"$1" | node scripts/check-kernels.mjs
  exit
fi
nvcc="$(command -v nvcc || true)"
[ -n "$nvcc" ] || nvcc=/usr/local/cuda/bin/nvcc
[ -x "$nvcc" ] || fail 'nvcc is missing; install the CUDA toolkit'
work="$(mktemp -d)"
trap 'rm -rf "$work"' EXIT
compile='"$0" -std=c++20 --expt-relaxed-constexpr -O3 -gencode=arch=compute_90,code=sm_90 -Inative -cubin -Xptxas=-v \
  -o "$1/$(basename "$2").cubin" "$2" >"$1/$(basename "$2").log" 2>&1 || { cat "$1/$(basename "$2").log" >&2; exit 1; }'
printf '%s\0' native/cuda/*.cu | xargs -0 -P "$(nproc)" -n 1 bash -c "$compile" "$nvcc" "$work" ||
  fail 'a kernel does not compile: see above'
cat "$work"/*.log | c++filt | node scripts/check-kernels.mjs
