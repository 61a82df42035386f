#!/usr/bin/env bash
# The published recipe of fine-tuning CAE-large on ImageNet-1K: batches of 4096 pictures, made of 64 times 64.
# usage: scripts/cae_large_finetune.sh DATA CHECKPOINT OUT [more flags of cae-native finetune]
#   DATA: folder with train and val; CHECKPOINT: a pretraining run's folder, or the reference's .pth
set -euo pipefail
[ "$#" -ge 3 ] || {
  printf 'usage: scripts/cae_large_finetune.sh DATA CHECKPOINT OUT [more flags]\n' >&2
  exit 2
}
data="$1" checkpoint="$2" out="$3"
shift 3
exec node "$(dirname "${BASH_SOURCE[0]}")/../dist/cli/main.js" finetune \
  --model cae_large_patch16_224 --data_path "$data" --finetune "$checkpoint" --output_dir "$out" \
  --exp_name cae_large_finetune --data_set IMNET --nb_classes 1000 --imagenet_default_mean_and_std \
  --batch_size 64 --update_freq 64 --lr 2e-3 --epochs 50 --warmup_epochs 5 --layer_decay 0.75 --drop_path 0.2 \
  --weight_decay 0.05 --mixup 0.8 --cutmix 1.0 --smoothing 0.1 --reprob 0.25 --sin_pos_emb --dist_eval "$@"
