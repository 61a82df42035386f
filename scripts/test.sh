#!/usr/bin/env bash
# Installs what is missing, builds, lints and runs all tests, those of the CUDA kernels on an emulated device, and
# installs the CPU's package from its tarball. Its last line is `N passed, N failed`; a build, a lint, an emulated run or
# packages that fail count as one failed. Exits with 1 where anything failed.
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
npm run build || finish 0 1

# Tests run also where the linter complains: one run shows both.
npm run check
lint=$?
npx vitest run --reporter=default --reporter=json --outputFile.json="$report" "$@"
tests=$?
[ "$lint" -eq 0 ] || printf 'npm run check failed: see above\n'
emulated=0
packages=0
if [ "$#" -eq 0 ]; then
  ./scripts/test-emulated.sh test/cuda || emulated=$?
  ./scripts/check-packages.sh || packages=$?
fi
finish "$tests" "$lint" "$emulated" "$packages"
