import { mkdirSync } from 'node:fs';
import { basename, join } from 'node:path';
import { type Command, Option } from 'commander';
import { SafetensorsFile } from '../checkpoint/safetensors-reader.js';
import { writeSafetensors } from '../checkpoint/safetensors-writer.js';
import { UserError } from '../errors.js';
import { compareWithFixture } from '../parity/compare.js';
import { parityKinds } from '../parity/kinds.js';
import type { Computed } from '../parity/types.js';
import { setDefaultDevice } from '../tensor/device.js';

interface ParityFlags {
  device: string;
  precision: 'fp32' | 'bf16' | 'fp16';
  dump?: string;
}

/** Largest relative error that passes: rounding in fp32, the formats' own coarseness in bf16 and fp16. */
const tolerances = { fp32: 1e-4, bf16: 2e-2, fp16: 2e-2 } as const;
const dtypes = { fp32: 'f32', bf16: 'bf16', fp16: 'f16' } as const;

/** Adds the command's flags and action. */
export function register(command: Command): void {
  command
    .argument('<fixture...>', 'safetensors files with golden numbers')
    .option('--device <name>', 'where to compute: cpu, cuda or cuda:N', 'cpu')
    .addOption(
      new Option('--precision <name>', 'numbers to compute with')
        .choices(['fp32', 'bf16', 'fp16'])
        .default('fp32'),
    )
    .option('--dump <folder>', 'write every computed tensor to FOLDER/<fixture name>.safetensors')
    .action(async (paths: string[], flags: ParityFlags) => {
      setDefaultDevice(flags.device);
      let failed = 0;
      for (const path of paths) failed += await runFixture(path, flags);
      if (failed > 0)
        throw new UserError(`parity: ${failed} tensors are past tolerance; they are marked FAIL above`);
    });
}

/** @returns how many tensors are past tolerance */
async function runFixture(path: string, { device, precision, dump }: ParityFlags): Promise<number> {
  const file = SafetensorsFile.open(path);
  try {
    const kind = file.metadata['kind'] ?? '';
    const load = parityKinds[kind];
    if (load === undefined) {
      throw new UserError(
        `${path}: kind "${kind}" is not known; this build runs ${Object.keys(parityKinds).join(', ')}`,
      );
    }
    const run = await load();
    const computed = await run(file, { device, dtype: dtypes[precision] });
    const comparisons = compareWithFixture(file, computed, tolerances[precision]);
    process.stdout.write(`${basename(path)} (${kind}, ${device}, ${precision})\n`);
    for (const { name, error, passed, absolute } of comparisons) {
      const note = absolute ? ' of the whole gradient' : '';
      process.stdout.write(`  ${passed ? 'ok  ' : 'FAIL'} ${error.toExponential(2)}${note}  ${name}\n`);
    }
    if (dump !== undefined) await dumpComputed(join(dump, basename(path)), computed, dump);
    return comparisons.filter(({ passed }) => !passed).length;
  } finally {
    file.close();
  }
}

/** Writes computed tensors under their `expect.*` names. */
async function dumpComputed(path: string, computed: Map<string, Computed>, folder: string): Promise<void> {
  mkdirSync(folder, { recursive: true });
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
