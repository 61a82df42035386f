#!/usr/bin/env bash
# Checks the C++ half: formatting by clang-format, then clang-tidy on every file of the current build.
# usage: scripts/check-cpp.sh [--fix]     --fix: format the files in place instead
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

fail() {
  printf 'check-cpp: %s\n' "$1" >&2
  exit 1
}

need() { command -v "$1" >/dev/null 2>&1 || fail "$1 is missing; run scripts/install-deps.sh --checks"; }

mapfile -d '' -t files < <(find native -type f \( -name '*.h' -o -name '*.cc' -o -name '*.cu' -o -name '*.cuh' \) -print0 | sort -z)
[ "${#files[@]}" -gt 0 ] || fail 'no C++ files under native/; run it in a whole checkout'

need clang-format
case "${1:-}" in
  '') ;;
  --fix)
    clang-format -i "${files[@]}"
    printf 'check-cpp: formatted %d files\n' "${#files[@]}"
    exit 0
    ;;
  *) fail "unknown argument $1; usage: scripts/check-cpp.sh [--fix]" ;;
esac

# One line a file; what differs is seen best by formatting it.
unformatted=0
for file in "${files[@]}"; do
  if ! clang-format --dry-run -Werror "$file" 2>/dev/null; then
    printf 'check-cpp: %s: formatting differs\n' "$file" >&2
    unformatted=$((unformatted + 1))
  fi
done
[ "$unformatted" -eq 0 ] || fail "$unformatted files are not formatted; run scripts/check-cpp.sh --fix"
printf 'check-cpp: clang-format: %d files are as they should be\n' "${#files[@]}"

need clang-tidy
database=build/compile_commands.json
[ -f "$database" ] || fail "clang-tidy needs $database; run npm run build first"

# Only what the build compiles can be linted: the flags come from it.
in_database="$(node -e '
  const { readFileSync } = require("node:fs");
  const { resolve, relative } = require("node:path");
  for (const { directory, file } of JSON.parse(readFileSync(process.argv[1], "utf8"))) {
    console.log(relative(".", resolve(directory, file)));
  }' "$database" | sort -u)"
linted=()
for file in "${files[@]}"; do
  [ "${file##*.}" = cc ] || continue
  if grep -Fxq -- "$file" <<<"$in_database"; then
    linted+=("$file")
  else
    printf 'check-cpp: %s is no part of this build, so clang-tidy leaves it out\n' "$file"
  fi
done
[ "${#linted[@]}" -gt 0 ] || fail "$database names no file under native/; run npm run build again"

# A file's findings are printed in one piece; the flags of g++ that clang does not know are none.
lint_one='output="$(clang-tidy -p build --quiet --extra-arg=-Wno-unknown-warning-option \
  --extra-arg=-Wno-ignored-optimization-argument "$0" 2>&1)" || { printf "%s\n" "$output"; exit 1; }'
printf '%s\0' "${linted[@]}" | xargs -0 -P "$(nproc)" -n 1 bash -c "$lint_one" ||
  fail 'clang-tidy found the above'
printf 'check-cpp: clang-tidy: %d files are clean\n' "${#linted[@]}"
