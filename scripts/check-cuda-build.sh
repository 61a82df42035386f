#!/usr/bin/env bash
# Builds the addon with CUDA for one kind of GPU, as far as a machine without one goes: it must compile, link, load,
# say in one line that there is no driver, and compute on the CPU; nvcc's report must show no hot kernel that keeps
# registers in local memory. Without nvcc it says that this was left out, and where CI=true it fails.
# usage: scripts/check-cuda-build.sh [ARCH]     compute capability without the dot; default: 90
#   environment: CAE_CUDA_LIBS: folder with the headers of cuBLAS and cuDNN; else the system's, else they are fetched
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
arch="${1:-90}"
folder=build-cuda
addon="$PWD/$folder/Release/cae_native.node"

fail() {
  printf 'check-cuda-build: %s\n' "$1" >&2
  exit 1
}

nvcc="${CUDACXX:-$(command -v nvcc || echo /usr/local/cuda/bin/nvcc)}"
if [ ! -x "$nvcc" ]; then
  [ "${CI:-}" != true ] || fail 'nvcc is missing; install the CUDA toolkit (12 or 13), or name it: CUDACXX=/usr/local/cuda/bin/nvcc'
  printf 'check-cuda-build: left out: there is no nvcc here, so nothing shows that the CUDA addon compiles\n'
  exit
fi
export CUDACXX="$nvcc"
version="$("$nvcc" --version | sed -n 's/.*release \([0-9]*\)\..*/\1/p')"

# The libraries themselves are looked for at run time, and not needed here.
has_headers() { printf '#include <cublasLt.h>\n#include <cudnn.h>\n' | "$nvcc" -E -x c++ - >/dev/null 2>&1; }
if [ -z "${CAE_CUDA_LIBS:-}" ] && ! has_headers; then
  CAE_CUDA_LIBS="$PWD/.cache/cuda-headers-$version"
  # pip asks its usual place first, which some machines do not reach: not for long.
  [ -d "$CAE_CUDA_LIBS" ] || PIP_RETRIES=1 ./scripts/fetch-cuda-libs.sh "$CAE_CUDA_LIBS" "$version" --headers
fi

# Compiled anew, since the report on the kernels comes with that (from a compiler cache, too).
rm -rf "$folder/CMakeFiles/cae_backend.dir"
mkdir -p "$folder"
npx cmake-js build --out "$folder" --CDCAE_CUDA=ON "--CDCAE_CUDA_ARCH=$arch" "--CDCAE_CUDA_LIBS=${CAE_CUDA_LIBS:-}" \
  >"$folder/build.log" 2>&1 || { grep -v '^ptxas' "$folder/build.log" | tail -n 60 >&2; fail 'it does not build: see above'; }
./scripts/check-kernels.sh "$folder/build.log"

export CAE_NATIVE_ADDON="$addon"
report="$(node dist/cli/main.js doctor)" || true
grep -Eq "^cuda +CUDA $version" <<<"$report" || fail "the addon does not load; doctor says: $report"
step=(node dist/cli/main.js bench --model tiny --batch 2 --steps 1)
"${step[@]}" --device cpu >/dev/null || fail 'a step on the CPU fails: see above'
if ! ldconfig -p | grep -q libcuda.so.1; then
  said="$("${step[@]}" --device cuda 2>&1 >/dev/null)" && fail 'a step on a GPU that is not there succeeds'
  [[ "$said" =~ ^'cae-native: --device cuda: no NVIDIA driver was found; '[^$'\n']*$ ]] ||
    fail "--device cuda without a driver says something else: $said"
fi
printf 'check-cuda-build: CUDA %s for %s: compiles, links, loads and computes on the CPU\n' "$version" "$arch"
