import { copyFileSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { SafetensorsFile } from '../../lib/checkpoint/safetensors-reader.js';
import { compareReferenceCheckpoint } from '../../lib/parity/reference-checkpoint.js';
import { temporaryFolder } from '../checkpoint/support.js';
import { fixture } from '../fixtures.js';

const tensors = 86;
/** Two moments of each of the 63 trained parameters. */
const moments = 126;

describe('the reference checkpoint', () => {
  it.each(['reference_checkpoint.pth', 'reference_checkpoint_legacy.pth'])(
    '%s is read to the bit',
    (name) => {
      const comparisons = compareReferenceCheckpoint(fixture(name));
      expect(comparisons).toHaveLength(tensors + 1 + moments);
      expect(comparisons.filter(({ passed }) => !passed)).toEqual([]);
    },
  );

  it('the safetensors file stands for both layouts', () => {
    const comparisons = compareReferenceCheckpoint(fixture('reference_checkpoint.safetensors'));
    expect(comparisons).toHaveLength(2 * (tensors + 1 + moments));
    expect(comparisons.every(({ passed }) => passed)).toBe(true);
  });

  it('a bit that differs is found, and a missing archive is said', () => {
    const folder = temporaryFolder();
    const path = join(folder, 'reference_checkpoint.safetensors');
    const bytes = new Uint8Array(readFileSync(fixture('reference_checkpoint.safetensors')));
    const last = bytes.length - 1;
    bytes[last] = (bytes[last] as number) ^ 1;
    writeFileSync(path, bytes);
    expect(() => compareReferenceCheckpoint(path)).toThrow(/no reference_checkpoint\.pth lies beside it/);
    const archive = join(folder, 'reference_checkpoint.pth');
    copyFileSync(fixture('reference_checkpoint.pth'), archive);
    using file = SafetensorsFile.open(path);
    const name = file.names().at(-1)?.replace('expect.', '');
    const failed = compareReferenceCheckpoint(archive).filter(({ passed }) => !passed);
    expect(failed.map((comparison) => comparison.name)).toEqual([`reference_checkpoint.pth: ${name}`]);
  });
});
