#!/usr/bin/env bash
# Installs what is missing, builds, lints and runs all tests, those of the CUDA kernels on an emulated device (on odd
# shapes under AddressSanitizer, too), builds the addon with CUDA as far as a machine without a GPU goes, and installs the
# CPU's package from its tarball. Its last line is `N passed, N failed`; a build, a lint, an emulated run or packages that
# fail count as one failed. Exits with 1 where anything failed.
# usage: scripts/test.sh [ARGUMENT OF VITEST]...
set -uo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.." || exit 1

work="$(mktemp -d)"
trap 'rm -rf "$work"' EXIT
report="$work/vitest.json"

finish() {
  printf '%d.%d minutes used\n' "$((SECONDS / 60))" "$((SECONDS % 60 / 6))"
  node scripts/test-counts.mjs "$report" "$@"
  exit
}

./scripts/install-deps.sh --checks || { printf '0 passed, 1 failed\n'; exit 1; }
# What several builds compile alike is compiled once.
if command -v ccache >/dev/null 2>&1; then
  export CMAKE_CXX_COMPILER_LAUNCHER=ccache CMAKE_CUDA_COMPILER_LAUNCHER=ccache
fi
npm run build || finish 0 1

# Tests run also where the linter complains: one run shows both.
npm run check
lint=$?
npx vitest run --reporter=default --reporter=json --outputFile.json="$report" "$@"
tests=$?
[ "$lint" -eq 0 ] || printf 'npm run check failed: see above\n'
further=()
if [ "$#" -eq 0 ]; then
  # check COMMAND...: says how long it took; a failure is counted, and the next one runs all the same.
  check() {
    local start=$SECONDS
    "$@"
    further+=("$?")
    printf '%s: %d s\n' "$*" "$((SECONDS - start))"
  }
  check ./scripts/test-emulated.sh
  check ./scripts/test-emulated.sh --asan test/cuda/{kernels,classify-kernels,fused-attention,residual-norm,optimizer,momentum}.test.ts
  check ./scripts/check-cuda-build.sh
  check ./scripts/check-packages.sh
fi
finish "$tests" "$lint" "${further[@]}"
