import { extname } from 'node:path';
import type { Command } from 'commander';
import sharp, { type Sharp } from 'sharp';
import { verifyCheckpoint } from '../checkpoint/checkpoint-state.js';
import { writeFileWhole } from '../checkpoint/file-sink.js';
import { checkOutputFile } from '../checkpoint/output-check.js';
import { loadImage } from '../data/load-image.js';
import { createMaskGenerator } from '../data/masks.js';
import { UserError } from '../errors.js';
import { Cae } from '../models/cae.js';
import { type CaeConfig, gridSize } from '../models/cae-config.js';
import type { Tokenizer } from '../models/tokenizer.js';
import { type Row, reconstructPicture } from '../training/reconstruct.js';
import { loadModel, namedCheckpoint } from '../training/run-checkpoint.js';
import {
  addFlags,
  deviceFlag,
  flagValues,
  intFlag,
  required,
  textFlag,
  usageError,
  useDevice,
} from './flags.js';

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
    .requiredOption('-o, --output <path>', 'picture to write, .png, .jpg or .webp: a row for each image');
  addFlags(command, flags).action(async (images: string[], parsed: Record<string, unknown>) => {
    const values = flagValues(flags, parsed);
    const output = parsed['output'] as string;
    const encode = formatOf(output);
    checkOutputFile(output);
    const folder = await namedCheckpoint(required('checkpoint', values.checkpoint));
    const saved = (await verifyCheckpoint(folder)).state['model'] as unknown as SavedModel | undefined;
    if (saved?.kind !== 'cae') {
      throw new UserError(`${folder} is no checkpoint of pretraining; give one of cae-native pretrain`);
    }
    useDevice(values.device);
    const { loadTokenizer } = await import('../models/tokenizer.js');
    const tokenizer = await loadTokenizer(saved.tokenizerType, required('tokenizer', values.tokenizer));
    checkTokenizer(tokenizer, saved, `--tokenizer ${values.tokenizer}`);
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
    const sheet = await encode(sheetOf(rows, saved.tokenizerSize)).toBuffer();
    await writeFileWhole(output, (sink) => sink.write(sheet));
  });
}

/** How a picture of such a name is written. @throws UserError for an ending of no format */
function formatOf(path: string): (sheet: Sharp) => Sharp {
  const ending = extname(path).toLowerCase();
  if (ending === '.png') return (sheet) => sheet.png();
  if (ending === '.jpg' || ending === '.jpeg') return (sheet) => sheet.jpeg({ quality: 95 });
  if (ending === '.webp') return (sheet) => sheet.webp({ quality: 95 });
  throw usageError(`--output ${path} must end in .png, .jpg or .webp`);
}

/** @throws UserError for a tokenizer other than the run's: another codebook or another grid of tokens */
function checkTokenizer(tokenizer: Tokenizer, saved: SavedModel, named: string): void {
  const { decoderNumClasses } = saved.config;
  const grids = [saved.tokenizerSize / tokenizer.reduction, gridSize(saved.config)];
  if (tokenizer.vocabulary !== decoderNumClasses) {
    throw usageError(
      `${named} has ${tokenizer.vocabulary} tokens, the run's has ${decoderNumClasses}; give the run's tokenizer`,
    );
  }
  if (grids[0] !== grids[1]) {
    throw usageError(
      `${named} makes ${grids[0]} by ${grids[0]} tokens of a picture, the run's ${grids[1]} by ${grids[1]}; give the run's tokenizer`,
    );
  }
}

/** Rows of pictures side by side, four pixels apart. */
function sheetOf(rows: readonly Row[], side: number): Sharp {
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
  return sharp({ create: { ...size, channels: 3, background: 'white' } }).composite(pieces);
}
