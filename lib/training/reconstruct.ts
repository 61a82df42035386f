import type { Cae } from '../models/cae.js';
import { scope } from '../tensor/scope.js';
import { noGrad } from '../tensor/tape.js';
import { Tensor } from '../tensor/tensor.js';
import { patchIds } from './patch-ids.js';
import {
  dalleNormalization,
  halfNormalization,
  ImageNormalizer,
  imagenetNormalization,
  type TargetTokenizer,
} from './pretrain.js';

/** A tokenizer that can also draw its tokens. */
export interface DrawingTokenizer extends TargetTokenizer {
  /** Tokens i32 [B, grid, grid] -> pictures f32 [B, T, T, 3] in [0, 1]. */
  decode(tokens: Tensor): Tensor;
}

export interface ReconstructOptions {
  readonly model: Cae;
  readonly tokenizer: DrawingTokenizer;
  readonly tokenizerType: 'dall-e' | 'customized';
  readonly imagenetNormalization: boolean;
  /** u8 [S, S, 3]: the encoder's view. */
  readonly picture: Uint8Array;
  /** u8 [T, T, 3]: the tokenizer's view. */
  readonly view: Uint8Array;
  /** [N], 1 = masked. */
  readonly mask: Uint8Array;
}

/** Pictures u8 [T, T, 3]: original, masked, the tokenizer's own reconstruction, the prediction. */
export type Row = readonly Uint8Array[];

/** Draws what a model predicts for the masked patches of one picture, beside what it saw. */
export function reconstructPicture(options: ReconstructOptions): Row {
  const { model, tokenizer, view, mask, picture } = options;
  const half = options.imagenetNormalization ? imagenetNormalization : halfNormalization;
  const images = new ImageNormalizer(half);
  const views = new ImageNormalizer(
    options.tokenizerType === 'dall-e' ? dalleNormalization : halfNormalization,
  );
  const grid = Math.sqrt(mask.length);
  const masked = mask.reduce((sum, one) => sum + one, 0);
  const vocabulary = model.config.decoderNumClasses;
  try {
    return noGrad(() =>
      scope(() => {
        const ids = patchIds(mask, 1, masked);
        const { logits } = model.predict(
          {
            images: images.apply(picture, 1, false),
            visible: Tensor.from(ids.visible, [1, ids.visible.length]),
            masked: Tensor.from(ids.masked, [1, masked]),
          },
          { dtype: 'f32', dropPath: null },
        );
        const tokens = Int32Array.from(tokenizer.encode(views.apply(view, 1, true)).dataSync());
        const draw = (of: Int32Array): Uint8Array =>
          Uint8Array.from(tokenizer.decode(Tensor.from(of, [1, grid, grid])).dataSync(), (x) =>
            Math.round(255 * Math.min(1, Math.max(0, x))),
          );
        const own = draw(tokens);
        const scores = Float32Array.from(logits.dataSync());
        const predicted = tokens.slice();
        for (const [i, id] of ids.masked.entries()) {
          const row = scores.subarray(i * vocabulary, (i + 1) * vocabulary);
          predicted[id] = row.reduce((best, score, at) => (score > (row[best] as number) ? at : best), 0);
        }
        return [view, coverMasked(view, mask), own, draw(predicted)];
      }),
    );
  } finally {
    images.dispose();
    views.dispose();
  }
}

/** The picture with its masked patches in grey. */
function coverMasked(view: Uint8Array, mask: Uint8Array): Uint8Array {
  const side = Math.sqrt(view.length / 3);
  const grid = Math.sqrt(mask.length);
  return view.map((value, i) => {
    const pixel = Math.floor(i / 3);
    const row = Math.floor((Math.floor(pixel / side) * grid) / side);
    const column = Math.floor(((pixel % side) * grid) / side);
    return mask[row * grid + column] === 1 ? 128 : value;
  });
}
