import type { Command } from 'commander';
import sharp from 'sharp';
import { verifyCheckpoint } from '../checkpoint/checkpoint-state.js';
import { writeFileWhole } from '../checkpoint/file-sink.js';
import { loadImage } from '../data/load-image.js';
import { createMaskGenerator } from '../data/masks.js';
import { UserError } from '../errors.js';
import { Cae } from '../models/cae.js';
import { type CaeConfig, gridSize } from '../models/cae-config.js';
import { type Row, reconstructPicture } from '../training/reconstruct.js';
import { loadModel, namedCheckpoint } from '../training/run-checkpoint.js';
import { addFlags, deviceFlag, flagValues, intFlag, required, textFlag, useDevice } from './flags.js';

const flags = {
  checkpoint: textFlag(undefined, 'folder of a pretraining run, or of a checkpoint of one'),
  tokenizer: textFlag(undefined, 'tokenizer the run was trained with: a folder or a file'),
  device: deviceFlag(),
  seed: intFlag(0, 'masks are a function of it', { min: 0, max: 2 ** 32 - 1 }),
} as const;

/** What pretraining writes into its checkpoints about the model. */
interface SavedModel {
  readonly kind: string;
  readonly config: CaeConfig;
  readonly imagenetNormalization: boolean;
  readonly maskedPatches: number;
  readonly tokenizerSize: number;
  readonly tokenizerType: 'dall-e' | 'customized';
}

/** Adds the command's flags and action. */
export function register(command: Command): void {
  command
    .argument('<image...>', 'pictures')
    .requiredOption('-o, --output <path>', 'picture to write: a row for each image');
  addFlags(command, flags).action(async (images: string[], parsed: Record<string, unknown>) => {
    const values = flagValues(flags, parsed);
    const folder = await namedCheckpoint(required('checkpoint', values.checkpoint));
    const saved = (await verifyCheckpoint(folder)).state['model'] as unknown as SavedModel | undefined;
    if (saved?.kind !== 'cae') {
      throw new UserError(`${folder} is no checkpoint of pretraining; give one of cae-native pretrain`);
    }
    useDevice(values.device);
    const { loadTokenizer } = await import('../models/tokenizer.js');
    const tokenizer = await loadTokenizer(saved.tokenizerType, required('tokenizer', values.tokenizer));
    const model = new Cae(saved.config);
    loadModel(folder, model);
    const grid = gridSize(saved.config);
    const masks = createMaskGenerator({
      kind: 'block',
      grid: [grid, grid],
      seed: values.seed,
      numMaskPatches: saved.maskedPatches,
      minMaskPatchesPerBlock: Math.min(16, saved.maskedPatches),
    });
    const rows: Row[] = [];
    for (const [i, path] of images.entries()) {
      const [picture, view] = await loadImage(path, [
        { size: saved.config.imageSize, filter: 'bicubic' },
        { size: saved.tokenizerSize, filter: 'lanczos' },
      ]);
      rows.push(
        reconstructPicture({
          ...saved,
          model,
          tokenizer,
          picture: picture as Uint8Array,
          view: view as Uint8Array,
          mask: masks.generate(0, i),
        }),
      );
    }
    await writeSheet(parsed['output'] as string, rows, saved.tokenizerSize);
  });
}

/** Writes rows of pictures side by side, four pixels apart. */
async function writeSheet(path: string, rows: readonly Row[], side: number): Promise<void> {
  const gap = 4;
  const columns = Math.max(...rows.map((row) => row.length));
  const pieces = rows.flatMap((row, y) =>
    row.map((pixels, x) => ({
      input: Buffer.from(pixels),
      raw: { width: side, height: side, channels: 3 as const },
      left: gap + x * (side + gap),
      top: gap + y * (side + gap),
    })),
  );
  const size = { width: gap + columns * (side + gap), height: gap + rows.length * (side + gap) };
  const png = await sharp({ create: { ...size, channels: 3, background: 'white' } })
    .composite(pieces)
    .png()
    .toBuffer();
  await writeFileWhole(path, (sink) => sink.write(png));
}
