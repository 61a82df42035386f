import { basename, join } from 'node:path';
import { type Command, Option } from 'commander';
import { fileError } from '../checkpoint/file-errors.js';
import { makeFolderSync } from '../checkpoint/file-sink.js';
import { SafetensorsFile } from '../checkpoint/safetensors-reader.js';
import { writeSafetensors } from '../checkpoint/safetensors-writer.js';
import { UserError } from '../errors.js';
import { type Comparison, compareWithFixture, tolerances } from '../parity/compare.js';
import { fitting } from '../parity/fixture-config.js';
import { parityKinds } from '../parity/kinds.js';
import { compareReferenceCheckpoint, referenceCheckpointKind } from '../parity/reference-checkpoint.js';
import type { Computed } from '../parity/types.js';
import { setDefaultDevice } from '../tensor/device.js';
import { usePrecision } from './precision.js';

interface ParityFlags {
  device: string;
  precision: 'fp32' | 'bf16' | 'fp16';
  dump?: string;
}

const dtypes = { fp32: 'f32', bf16: 'bf16', fp16: 'f16' } as const;

/** Adds the command's flags and action. */
export function register(command: Command): void {
  command
    .argument('<fixture...>', 'safetensors files with golden numbers, or a .pth beside its own')
    .option('--device <name>', 'where to compute: cpu, cuda or cuda:N', 'cpu')
    .addOption(
      new Option('--precision <name>', 'numbers to compute with')
        .choices(['fp32', 'bf16', 'fp16'])
        .default('fp32'),
    )
    .option('--dump <folder>', 'write every computed tensor to FOLDER/<fixture name>.safetensors')
    .action(async (paths: string[], flags: ParityFlags) => {
      setDefaultDevice(flags.device);
      usePrecision(flags);
      let failed = 0;
      for (const path of paths) failed += await runFixture(path, flags);
      if (failed > 0)
        throw new UserError(`parity: ${failed} tensors are past tolerance; they are marked FAIL above`);
    });
}

/** @returns how many tensors are past tolerance */
async function runFixture(path: string, { device, precision, dump }: ParityFlags): Promise<number> {
  if (path.endsWith('.pth')) return report(path, referenceCheckpointKind, compareReferenceCheckpoint(path));
  const file = SafetensorsFile.open(path);
  try {
    const kind = file.metadata['kind'] ?? '';
    if (kind === referenceCheckpointKind) return report(path, kind, compareReferenceCheckpoint(path));
    const load = parityKinds[kind];
    if (load === undefined) {
      throw new UserError(
        `${path}: kind "${kind}" is not known; this build runs ${[...Object.keys(parityKinds), referenceCheckpointKind].join(', ')}`,
      );
    }
    const run = await load();
    const { computed, comparisons } = await fitting(path, async () => {
      const computed = await run(file, { device, dtype: dtypes[precision] });
      return { computed, comparisons: compareWithFixture(file, computed, tolerances[precision]) };
    });
    const failed = report(path, `${kind}, ${device}, ${precision}`, comparisons);
    if (dump !== undefined) await dumpComputed(join(dump, basename(path)), computed, dump);
    return failed;
  } finally {
    file.close();
  }
}

/** Prints a line a tensor. @returns how many are past tolerance */
function report(path: string, how: string, comparisons: readonly Comparison[]): number {
  process.stdout.write(`${basename(path)} (${how})\n`);
  for (const { name, error, passed, absolute } of comparisons) {
    const note = absolute ? ' of the whole gradient' : '';
    process.stdout.write(`  ${passed ? 'ok  ' : 'FAIL'} ${error.toExponential(2)}${note}  ${name}\n`);
  }
  return comparisons.filter(({ passed }) => !passed).length;
}

/** Writes computed tensors under their `expect.*` names. */
async function dumpComputed(path: string, computed: Map<string, Computed>, folder: string): Promise<void> {
  try {
    makeFolderSync(folder);
  } catch (error) {
    throw fileError('write', folder, error);
  }
  const entries = [...computed].map(([name, { data, shape }]) => ({
    name: `expect.${name}`,
    dtype: storedDtype(data),
    shape: [...shape],
    byteLength: data.byteLength,
    read: () => new Uint8Array(data.buffer, data.byteOffset, data.byteLength),
  }));
  await writeSafetensors(path, entries);
}

function storedDtype(data: Computed['data']): 'F64' | 'F32' | 'I32' | 'U8' {
  if (data instanceof Float64Array) return 'F64';
  if (data instanceof Int32Array) return 'I32';
  if (data instanceof Uint8Array) return 'U8';
  return 'F32';
}
