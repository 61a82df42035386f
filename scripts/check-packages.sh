#!/usr/bin/env bash
# Installs the packages of scripts/prebuild.sh from their tarballs into an empty folder, as a user does, and runs
# `cae-native doctor` and a small training there: the CPU package with libraries of its own only, and, where its tarball
# is there, the CUDA package as far as a machine without a driver goes. Makes the tarballs of main and cpu first.
# usage: scripts/check-packages.sh [TARBALLS]     default: prebuilds
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
root="$PWD"
tarballs="${1:-prebuilds}"
mkdir -p "$tarballs"
tarballs="$(cd "$tarballs" && pwd)"
version="$(node -p 'require("./package.json").version')"
work="$(mktemp -d)"
trap 'rm -rf "$work"' EXIT
trained=''
# What this shell has set up for a checkout means nothing there.
unset CAE_NATIVE_ADDON CAE_NATIVE_VARIANT CAE_CUDA_DRIVER CAE_CUDA_LIBS LD_LIBRARY_PATH NODE_PATH

fail() {
  printf 'check-packages: %s\n' "$1" >&2
  exit 1
}

# holds TEXT PATTERN WHAT: fails unless the text has a line of the pattern.
holds() {
  grep -Eq -- "$2" <<<"$1" || fail "$3; found:
$1"
}

cae() { "$work/app/node_modules/.bin/cae-native" "$@"; }

# refused PATTERN COMMAND...: the command must fail, in one line of the pattern.
refused() {
  local pattern="$1" said
  shift
  if said="$(cae "$@" 2>&1 >/dev/null)"; then fail "this was to fail: cae-native $*"; fi
  [ "$(wc -l <<<"$said")" -eq 1 ] || fail "more than one line from cae-native $*: $said"
  holds "$said" "$pattern" "cae-native $* says something else"
}

install_packages() {
  rm -rf "$work/app"
  mkdir "$work/app"
  printf '{"private":true}\n' >"$work/app/package.json"
  # The dependencies from npm's cache, where they are in it.
  (cd "$work/app" && npm install --silent --prefer-offline --no-audit --no-fund "$@" >&2) || fail 'npm install failed'
}

# Small enough for seconds: 64-pixel pictures in an 8 x 8 grid, one epoch. Leaves its log's last line in `trained`.
train() {
  cae train-tokenizer --data_path "$work/data/train" --output_dir "$work/tokenizer" --image_size 64 --num_tokens 16 \
    --dvae_num_layers 3 --num_resnet_blocks 1 --hidden_dim 8 --codebook_dim 8 --epochs 1 --batch_size 8 "$@" \
    >"$work/log" 2>&1 || fail "train-tokenizer failed ($?): $(tail -n 5 "$work/log")"
  cae pretrain --data_path "$work/data/train" --output_dir "$work/pretrain" --exp_name small \
    --model cae_tiny_patch16_224_8k_vocab --input_size 64 --patch_size 8 --second_input_size 64 --embed_dim 32 \
    --depth 2 --num_heads 2 --regressor_depth 1 --decoder_depth 1 --decoder_embed_dim 32 --decoder_num_heads 2 \
    --decoder_num_classes 16 --num_mask_patches 16 --min_mask_patches_per_block 4 --discrete_vae_type customized \
    --discrete_vae_weight_path "$work/tokenizer" --batch_size 8 --epochs 1 --warmup_epochs 0 "$@" \
    >"$work/log" 2>&1 || fail "pretrain failed ($?): $(tail -n 5 "$work/log")"
  [ -f "$work/pretrain/small_checkpoint-0/model.safetensors" ] || fail 'pretrain wrote no checkpoint'
  trained="$(tail -n 1 "$work/pretrain/log.txt")"
  rm -rf "$work/tokenizer" "$work/pretrain"
}

./scripts/prebuild.sh --out "$tarballs" cpu main
node scripts/sample-data.mjs "$work/data" --images 32 >/dev/null

cpu="$tarballs/cae-native-linux-x64-cpu-$version.tgz"
main="$tarballs/cae-native-$version.tgz"
for tarball in "$cpu" "$main"; do
  scripts="$(tar -xOzf "$tarball" package/package.json |
    node -p 'Object.keys(JSON.parse(require("node:fs").readFileSync(0, "utf8")).scripts ?? {}).join()')"
  if grep -Eq '(pre|post)?install|prepare' <<<"$scripts"; then fail "$tarball has an install script: $scripts"; fi
done
named="$(tar -xOzf "$main" package/package.json |
  node -p 'JSON.stringify(JSON.parse(require("node:fs").readFileSync(0, "utf8")).optionalDependencies)')"
[ "$named" = "{\"@cae-native/linux-x64-cpu\":\"$version\"}" ] || fail "cae-native's optionalDependencies are $named"

install_packages "$main" "$cpu"
report="$(cae doctor)" || fail "doctor failed: $report"
holds "$report" '^addon +@cae-native/linux-x64-cpu is used$' 'the CPU package is not used'
holds "$report" '^result +ready$' 'doctor finds something missing'
# Of the package's two binaries, the one for this CPU.
binaries="$work/app/node_modules/@cae-native/linux-x64-cpu/prebuilds/linux-x64"
[ -f "$binaries/avx512/cae-native.node" ] || fail 'the CPU package holds no binary for AVX-512'
level=x86-64-v3
if grep -q '^flags.* avx512bw.* avx512vl' /proc/cpuinfo; then level=x86-64-v4; fi
holds "$report" "^cpu +$level;" "not the binary for $level is used"
report="$(CAE_NATIVE_ADDON="$binaries/cae-native.glibc.node" cae doctor)" || fail "doctor failed: $report"
holds "$report" '^cpu +x86-64-v3;' 'the binary for AVX2 does not load'
beside="$(ldd "$binaries/avx512/cae-native.node" | grep 'libdnnl\.')"
holds "$beside" "=> $binaries/" 'the binary for AVX-512 does not find the libraries of the package'
# Every library of the process is Node's own, the C and C++ libraries', or the package's: oneDNN need not be installed.
foreign="$(cd "$work/app" && node --input-type=module -e '
  import { readFileSync } from "node:fs";
  await import("cae-native");
  const paths = new Set(readFileSync("/proc/self/maps", "utf8").match(/\/\S*\.so[.\d]*$/gm));
  const system = /\/(ld-linux-x86-64|lib(c|m|dl|rt|pthread|resolv|gcc_s|stdc\+\+))\.so[.\d]*$/;
  console.log([...paths].filter((path) => !system.test(path) && !path.includes("/node_modules/")).join(" "));')"
[ -z "$foreign" ] || fail "the CPU package loads libraries of the system: $foreign"
train
printf 'check-packages: cpu: installed, no library of the system is needed; a small training: %s\n' "$trained"

rm -r "$work/app/node_modules/@cae-native"
refused "^cae-native: the native addon is missing: build/Release/.* is not built \(npm run build\); .*@cae-native/linux-x64-cpu \
is not installed \(npm install @cae-native/linux-x64-cpu@$version\)\$" bench

cuda="$tarballs/cae-native-linux-x64-cuda13-$version.tgz"
if [ ! -f "$cuda" ]; then
  printf 'check-packages: cuda13: %s is not there; scripts/prebuild.sh cuda13 makes it\n' "$cuda"
  exit 0
fi
install_packages "$main" "$cpu" "$cuda"
pictures=(pretrain --data_path "$work/data/train" --output_dir "$work/none" --discrete_vae_weight_path "$work/none"
  --batch_size 8)
if ldconfig -p | grep -q libcuda.so.1; then
  holds "$(cae doctor)" '^addon +@cae-native/linux-x64-cuda13 is used$' 'the CUDA package is not used'
else
  holds "$(cae doctor)" '^addon +@cae-native/linux-x64-cuda13 no NVIDIA driver was found; ' 'the missing driver is not seen'
  holds "$(cae doctor)" '^addon +@cae-native/linux-x64-cpu is used$' 'the CPU package is not used'
  refused '^cae-native: --device cuda: no NVIDIA driver was found' "${pictures[@]}" --device cuda
  export CAE_NATIVE_VARIANT=cuda13
  report="$(cae doctor)" || fail "doctor failed: $report"
  holds "$report" '^cuda +CUDA 13' 'the CUDA package does not load'
  holds "$report" '^ +no NVIDIA driver was found; ' 'the missing driver is not told'
  refused '^cae-native: --device cuda: no NVIDIA driver was found; install one ' "${pictures[@]}" --device cuda
  train
  printf 'check-packages: cuda13 without a driver: loads, says so; a small training on the CPU: %s\n' "$trained"
  unset CAE_NATIVE_VARIANT

  # Libraries in a driver's place: one of an older driver, one that crashes.
  mkdir "$work/old" "$work/crash"
  compile() { "${CXX:-g++}" -shared -fPIC -x c - -o "$work/$1/libcuda.so.1"; }
  compile old <<<'int cuDriverGetVersion(int* version) { *version = 12040; return 0; }'
  compile crash <<<'__attribute__((constructor)) static void crash(void) { __builtin_trap(); }'
  report="$(LD_LIBRARY_PATH="$work/old" cae doctor)"
  holds "$report" 'linux-x64-cuda13 the NVIDIA driver is too old: it supports CUDA 12.4, this package needs 13.0' \
    'an old driver is not seen'
  holds "$report" '^addon +@cae-native/linux-x64-cpu is used$' 'the CPU package is not used'
  export LD_LIBRARY_PATH="$work/old" CAE_NATIVE_VARIANT=cuda13
  refused '^cae-native: --device cuda: the NVIDIA driver is too old: it supports CUDA 12.4, this build needs 13.0; ' \
    "${pictures[@]}" --device cuda
  unset LD_LIBRARY_PATH CAE_NATIVE_VARIANT
  report="$(LD_LIBRARY_PATH="$work/crash" cae doctor)" || fail 'a driver that crashes takes the program along'
  holds "$report" 'linux-x64-cuda13 the probe of the NVIDIA driver ended with SIG' 'a crash is not seen'
  holds "$report" '^addon +@cae-native/linux-x64-cpu is used$' 'the CPU package is not used'
  printf 'check-packages: cuda13 with an old driver and with one that crashes: the CPU package is used\n'
fi
