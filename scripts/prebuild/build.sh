#!/usr/bin/env bash
# What prebuildify runs in place of node-gyp, in the folder that it takes build/Release/*.node and *.so.N from: our CMake
# build, with the options of CAE_PREBUILD_OPTIONS (one a line), and copies of the libraries that the addon is linked
# with and other machines may lack. With CAE_PREBUILD_AVX512=yes, a second addon for CPUs with AVX-512 in
# build/avx512/Release.
# usage: scripts/prebuild/build.sh rebuild [OPTION OF NODE-GYP]...
set -euo pipefail
root="$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)"
build="$PWD/build"

fail() {
  printf 'prebuild: %s\n' "$1" >&2
  exit 1
}

[ "${1:-}" = rebuild ] || fail "prebuildify calls this with rebuild, not with ${1:-nothing}"
mapfile -t options <<<"${CAE_PREBUILD_OPTIONS:-}"
cd "$root"
node_modules/.bin/cmake-js build --out "$build" "${options[@]}"
addons=(cae_native.node)
if [ "${CAE_PREBUILD_AVX512:-no}" = yes ]; then
  node_modules/.bin/cmake-js build --out "$build/avx512" "${options[@]}" --CDCAE_CPU_ARCH=x86-64-v4
  addons+=(../avx512/Release/cae_native.node)
fi

# Node itself needs the C and C++ libraries. dnnl's own libraries are among what ldd prints.
cd "$build/Release"
rm -f -- *.so.* third-party.txt glibc.txt
libraries="$(LD_LIBRARY_PATH='' ldd cae_native.node)"
! grep 'not found' <<<"$libraries" || fail 'the addon lacks the libraries above'
: >third-party.txt
while read -r name _ path _; do
  case "$name" in
    linux-vdso.so.* | */ld-linux* | libc.so.* | libm.so.* | libdl.so.* | librt.so.* | libpthread.so.* | libgcc_s.so.* | libstdc++.so.*) ;;
    *)
      cp -L "$path" "$name"
      chmod 644 "$name"
      printf '%s\t%s\n' "$name" "$(readlink -f "$path")" >>third-party.txt
      ;;
  esac
done <<<"$libraries"
# The oldest C library that has all that they ask for.
objdump -T "${addons[@]}" ./*.so.* | grep -o 'GLIBC_[0-9.]*' | sort -Vu | tail -n 1 | cut -d_ -f2 >glibc.txt
