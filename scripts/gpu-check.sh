#!/usr/bin/env bash
# Everything that can be checked on a machine with an NVIDIA GPU: builds for it, runs the tests of ops, layers and golden
# numbers on it, the golden numbers in fp32, bf16 and fp16, the kernels under compute-sanitizer, and the benchmark.
# Leaves logs, results.json and results.md in OUT; exits with 1 where a check failed.
# usage: scripts/gpu-check.sh [OUT]     default: build-gpu/check
# Needs CUDA (nvcc and a driver), CMake, a compiler and Node; cuBLAS and cuDNN of the system or of CAE_CUDA_LIBS.
# CAE_FIXTURES names the folder of golden numbers, where it is not the tests' own.
set -uo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.." || exit 1
out="${1:-build-gpu/check}"
mkdir -p "$out"
failed=0
rows=()

# check NAME COMMAND...: runs it, its output into a log; a line of the table says how it went.
check() {
  local name="$1" log start state=passed
  shift
  log="$out/${name// /-}.log"
  start=$SECONDS
  if ! "$@" >"$log" 2>&1; then
    state=failed
    failed=$((failed + 1))
  fi
  printf '%-28s %-7s %5d s  %s\n' "$name" "$state" "$((SECONDS - start))" "$log"
  rows+=("$name|$state|$((SECONDS - start))")
}

command -v nvidia-smi >/dev/null 2>&1 || { printf 'gpu-check: nvidia-smi is missing; install the NVIDIA driver\n' >&2; exit 1; }
device="$(nvidia-smi --query-gpu=name,driver_version,compute_cap --format=csv,noheader | head -n 1)"
arch="$(cut -d, -f3 <<<"$device" | tr -d ' .')"
printf 'device: %s\n' "$device"

check build npx cmake-js build --out build-gpu "--CDCAE_CUDA=ON" "--CDCAE_CUDA_ARCH=$arch"
check build-ts npm run build:ts
export CAE_NATIVE_ADDON="$PWD/build-gpu/Release/cae_native.node"
check kernels-resources scripts/check-kernels.sh
check tests npx vitest run --config vitest.cuda.config.ts
fixtures="${CAE_FIXTURES:-test/fixtures}"
for precision in fp32 bf16 fp16; do
  check "parity-$precision" node dist/cli/main.js parity --device cuda --precision "$precision" "$fixtures"/cae_step*.safetensors
done
check parity-tokenizers node dist/cli/main.js parity --device cuda "$fixtures"/{dalle_dvae,discrete_vae}.safetensors
sanitizer="$(command -v compute-sanitizer || echo /usr/local/cuda/bin/compute-sanitizer)"
for tool in memcheck racecheck; do
  check "$tool" "$sanitizer" --tool "$tool" --error-exitcode 9 --target-processes all \
    node node_modules/vitest/vitest.mjs run --config vitest.cuda.config.ts test/cuda/kernels.test.ts test/cuda/optimizer.test.ts
done
: >"$out/bench.jsonl"
for model in base large; do
  for batch in 64 256; do
    check "bench-$model-$batch" node dist/cli/main.js bench --device cuda --model "$model" --batch "$batch" --precision bf16 --steps 20
    grep '^{' "$out/bench-$model-$batch.log" >>"$out/bench.jsonl"
  done
done

{
  printf '# GPU check\n\n%s, %s\n\n| check | result | seconds |\n| --- | --- | ---: |\n' "$device" "$(date -u +%F)"
  for row in "${rows[@]}"; do printf '| %s |\n' "${row//|/ | }"; done
  printf '\n```\n'
  cat "$out/bench.jsonl"
  printf '```\n'
} >"$out/results.md"
printf '%s\n' "${rows[@]}" | node -e '
  const { readFileSync } = require("node:fs");
  const checks = readFileSync(0, "utf8").trim().split("\n").map((row) => {
    const [name, result, seconds] = row.split("|");
    return { name, result, seconds: Number(seconds) };
  });
  const bench = readFileSync(process.argv[2], "utf8").trim().split("\n").filter(Boolean).map((line) => JSON.parse(line));
  console.log(JSON.stringify({ device: process.argv[1], checks, bench }, null, 2));
' "$device" "$out/bench.jsonl" >"$out/results.json"
printf '%d failed; %s/results.md, %s/results.json\n' "$failed" "$out" "$out"
[ "$failed" -eq 0 ]
