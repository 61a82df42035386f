#!/usr/bin/env bash
# Installs what the build needs and this machine lacks; does nothing, quickly, where all is there.
# usage: scripts/install-deps.sh [--checks]     --checks: also the formatter and linter of the C++ half, and a compiler cache
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

fail() {
  printf 'install-deps: %s\n' "$1" >&2
  exit 1
}

have() { command -v "$1" >/dev/null 2>&1; }

checks=no
for argument in "$@"; do
  case "$argument" in
    --checks) checks=yes ;;
    *) fail "unknown argument $argument; usage: scripts/install-deps.sh [--checks]" ;;
  esac
done

# Distributions package a Node too old for us as often as not, so it is asked for rather than installed.
node_help='install Node.js 20.17 or newer with npm (https://nodejs.org/en/download, or: nvm install 20)'
have node || fail "node is missing; $node_help"
node -e 'const [a, b] = process.versions.node.split(".").map(Number); process.exit(a > 20 || (a === 20 && b >= 17) ? 0 : 1)' ||
  fail "node $(node --version) is too old; $node_help"
have npm || fail "npm is missing; $node_help"

cxx="${CXX:-g++}"
jpeg_package=libjpeg62-turbo-dev
if [ -r /etc/os-release ] && grep -Eq '^ID(_LIKE)?=.*ubuntu' /etc/os-release; then
  jpeg_package=libjpeg-turbo8-dev
fi

# Headers are asked of the compiler, which knows of installations outside the package manager too.
# (A here-document, not a pipe: a compiler that stops before reading would fail the pipe's writer too.)
has_header() {
  "$cxx" -E -x c++ - >/dev/null 2>&1 <<EOF
#include <stdio.h>
#include <$1>
EOF
}

packages=()
find_missing() {
  packages=()
  have "$cxx" || packages+=(g++)
  have cmake || packages+=(cmake)
  have make || have ninja || packages+=(make)
  # Without a compiler to ask, the packages are installed along with it.
  has_header oneapi/dnnl/dnnl.hpp || packages+=(libdnnl-dev)
  has_header jpeglib.h || packages+=("$jpeg_package")
  if [ "$checks" = yes ]; then
    have clang-format || packages+=(clang-format)
    have clang-tidy || packages+=(clang-tidy)
    have ccache || packages+=(ccache)
    # clang-tidy reads OpenMP's header, which comes apart from it.
    compgen -G '/usr/lib/llvm-*/lib/clang/*/include/omp.h' >/dev/null || packages+=(libomp-dev)
  fi
}

find_missing
if [ "${#packages[@]}" -gt 0 ]; then
  command_line="apt-get install -y --no-install-recommends ${packages[*]}"
  by_hand="missing: ${packages[*]}; install them with: sudo apt-get update && sudo $command_line (or your system's packages of the same libraries)"
  have apt-get || fail "$by_hand"
  as_root=()
  if [ "$(id -u)" -ne 0 ]; then
    have sudo || fail "$by_hand"
    # A password can be asked for on a terminal only.
    if [ ! -t 0 ] && ! sudo -n true 2>/dev/null; then fail "$by_hand"; fi
    as_root=(sudo)
  fi
  printf 'install-deps: installing %s\n' "${packages[*]}" >&2
  export DEBIAN_FRONTEND=noninteractive
  ${as_root[@]+"${as_root[@]}"} apt-get update -qq >&2 || fail "apt-get update failed; $by_hand"
  # shellcheck disable=SC2086  # one word a package
  ${as_root[@]+"${as_root[@]}"} $command_line -qq >&2 || fail "apt-get install failed; $by_hand"
  find_missing
  [ "${#packages[@]}" -eq 0 ] || fail "still missing after installing: ${packages[*]}; $by_hand"
fi

version="$("$cxx" -dumpfullversion -dumpversion)"
case "$("$cxx" --version)" in
  *clang*) ;; # counts its versions differently; CMake judges it
  *)
    [ "${version%%.*}" -ge 12 ] ||
      fail "$cxx $version is too old for C++20; install g++ 12 or newer and name it: CXX=g++-12"
    ;;
esac

# `npm ci` deletes and reinstalls everything, so it runs only where what is installed differs from the lock file.
installed_matches_lock() {
  [ -f node_modules/.package-lock.json ] && node -e '
    const read = (path) => JSON.parse(require("node:fs").readFileSync(path, "utf8")).packages;
    const [wanted, installed] = [read("package-lock.json"), read("node_modules/.package-lock.json")];
    // The lock file also lists packages of other platforms; those are optional and not installed.
    const differs = Object.entries(wanted).some(([path, { version, optional }]) =>
      path !== "" && (installed[path] ? installed[path].version !== version : !optional));
    process.exit(differs ? 1 : 0);'
}
if ! installed_matches_lock; then
  printf 'install-deps: npm ci\n' >&2
  # Without scripts: for a folder with a binding.gyp, npm would build the addon here, and the build would do it again.
  npm ci --ignore-scripts --no-audit --no-fund >&2 || fail 'npm ci failed: mend what it says above and run this again'
fi
