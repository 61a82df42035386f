#!/usr/bin/env bash
# Everything that can be checked on a machine with an NVIDIA GPU. Leaves logs, results.json and results.md in OUT; what
# earlier runs left there stays in the results, so the parts can be run one by one. Exits with 1 where a check failed.
# usage: scripts/gpu-check.sh [OUT [PART...]]     default: build-gpu/check, and all parts in this order:
#   build       the addon for this GPU, the TypeScript; nvcc's report on the kernels
#   tests       ops, layers, models and golden numbers on the GPU
#   parity      every golden file in fp32, bf16 and fp16
#   curves      200 steps in bf16 and fp16 beside fp32, 50 steps of fp32 beside PyTorch
#   sanitizer   the kernels under compute-sanitizer's memcheck and racecheck
#   kernels     each kernel against the measured bandwidth of copies and rate of products
#   idle        the GPU's idle time in a steady step (needs nsys)
#   compare     the step beside PyTorch, as the reference runs it and at its best; compare-base, compare-base-256: less
# Needs CUDA (nvcc and a driver), CMake, a compiler and Node; cuBLAS and cuDNN of CAE_CUDA_LIBS, of
# the Python named by PYTHON (default python3) or of the system. The comparisons need PyTorch in that Python, and are left
# out without.
#   environment: CAE_FIXTURES: folder of golden numbers, where it is not the tests' own; CAE_NATIVE_ADDON: a built addon;
#   GPU_CHECK_BATCHES ("64 256 512"), GPU_CHECK_MODELS ("base large"), GPU_CHECK_STEPS (20), GPU_CHECK_ROUNDS (2): of the
#   comparisons; GPU_CHECK_KERNEL_BATCH (256); GPU_CHECK_CURVE_MODEL (base), _BATCH (32), _STEPS (200)
set -uo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.." || exit 1
out="${1:-build-gpu/check}"
[ $# -eq 0 ] || shift
[ $# -gt 0 ] || set -- build tests parity curves sanitizer kernels idle compare
mkdir -p "$out/checks"
python="${PYTHON:-python3}"
fixtures="${CAE_FIXTURES:-test/fixtures}"
read -ra models <<<"${GPU_CHECK_MODELS:-base large}"
read -ra batches <<<"${GPU_CHECK_BATCHES:-64 256 512}"
steps="${GPU_CHECK_STEPS:-20}"
failed=0

# note NAME RESULT SECONDS [REASON]: one check of the results.
note() {
  printf '%-34s %-8s %5d s  %s\n' "$1" "$2" "$3" "${4:-$out/$1.log}"
  NAME="$1" RESULT="$2" TOOK="$3" REASON="${4:-}" node -p 'JSON.stringify({ name: process.env.NAME,
    result: process.env.RESULT, seconds: Number(process.env.TOOK), reason: process.env.REASON })' >"$out/checks/$1.json"
}

# check NAME COMMAND...: runs it, its output into a log; JSON of its last line goes into the results.
check() {
  local name="$1" start=$SECONDS state=passed
  shift
  if ! "$@" >"$out/$name.log" 2>&1; then
    state=failed
    # A large step may well need more than this GPU has: a result, and no failure.
    if [[ "$name" == step-* ]] && grep -q ' is out of memory: ' "$out/$name.log"; then state='out of memory'; fi
    [ "$state" != failed ] || failed=$((failed + 1))
  fi
  grep '^{' "$out/$name.log" | tail -n 1 >"$out/checks/$name.data"
  note "$name" "$state" "$((SECONDS - start))"
}

cae() { node dist/cli/main.js "$@"; }
run_tests() { node node_modules/vitest/vitest.mjs run --config vitest.cuda.config.ts "$@"; }
no_torch() { ! "$python" -c 'import torch, sys; sys.exit(not torch.cuda.is_available())' >/dev/null 2>&1; }

build() {
  if [ -n "$built" ]; then
    check build npx cmake-js build --out build-gpu --CDCAE_CUDA=ON "--CDCAE_CUDA_ARCH=$arch"
    # A build that had nothing to do has no report; then the kernels are compiled for it.
    local report=("$out/build.log")
    grep -q 'ptxas info' "$out/build.log" || report=()
    check kernels-resources scripts/check-kernels.sh ${report[@]+"${report[@]}"}
  fi
  check build-ts npm run build:ts
}

parity() {
  local precision
  for precision in fp32 bf16 fp16; do
    check "parity-$precision" cae parity --device cuda --precision "$precision" \
      "$fixtures"/{cae_step*,finetune_step*,*_probe_steps,dalle_dvae,discrete_vae,pillow_resized_crop,cosine_schedules,reference_checkpoint}.safetensors
  done
}

curves() {
  local batch="${GPU_CHECK_CURVE_BATCH:-32}" model="${GPU_CHECK_CURVE_MODEL:-base}"
  check curves node scripts/bench/curve.mjs --device cuda --model "$model" --batch "$batch" \
    --steps "${GPU_CHECK_CURVE_STEPS:-200}" --dump "$out/curve.safetensors"
  if no_torch; then note curve-torch 'left out' 0 "$python has no PyTorch that finds a GPU"; return; fi
  check curve-torch "$python" scripts/bench/torch_curve.py "$out/curve.safetensors" --device cuda
}

sanitizer() {
  local program tool
  program="$(command -v compute-sanitizer || echo /usr/local/cuda/bin/compute-sanitizer)"
  if [ ! -x "$program" ]; then note sanitizer 'left out' 0 'compute-sanitizer is missing'; return; fi
  for tool in memcheck racecheck; do
    check "$tool" "$program" --tool "$tool" --error-exitcode 9 --target-processes all \
      node node_modules/vitest/vitest.mjs run --config vitest.cuda.config.ts test/cuda/{kernels,fused-attention,residual-norm,optimizer}.test.ts
  done
}

kernels() {
  local model
  for model in "${models[@]}"; do
    check "kernels-$model" node scripts/bench/kernels.mjs --device cuda --model "$model" --batch "${GPU_CHECK_KERNEL_BATCH:-256}"
  done
}

idle() {
  if ! command -v nsys >/dev/null 2>&1; then note idle 'left out' 0 'nsys is missing'; return; fi
  check profile nsys profile --trace=cuda --cuda-graph-trace=node --force-overwrite=true --output "$out/step" \
    node dist/cli/main.js bench --device cuda --model base --batch 256 --precision bf16 --steps 10
  check trace nsys stats --force-export=true --report cuda_gpu_trace --format csv --output - "$out/step.nsys-rep"
  check idle node scripts/gpu-check/idle.mjs "$out/trace.log"
}

# compare [-MODEL[-BATCH]]
compare() {
  local model batch tokenizer form name only=("${models[@]}") sizes=("${batches[@]}") torch=yes
  IFS=- read -r _ model batch <<<"$1"
  [ -z "$model" ] || only=("$model")
  [ -z "$batch" ] || sizes=("$batch")
  if no_torch; then torch=; note compare-torch 'left out' 0 "$python has no PyTorch that finds a GPU"; fi
  for model in "${only[@]}"; do
    for batch in "${sizes[@]}"; do
      for tokenizer in dall-e none; do
        name="step-$model-$batch-$tokenizer"
        local shared=(--device cuda --model "$model" --batch "$batch" --precision bf16 --steps "$steps" --tokenizer "$tokenizer")
        if [ -z "$torch" ]; then check "$name" cae bench "${shared[@]}"; continue; fi
        for form in reference best; do
          check "$name-$form" "$python" scripts/bench/compare.py "${shared[@]}" --form "$form" \
            --rounds "${GPU_CHECK_ROUNDS:-2}" --torch-flags '--warmup 5'
        done
      done
    done
  done
}

command -v nvidia-smi >/dev/null 2>&1 || { printf 'gpu-check: nvidia-smi is missing; install the NVIDIA driver\n' >&2; exit 1; }
device="$(nvidia-smi --query-gpu=name,driver_version,compute_cap --format=csv,noheader | head -n 1)"
arch="$(cut -d, -f3 <<<"$device" | tr -d ' .')"
printf 'device: %s\n' "$device"
# PyTorch comes with cuBLAS and cuDNN, headers included.
if [ -z "${CAE_CUDA_LIBS:-}" ]; then
  site="$("$python" -c 'import nvidia.cudnn as it; print(list(it.__path__)[0].rsplit("/nvidia/", 1)[0])' 2>/dev/null)"
  [ -z "$site" ] || export CAE_CUDA_LIBS="$site"
fi
built=
if [ -z "${CAE_NATIVE_ADDON:-}" ]; then
  built=yes
  export CAE_NATIVE_ADDON="$PWD/build-gpu/Release/cae_native.node"
fi
for part in "$@"; do
  case "$part" in
    build | parity | curves | sanitizer | kernels | idle) "$part" ;;
    tests) check tests run_tests ;;
    compare | compare-*) compare "${part#compare}" ;;
    *) printf 'gpu-check: %s is no part; see the top of this script\n' "$part" >&2; failed=$((failed + 1)) ;;
  esac
done
node scripts/gpu-check/report.mjs "$out" "$device" || failed=$((failed + 1))
printf '%d failed; %s/results.md, %s/results.json\n' "$failed" "$out" "$out"
[ "$failed" -eq 0 ]
