#!/usr/bin/env bash
# The published recipe of CAE-large, 1600 epochs, on ImageNet-1K: batches of 2048 pictures, made of 32 times 64.
# usage: scripts/cae_large_1600e.sh DATA TOKENIZER OUT [more flags of cae-native pretrain]
#   DATA: folder with a sub-folder for each class; TOKENIZER: DALL-E's encoder.pkl, or the folder that holds it
set -euo pipefail
[ "$#" -ge 3 ] || {
  printf 'usage: scripts/cae_large_1600e.sh DATA TOKENIZER OUT [more flags]\n' >&2
  exit 2
}
data="$1" tokenizer="$2" out="$3"
shift 3
exec node "$(dirname "${BASH_SOURCE[0]}")/../dist/cli/main.js" pretrain \
  --data_path "$data" --discrete_vae_weight_path "$tokenizer" --discrete_vae_type dall-e --output_dir "$out" \
  --exp_name cae_large_1600e --model cae_large_patch16_224_8k_vocab --layer_scale_init_value 1e-5 --drop_path 0.1 \
  --batch_size 64 --update_freq 32 --epochs 1600 --warmup_epochs 40 --lr 1.5e-3 --min_lr 1e-5 --weight_decay 0.05 \
  --clip_grad 3.0 --color_jitter 0 --mask_generator block --num_mask_patches 98 \
  --regressor_depth 4 --decoder_depth 4 --decoder_embed_dim 1024 --decoder_num_heads 16 --decoder_layer_scale_init_value 1e-5 \
  --align_loss_weight 2 --save_ckpt_freq 20 "$@"
