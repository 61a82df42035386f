#!/usr/bin/env bash
# From a fresh clone to a picture: installs, builds, draws a sample data set, trains a small tokenizer on it, pretrains
# a small CAE on 64-pixel pictures, writes a reconstruction, and probes the encoder beside a random one. Minutes on
# two cores. Run it again to go on where it was stopped; only the probes are then done again.
# usage: scripts/quickstart.sh [OUT]     default: ./quickstart
#   environment: QUICKSTART_IMAGES, QUICKSTART_TOKENIZER_EPOCHS, QUICKSTART_EPOCHS, QUICKSTART_LABELLED
set -euo pipefail

case "${1:-}" in
  -*)
    printf 'usage: scripts/quickstart.sh [OUT]\n' >&2
    exit 2
    ;;
esac
mkdir -p "${1:-quickstart}"
out="$(cd "${1:-quickstart}" && pwd)"
cd "$(dirname "${BASH_SOURCE[0]}")/.."

images="${QUICKSTART_IMAGES:-400}"
tokenizer_epochs="${QUICKSTART_TOKENIZER_EPOCHS:-36}"
labelled_images="${QUICKSTART_LABELLED:-1000}"
epochs="${QUICKSTART_EPOCHS:-40}"

phase() { printf '\n[%4ds] %s\n' "$SECONDS" "$1"; }
cae() { node dist/cli/main.js "$@"; }

phase 'Installing what is missing'
./scripts/install-deps.sh

phase 'Building'
npm run --silent build

data="$out/data-$images"
phase "Sample data: $images JPEG files in $data"
# The folder appears only when it is complete.
[ -d "$data" ] || node scripts/sample-data.mjs "$data" --images "$images"

phase "Training a tokenizer of 256 words, $tokenizer_epochs epochs"
cae train-tokenizer --data_path "$data/train" --output_dir "$out/tokenizer" \
  --image_size 64 --num_tokens 256 --dvae_num_layers 3 --num_resnet_blocks 1 --hidden_dim 64 --codebook_dim 64 \
  --temperature 0.5 --epochs "$tokenizer_epochs" --batch_size 16 --lr 3e-3 --save_ckpt_freq 20

# 64-pixel pictures in 8-pixel patches: an 8 x 8 grid, and the tokenizer's three halvings give one token a patch.
phase "Pretraining a small CAE, $epochs epochs"
cae pretrain --data_path "$data/train" --output_dir "$out/pretrain" --exp_name quickstart \
  --model cae_tiny_patch16_224_8k_vocab --input_size 64 --patch_size 8 --second_input_size 64 \
  --embed_dim 192 --depth 4 --num_heads 3 --regressor_depth 2 --decoder_depth 2 --decoder_embed_dim 192 \
  --decoder_num_heads 3 --decoder_num_classes 256 --discrete_vae_type customized \
  --discrete_vae_weight_path "$out/tokenizer" --num_mask_patches 32 \
  --batch_size 32 --epochs "$epochs" --warmup_epochs 2 --lr 1.5e-3

# The newest checkpoint: the highest epoch number.
checkpoint="$(find "$out/pretrain" -mindepth 1 -maxdepth 1 -type d -name 'quickstart_checkpoint-*' | sort -V | tail -n 1)"
[ -n "$checkpoint" ] || {
  printf 'quickstart: no checkpoint in %s/pretrain; remove that folder and run again\n' "$out" >&2
  exit 1
}

phase 'Reconstructing pictures that training never saw'
picture="$out/reconstruction.png"
cae reconstruct "$data"/val/{checker,circle,ring,sphere,star,stripes}/004.jpg \
  --checkpoint "$checkpoint" --tokenizer "$out/tokenizer" -o "$picture"

labelled="$out/labelled-$labelled_images"
phase "Labelled pictures for probes: $labelled_images in $labelled"
[ -d "$labelled" ] || node scripts/sample-data.mjs "$labelled" --images "$labelled_images"

# The same probes of the pretrained encoder and of one with random weights: what pretraining is worth.
phase 'Linear probe and nearest neighbours: the pretrained encoder, then one of random weights'
for encoder in pretrained random; do
  flags=(--num_workers 4)
  [ "$encoder" = pretrained ] || flags+=(--random)
  cae linear --data_path "$labelled" --finetune "$checkpoint" --output_dir "$out/linear-$encoder" --cache_features \
    --batch_size 64 --epochs 60 --blr 20 --eval_freq 20 --no_save_ckpt --no_auto_resume "${flags[@]}" \
    >"$out/linear-$encoder.txt"
  cae knn "$labelled" --checkpoint "$checkpoint" --nb_knn 20 "${flags[@]}" >"$out/knn-$encoder.txt"
done

phase 'Done'
node scripts/token-statistics.mjs "$data/train" "$out/tokenizer" >"$out/tokens.json"
node scripts/quickstart-summary.mjs "$out"
for probe in linear knn; do
  for encoder in pretrained random; do
    printf '  %-18s  %s\n' "$probe, $encoder" "$(cat "$out/$probe-$encoder.txt")"
  done
done
printf '  checkpoint      %s\n' "$checkpoint"
printf '  curves          tensorboard --logdir %s\n' "$out"
printf '  picture         %s\n' "$picture"
printf '                  (each row: original, masked, tokenizer, prediction)\n'
