#!/usr/bin/env bash
# The published recipes of both probes of CAE-base on ImageNet-1K, one after the other: linear (batches of 16384, made of
# 32 times 512) and attentive (8192, 32 times 256). CAE-large: the same with --model cae_large_patch16_224.
# usage: scripts/cae_base_probes.sh DATA CHECKPOINT OUT [more flags of both commands]
set -euo pipefail
[ "$#" -ge 3 ] || {
  printf 'usage: scripts/cae_base_probes.sh DATA CHECKPOINT OUT [more flags]\n' >&2
  exit 2
}
data="$1" checkpoint="$2" out="$3"
shift 3
main="$(dirname "${BASH_SOURCE[0]}")/../dist/cli/main.js"
shared=(--model cae_base_patch16_224 --data_path "$data" --finetune "$checkpoint" --nb_classes 1000 --use_cls)
node "$main" linear "${shared[@]}" --output_dir "$out/linear" --batch_size 512 --accum_iter 32 --epochs 90 --blr 0.1 \
  --weight_decay 0 --warmup_epochs 10 --disable_rel_pos_bias --dist_eval "$@"
node "$main" attentive "${shared[@]}" --output_dir "$out/attentive" --batch_size 256 --update_freq 32 --epochs 90 \
  --lr 0.4 --weight_decay 0 --warmup_epochs 10 --imagenet_default_mean_and_std --dist_eval "$@"
