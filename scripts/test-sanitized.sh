#!/usr/bin/env bash
# Builds the addon with AddressSanitizer and UndefinedBehaviorSanitizer into build-asan/ and runs the tests of the native
# core and of the data path against it.
# usage: scripts/test-sanitized.sh [ARGUMENT OF VITEST]...     default: test/native test/data
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

npx cmake-js build --out build-asan --CDCAE_SANITIZE=address,undefined
compiler="${CXX:-c++}"
libraries="$("$compiler" -print-file-name=libasan.so) $("$compiler" -print-file-name=libubsan.so)"

# Node itself is not instrumented: its runtime has to be there first, and what V8 never frees is no leak of ours. A small
# quarantine of freed blocks leaves the tests that bound memory their meaning.
[ "$#" -gt 0 ] || set -- test/native test/data
CAE_NATIVE_ADDON="$PWD/build-asan/Release/cae_native.node" \
  LD_PRELOAD="$libraries" \
  ASAN_OPTIONS="detect_leaks=0:abort_on_error=1:quarantine_size_mb=4:${ASAN_OPTIONS:-}" \
  UBSAN_OPTIONS="print_stacktrace=1:halt_on_error=1:${UBSAN_OPTIONS:-}" \
  exec npx vitest run --testTimeout 300000 --hookTimeout 300000 --no-file-parallelism "$@"
