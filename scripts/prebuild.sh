#!/usr/bin/env bash
# Makes the packages that npm installs: binaries for Linux on x86-64, by prebuildify, and cae-native itself, which names
# the CPU's. That one holds a second binary, for CPUs with AVX-512. Tarballs go to OUT; sizes are printed, and a package
# too large for the registry is an error.
# usage: scripts/prebuild.sh [--arch LIST] [--out OUT] cpu|cuda12|cuda13|main...
#   --arch LIST   compute capabilities of the CUDA packages; default: 80;86;89;90;100;120+PTX
#   --out OUT     default: prebuilds
#   environment: CUDACXX, CUDAToolkit_ROOT: the CUDA toolkit to use; CAE_CUDA_LIBS: where cuBLAS's and cuDNN's headers
#   are, if the toolkit has none
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
root="$PWD"
usage='usage: scripts/prebuild.sh [--arch LIST] [--out OUT] cpu|cuda12|cuda13|main...'

fail() {
  printf 'prebuild: %s\n' "$1" >&2
  exit 1
}

arch='80;86;89;90;100;120+PTX'
out=prebuilds
packages=()
while [ $# -gt 0 ]; do
  case "$1" in
    --arch | --out)
      [ $# -ge 2 ] || fail "$usage"
      if [ "$1" = --arch ]; then arch="$2"; else out="$2"; fi
      shift
      ;;
    cpu | cuda12 | cuda13 | main) packages+=("$1") ;;
    *) fail "unknown argument $1; $usage" ;;
  esac
  shift
done
[ "${#packages[@]}" -gt 0 ] || fail "$usage"
[ "$(uname -sm)" = 'Linux x86_64' ] || fail "packages are made on Linux on x86-64; this is $(uname -sm)"
mkdir -p "$out"
out="$(cd "$out" && pwd)"

# nvcc of a CUDA version: what the environment names, else the usual places. Prints its path.
find_nvcc() {
  local major="$1" nvcc version named=''
  if [ -n "${CUDACXX:-}" ]; then named="$CUDACXX"; fi
  if [ -z "$named" ] && [ -n "${CUDAToolkit_ROOT:-}" ]; then named="$CUDAToolkit_ROOT/bin/nvcc"; fi
  local seen=''
  for nvcc in ${named:+"$named"} "/usr/local/cuda-$major/bin/nvcc" /usr/local/cuda/bin/nvcc "$(command -v nvcc || true)"; do
    [ -x "$nvcc" ] || continue
    version="$("$nvcc" --version | sed -n 's/.*release \([0-9.]*\),.*/\1/p')"
    if [ "${version%%.*}" = "$major" ]; then
      printf '%s\n' "$nvcc"
      return
    fi
    seen="; $nvcc is of CUDA $version"
    [ -z "$named" ] || break
  done
  fail "cuda$major needs nvcc of CUDA $major$seen; install that toolkit and name it: CUDACXX=/usr/local/cuda-$major/bin/nvcc, or CUDAToolkit_ROOT=/usr/local/cuda-$major"
}

# The registry has no published limit; it turns away bodies of some hundred megabytes, and a tarball travels a third
# larger than it is.
most_packed=$((64 << 20))
most_unpacked=$((256 << 20))

# pack FOLDER: packs a package into OUT, and judges its size.
pack() {
  local report
  report="$(cd "$1" && npm pack --json --ignore-scripts --pack-destination "$out")"
  node scripts/prebuild/sizes.mjs "$most_packed" "$most_unpacked" "$out" <<<"$report"
}

# prebuild VARIANT: in a shell of its own, since it sets the environment.
prebuild() (
  variant="$1" stage="$root/build-prebuilt/$1" options=(--CDCAE_PREBUILT=ON)
  if [ "$variant" = cpu ]; then
    export CAE_PREBUILD_AVX512=yes
  else
    CUDACXX="$(find_nvcc "${variant#cuda}")"
    export CUDACXX  # CMake finds the rest of the toolkit by it
    options+=(--CDCAE_CUDA=ON "--CDCAE_CUDA_ARCH=$arch")
  fi
  rm -rf "$stage/package"
  mkdir -p "$stage/package"
  # prebuildify would run node-gyp, which fetches Node's headers before it reads binding.gyp, and would take the addon
  # out of build/, where a local build lies. So it is given a folder of its own and, in node-gyp's place, our CMake build.
  CAE_PREBUILD_OPTIONS="$(printf '%s\n' "${options[@]}")" npx prebuildify --napi --strip --tag-libc --name cae-native \
    --target 20.17.0 --cwd "$stage" --out "$stage/package" --node-gyp "$root/scripts/prebuild/build.sh" >&2 ||
    fail "$variant does not build: see above"
  if [ "$variant" = cpu ]; then
    # In a folder of its own, which node-gyp-build does not look into.
    install -D -m 755 "$stage/build/avx512/Release/cae_native.node" \
      "$stage/package/prebuilds/linux-x64/avx512/cae-native.node"
    strip --strip-all "$stage/package/prebuilds/linux-x64/avx512/cae-native.node"
  fi
  node scripts/prebuild/manifest.mjs "$variant" "$stage/package"
  pack "$stage/package"
)

# cae-native itself, with the CPU's package of its own version: in the repository it would be asked of the registry
# before it is there.
pack_main() (
  stage="$root/build-prebuilt/main"
  rm -rf "$stage"
  mkdir -p "$stage"
  npm run --silent build:ts
  npm pack --silent --ignore-scripts --pack-destination "$stage" >/dev/null
  tar -xzf "$stage"/*.tgz -C "$stage"
  node scripts/prebuild/manifest.mjs main "$stage/package"
  pack "$stage/package"
)

for package in "${packages[@]}"; do
  if [ "$package" = main ]; then pack_main; else prebuild "$package"; fi
done
