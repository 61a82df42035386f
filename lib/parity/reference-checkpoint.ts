import { existsSync } from 'node:fs';
import { basename } from 'node:path';
import { toFloat32 } from '../checkpoint/dtype.js';
import { PickledObject, type PickleValue } from '../checkpoint/pickle-values.js';
import { type ImportedOptimizer, importOptimizer } from '../checkpoint/reference-optimizer.js';
import { SafetensorsFile } from '../checkpoint/safetensors-reader.js';
import { stateDictOf } from '../checkpoint/state-dict.js';
import { readTorchArchive } from '../checkpoint/torch-archive.js';
import { UserError } from '../errors.js';
import type { Comparison } from './compare.js';

/** The kind of fixture whose tensors lie in PyTorch files beside it. */
export const referenceCheckpointKind = 'reference-checkpoint';

/** Files of a fixture: its expected tensors, and the PyTorch files that hold them. */
interface Files {
  readonly expected: string;
  readonly archives: readonly string[];
}

/**
 * The files that belong to a path: a `.pth` alone, or for the safetensors file all that lie beside it.
 * @throws UserError where there are none
 */
function filesOf(path: string): Files {
  if (path.endsWith('.pth')) {
    return { expected: path.replace(/(_legacy)?\.pth$/, '.safetensors'), archives: [path] };
  }
  const stem = path.replace(/\.safetensors$/, '');
  const archives = [`${stem}.pth`, `${stem}_legacy.pth`].filter((archive) => existsSync(archive));
  if (archives.length === 0)
    throw new UserError(`${path}: no ${basename(stem)}.pth lies beside it; put it there`);
  return { expected: path, archives };
}

/**
 * Reads the reference's checkpoint in PyTorch's layouts: every tensor must equal, to the bit, that of the safetensors
 * file; the arguments must be there, and the optimizer's moments must be finite, of the shapes of the model's parameters,
 * and equal in both layouts.
 *
 * @returns a comparison a tensor; its error is 0 where bits, dtype and shape are equal, else 1
 * @throws UserError where a file cannot be read
 */
export function compareReferenceCheckpoint(path: string): Comparison[] {
  const { expected, archives } = filesOf(path);
  using file = SafetensorsFile.open(expected);
  const [first = ''] = archives;
  return archives.flatMap((archive) => compareArchive(archive, file, first));
}

/** @param first an archive that must hold the same optimizer, perhaps this one */
function compareArchive(archive: string, file: SafetensorsFile, first: string): Comparison[] {
  const tree = readTorchArchive(archive);
  const tensors = stateDictOf(tree, archive);
  const short = basename(archive);
  const exact = (name: string, equal: boolean): Comparison => ({
    name: `${short}: ${name}`,
    error: equal ? 0 : 1,
    tolerance: 0,
    passed: equal,
    absolute: false,
  });
  const comparisons = file.names().map((full) => {
    const name = full.replace(/^expect\./, '');
    const tensor = tensors.get(name);
    const { dtype, shape } = file.info(full);
    const equal =
      tensor !== undefined &&
      tensor.dtype === dtype &&
      tensor.shape.join() === shape.join() &&
      Buffer.compare(tensor.read(), file.read(full)) === 0;
    return exact(name, equal);
  });
  for (const name of tensors.keys()) {
    if (!file.has(`expect.${name}`)) comparisons.push(exact(name, false));
  }
  const entry = (key: string): PickleValue | undefined => (tree instanceof Map ? tree.get(key) : undefined);
  const args = entry('args');
  const hasArgs = args instanceof PickledObject && args.state instanceof Map && args.state.size > 0;
  comparisons.push(exact('args', hasArgs));
  const optimizer = optimizerOf(archive);
  const same = optimizerOf(first);
  for (const [name, tensor] of optimizer.tensors) {
    const bytes = tensor.read();
    const values = toFloat32(tensor.dtype, bytes) ?? new Float32Array([Number.NaN]);
    const least = name.startsWith('exp_avg_sq.') ? 0 : Number.NEGATIVE_INFINITY;
    const sound = values.every((value) => Number.isFinite(value) && value >= least);
    const other = same.tensors.get(name)?.read() ?? new Uint8Array(0);
    comparisons.push(exact(`optimizer ${name}`, sound && Buffer.compare(bytes, other) === 0));
  }
  return comparisons;
}

function optimizerOf(archive: string): ImportedOptimizer {
  const tree = readTorchArchive(archive);
  const saved = tree instanceof Map ? tree.get('optimizer') : undefined;
  return importOptimizer(saved ?? null, stateDictOf(tree, archive), archive);
}
