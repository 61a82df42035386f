import { appendFileSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { saveCheckpoint } from '../../lib/checkpoint/run-folder.js';
import { writeSafetensors } from '../../lib/checkpoint/safetensors-writer.js';
import { tokenizerWeightsIn, verifyWeights } from '../../lib/models/tokenizer-checkpoint.js';
import { readCustomized } from '../../lib/models/tokenizer-files.js';
import { temporaryFolder } from '../logging/temp-folder.js';

/** Saves a checkpoint of one small tensor. */
async function save(root: string, expName: string, kind: string, globalStep: number): Promise<string> {
  const read = () => new Uint8Array(8);
  const entries = [{ name: 'x', dtype: 'F32', shape: [2], byteLength: 8, read }] as const;
  return await saveCheckpoint({
    root,
    expName,
    tag: globalStep,
    globalStep,
    epoch: globalStep,
    state: { model: { kind } },
    files: [{ name: 'model.safetensors', write: (path) => writeSafetensors(path, entries) }],
  });
}

/** Flips the last byte of a checkpoint's weights. */
function flip(folder: string): void {
  const path = join(folder, 'model.safetensors');
  const bytes = readFileSync(path);
  bytes[bytes.length - 1]! ^= 1;
  writeFileSync(path, bytes);
}

it('finds a tokenizer beside what killed saves left, other runs, and folders of odd names', async () => {
  const root = temporaryFolder();
  for (const name of ['.tokenizer_checkpoint-1.tmp-22457', 'a b_checkpoint-1', 'x_checkpoint-'])
    mkdirSync(join(root, name));
  await save(root, 'cae', 'cae', 90);
  await save(root, 'tokenizer', 'discrete-vae', 1);
  const newest = await save(root, 'words', 'discrete-vae', 3);
  await save(root, 'tokenizer', 'discrete-vae', 2);
  expect(await tokenizerWeightsIn(root)).toBe(join(newest, 'model.safetensors'));
});

it('falls back on an older tokenizer, and says what was passed over where none is left', async () => {
  const root = temporaryFolder();
  const older = await save(root, 'tokenizer', 'discrete-vae', 1);
  flip(await save(root, 'tokenizer', 'discrete-vae', 2));
  await save(root, 'cae', 'cae', 90);
  expect(await tokenizerWeightsIn(root)).toBe(join(older, 'model.safetensors'));
  rmSync(join(older, 'state.json'));
  await expect(tokenizerWeightsIn(root)).rejects.toThrow(
    /holds no tokenizer: .*; passed over: .*checkpoint-1\/state\.json is missing.*; .*checkpoint-2\/model\.safetensors does not match its checksum/,
  );
});

it('refuses a checkpoint named directly whose weights were changed', async () => {
  const root = temporaryFolder();
  const folder = await save(root, 'tokenizer', 'discrete-vae', 1);
  const path = join(folder, 'model.safetensors');
  expect(await tokenizerWeightsIn(folder)).toBe(path);
  flip(folder);
  const damaged = `${path} does not match its checksum; use another checkpoint`;
  await expect(readCustomized(folder)).rejects.toThrow(damaged);
  await expect(readCustomized(path)).rejects.toThrow(damaged);
  rmSync(join(folder, 'state.json'));
  await verifyWeights(path);
  appendFileSync(join(folder, 'state.json'), '{');
  await expect(verifyWeights(path)).rejects.toThrow(/state\.json is not JSON/);
});
