import { existsSync } from 'node:fs';
import { join } from 'node:path';
import type { JsonObject, JsonValue } from './checkpoint-state.js';
import type { PickleSource } from './pickle-writer.js';
import { isCae, withAlignmentEncoder } from './reference-names.js';
import { referenceOptimizer } from './reference-optimizer.js';
import { describing, modelDescription, runStateKey } from './run-description.js';
import { SafetensorsFile } from './safetensors-reader.js';
import { writeSafetensors } from './safetensors-writer.js';
import type { StoredTensor } from './stored-tensor.js';
import { shareAlignmentEncoder, TensorAliases } from './tensor-aliases.js';
import { writeTorchArchive } from './torch-writer.js';
import type { Weights } from './weights-file.js';
import { WritableTree } from './writable-tree.js';

/** Lines about what a format cannot hold. */
export type Notes = readonly string[];

/** Writes tensors as a safetensors file, in their order. */
export async function writeTensors(
  path: string,
  tensors: ReadonlyMap<string, StoredTensor>,
  metadata: Readonly<Record<string, string>> = { format: 'pt' },
): Promise<void> {
  const entries = [...tensors].map(([name, tensor]) => ({
    name,
    dtype: tensor.dtype,
    shape: tensor.shape,
    byteLength: tensor.byteLength,
    read: () => tensor.read(),
  }));
  await writeSafetensors(path, entries, metadata);
}

/**
 * Writes a checkpoint's weights as a safetensors file, under the reference's names. A run's get their alignment
 * encoder, so that the file loads strictly into the reference's model. What a run says of its model goes along in the
 * metadata.
 */
export async function exportSafetensors(weights: Weights, path: string): Promise<Notes> {
  const { format, tensors, tree, metadata } = weights;
  if (format === 'safetensors') {
    await writeTensors(path, tensors, metadata);
    return [];
  }
  const own = tree instanceof Map ? tree.get('metadata') : undefined;
  const kept: Record<string, string> = {};
  for (const [key, text] of own instanceof Map ? own : []) {
    if (typeof key === 'string' && typeof text === 'string') kept[key] = text;
  }
  const model = modelDescription(weights);
  if (Object.keys(kept).length === 0) kept['format'] = 'pt';
  // Tensors do not show it: heads, a probe's pooling, the pictures' normalisation.
  if (model !== undefined) Object.assign(kept, describing(model));
  await writeTensors(path, withRunNames(weights), kept);
  if (format === 'run') return ['the optimizer and the state of the run are left out: a .pth holds them'];
  return besideWeights(weights);
}

/** What a PyTorch file holds beside its weights, as lines about what is left out. */
function besideWeights({ tree, tensors }: Weights): Notes {
  const rest =
    tree instanceof Map ? [...tree.keys()].filter((key) => key !== 'model' && key !== 'metadata') : [];
  if (rest.length === 0 || tensors.has(String(rest[0]))) return [];
  return [`left out, not being weights: ${rest.map(String).join(', ')}`];
}

/** A run's tensors with the alignment encoder; those of files as they are. */
function withRunNames({ format, tensors }: Weights): ReadonlyMap<string, StoredTensor> {
  return format === 'run' ? withAlignmentEncoder(tensors) : tensors;
}

/**
 * Writes a checkpoint as a PyTorch file that `torch.load(weights_only=True)` accepts. A run's becomes what the
 * reference saves: `model` (alignment encoder included, sharing storage), `optimizer`, `epoch`, `args`; `args` is a
 * dict, because an argparse.Namespace is refused there. A PyTorch file keeps all it holds, but of one with timm's names
 * the weights alone are kept.
 */
export async function exportTorch(weights: Weights, path: string): Promise<Notes> {
  if (weights.format === 'run') return await exportRun(weights, path);
  if (weights.format === 'torch' && weights.wasTimm !== true) {
    const leftOut: string[] = [];
    await writeTorchArchive(path, (storages) => {
      const writable = new WritableTree(weights.source, storages, new TensorAliases());
      const tree = writable.convert(weights.tree ?? null);
      leftOut.push(...writable.leftOut);
      return tree;
    });
    return leftOut.length === 0 ? [] : [`left out, being no plain data: ${leftOut.join(', ')}`];
  }
  const tensors = await shareAlignmentEncoder(weights.tensors);
  await writeTorchArchive(path, (storages) => {
    const tree = new Map<PickleSource, PickleSource>([['model', storages.stateDict(tensors)]]);
    const { metadata } = weights;
    if (JSON.stringify(metadata) !== '{"format":"pt"}' && Object.keys(metadata).length > 0) {
      tree.set('metadata', new Map(Object.entries(metadata)));
    }
    return tree;
  });
  return besideWeights(weights);
}

async function exportRun(weights: Weights, path: string): Promise<Notes> {
  const { run } = weights;
  if (run === undefined) throw new Error('a run was opened without its state');
  const { state, globalStep, epoch, folder } = run;
  const args = (state['args'] ?? {}) as JsonObject;
  const moments = join(folder, 'optimizer.safetensors');
  const file = existsSync(moments) ? SafetensorsFile.open(moments) : undefined;
  try {
    // The groups of its other tasks are numbered otherwise.
    const known = isCae(weights.tensors) && file?.names().every((name) => /^exp_avg(_sq)?\./.test(name));
    const adamw = known === true ? file : undefined;
    await writeTorchArchive(path, (storages) => {
      const tree = new Map<PickleSource, PickleSource>();
      tree.set('model', storages.stateDict(withAlignmentEncoder(weights.tensors)));
      if (adamw !== undefined) {
        const tensors = adamw
          .names()
          .map((name): [string, StoredTensor] => [
            name,
            { ...adamw.info(name), read: () => adamw.read(name) },
          ]);
        tree.set('optimizer', referenceOptimizer(new Map(tensors), globalStep, args, storages));
      }
      tree.set('epoch', finishedEpoch(state, globalStep, epoch));
      tree.set('args', pickled(args));
      tree.set(runStateKey, JSON.stringify({ globalStep, epoch, state }));
      return tree;
    });
    return adamw === undefined ? ['the optimizer is left out: only that of pretraining is written'] : [];
  } finally {
    file?.close();
  }
}

/** The last epoch that is complete: the reference goes on with the one behind it. */
function finishedEpoch(state: JsonObject, globalStep: number, epoch: number): number {
  const stepsPerEpoch = (state['unchanged'] as JsonObject | undefined)?.['steps_per_epoch'];
  return typeof stepsPerEpoch === 'number' ? Math.floor(globalStep / stepsPerEpoch) - 1 : epoch;
}

/** JSON as Python's values. */
function pickled(value: JsonValue): PickleSource {
  if (value === null || typeof value !== 'object') return value;
  if (Array.isArray(value)) return value.map((item: JsonValue) => pickled(item));
  return new Map(Object.entries(value).map(([key, item]) => [key, pickled(item as JsonValue)]));
}
