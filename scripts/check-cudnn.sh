#!/usr/bin/env bash
# Asks cuDNN itself, on a machine without a GPU, whether it has a kernel for every graph that the CUDA backend gives it:
# attention and its gradients, with a bias and without, and the tokenizer's convolutions. The graphs are planned (for GPUs
# that are only described) and compiled, not run. Half a minute a capability.
# usage: scripts/check-cudnn.sh [CAPABILITY]...     default: 90; as in: scripts/check-cudnn.sh 80 86 89 90 100 120
# Needs the CUDA toolkit's headers, a compiler, and cuDNN 9.8 or newer: CAE_CUDA_LIBS=DIR of scripts/fetch-cuda-libs.sh
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

fail() {
  printf 'check-cudnn: %s\n' "$1" >&2
  exit 1
}

libs="${CAE_CUDA_LIBS:-}/nvidia"
[ -f "$libs/cudnn/lib/libcudnn.so.9" ] ||
  fail 'cuDNN is missing; scripts/fetch-cuda-libs.sh DIR fetches it, then: CAE_CUDA_LIBS=DIR scripts/check-cudnn.sh'
nvcc="${CUDACXX:-$(command -v nvcc || echo /usr/local/cuda/bin/nvcc)}"
[ -x "$nvcc" ] || fail 'nvcc is missing; install the CUDA toolkit, or name it: CUDACXX=/usr/local/cuda/bin/nvcc'
header="$(printf '#include <cuda.h>\n' | "$nvcc" -M -x c++ - | grep -oE '/[^ ]*/cuda\.h' | head -n 1)"
[ -f "$header" ] || fail "$nvcc finds no cuda.h; install the whole CUDA toolkit"
work="$(mktemp -d)"
trap 'rm -rf "$work"' EXIT

# In the driver's place: a library in which every call fails but those that load a compiled kernel.
{
  loads='cuLibraryLoadData cuLibraryGetKernel cuKernelGetFunction cuModuleLoadData cuModuleLoadDataEx cuModuleGetFunction'
  accepts='cuKernelSetAttribute cuFuncSetAttribute cuLibraryUnload cuModuleUnload'
  links='cuLinkCreate cuLinkAddData cuLinkAddFile cuLinkComplete cuLinkDestroy'
  for name in $loads; do printf 'int %s(void** made) { static int any; *made = &any; return 0; }\n' "$name"; done
  for name in $accepts; do printf 'int %s(void) { return 0; }\n' "$name"; done
  printf 'int cuDriverGetVersion(int* version) { *version = 13000; return 0; }\n'
  # Names as the header says them, and with the _v2 that it gives to some of them.
  { grep -oE 'CUDAAPI cu[A-Z][A-Za-z0-9_]*' "$header" | cut -d' ' -f2; printf '%s\n' $links; } |
    sed -E 'p; /_v[0-9]+$/d; s/$/_v2/' | sort -u |
    grep -vxE "$(tr ' ' '|' <<<"$loads $accepts")|cuDriverGetVersion" |
    sed 's/.*/int &(void) { return 100; }/'
} >"$work/driver.c"
mkdir "$work/driver"
"${CC:-gcc}" -w -shared -fPIC -o "$work/driver/libcuda.so.1" "$work/driver.c"

"${CXX:-g++}" -std=c++20 -O1 -Wall -Wextra -Inative -isystem "$(dirname "$header")" -isystem "$libs/cudnn/include" \
  scripts/cudnn-plans/plans.cc native/cuda/{attention_graphs,cudnn_graph,fused_attention,fused_convolution,graph_builder}.cc \
  native/core/{allocator,allocator_report,dtype}.cc -o "$work/plans" -Wl,--allow-shlib-undefined \
  "$libs"/cudnn/lib/libcudnn{,_graph,_cnn,_ops}.so.9
[ "$#" -gt 0 ] || set -- 90
LD_LIBRARY_PATH="$work/driver:$libs/cudnn/lib:$libs/cu13/lib:$libs/cublas/lib:${LD_LIBRARY_PATH:-}" "$work/plans" "$@"
