import { reportLines } from '../checkpoint/load-report.js';
import { openWeights, type Weights } from '../checkpoint/weights-file.js';
import { UserError } from '../errors.js';
import { loadEncoder } from '../models/load-encoder.js';
import { encoderTensors, stateEntry } from '../models/pretrained-encoder.js';
import { type PixelNormalization, type SavedModel, savedModelOf } from '../models/saved-classifier.js';
import type { VitConfig } from '../models/vit-config.js';
import type { VitEncoder } from '../models/vit-encoder.js';
import { classifierConfig } from '../models/vit-registry.js';
import type { StateEntry } from '../nn/module.js';
import type { encoderFlags } from './classify-flags.js';
import type { FlagValues } from './flags.js';

export type EncoderFlags = FlagValues<typeof encoderFlags>;

/** An open checkpoint, or none: then weights are random. */
export interface OpenCheckpoint extends Disposable {
  readonly path: string | undefined;
  readonly saved: SavedModel;
  readonly weights: Weights | undefined;
}

/** Opens the checkpoint a command was given. Dispose of it when the model is loaded. */
export async function openCheckpoint(path: string | undefined, modelKey?: string): Promise<OpenCheckpoint> {
  if (path === undefined || path === '') {
    return { path: undefined, saved: {}, weights: undefined, [Symbol.dispose]: () => undefined };
  }
  const weights = await openWeights(path, modelKey);
  return { path, saved: savedModelOf(weights), weights, [Symbol.dispose]: () => weights[Symbol.dispose]() };
}

/** The folder in which a run's checkpoint keeps the weights' average. @throws UserError where it is no run's */
export function averageFolder({ path, weights }: OpenCheckpoint): string {
  if (weights?.run !== undefined) return weights.run.folder;
  throw new UserError(`--model_ema: ${path} is no folder of a run, which keeps averages apart`);
}

/**
 * Sizes of the encoder: those of `--model`, else the checkpoint's own, else base; each flag of a size replaces its own.
 * @param wanted what the command decides
 */
export function configOf(
  flags: Omit<EncoderFlags, 'random'>,
  saved: SavedModel,
  wanted: Partial<VitConfig>,
): VitConfig {
  const own = flags.model === undefined ? saved.config : undefined;
  return classifierConfig(flags.model?.replace(/_8k_vocab$/, '') ?? saved.name ?? 'cae_base_patch16_224', {
    ...own,
    ...given({
      imageSize: flags.input_size,
      patchSize: flags.patch_size,
      embedDim: flags.embed_dim,
      depth: flags.depth,
      numHeads: flags.num_heads,
      mlpRatio: flags.mlp_ratio,
    }),
    ...wanted,
  });
}

/** An object without its undefined fields. */
export function given<T extends object>(fields: T): { [K in keyof T]?: Exclude<T[K], undefined> } {
  const entries = Object.entries(fields).filter(([, value]) => value !== undefined);
  return Object.fromEntries(entries) as { [K in keyof T]?: Exclude<T[K], undefined> };
}

/** How pictures are normalised: as told, else as the checkpoint was trained, else as the command does it. */
export function normalizationOf(
  flags: Pick<EncoderFlags, 'normalization'>,
  saved: SavedModel,
  fallback: PixelNormalization,
): PixelNormalization {
  return flags.normalization ?? saved.normalization ?? fallback;
}

/** The checkpoint's tensors for a classifier: an encoder's under `encoder.`, or a whole classifier's. */
export function checkpointEntries({ weights }: OpenCheckpoint, prefix = ''): Map<string, StateEntry> {
  const tensors = weights === undefined ? new Map() : encoderTensors(weights.tensors);
  return new Map(
    [...tensors]
      .filter(([name]) => name.startsWith(prefix))
      .map(([name, tensor]) => [name.slice(prefix.length), stateEntry(weights?.source ?? '', name, tensor)]),
  );
}

/**
 * Loads what fits of a checkpoint into a model. @returns lines that say what did, and what did not
 * @throws UserError where it is of another model (naming tensors and shapes), or holds nothing of the encoder
 */
export function loadInto(model: VitEncoder, checkpoint: OpenCheckpoint, prefix = ''): string[] {
  const source = checkpoint.weights?.source ?? '';
  const { matched, missing, unexpected, resized } = loadEncoder(
    model,
    checkpointEntries(checkpoint, prefix),
    source,
  );
  const report = { matched, missing, leftOver: unexpected, mismatched: [] };
  const lines = reportLines(source, report);
  if (resized.length > 0) lines.push(`  resized to this grid: ${resized.length} relative position tables`);
  return lines;
}
