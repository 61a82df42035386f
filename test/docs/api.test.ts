import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it } from 'vitest';

const root = join(import.meta.dirname, '..', '..');

it('docs/api.md: its script runs as it stands, and the loss falls', () => {
  const page = readFileSync(join(root, 'docs', 'api.md'), 'utf8');
  const script = /```ts\n([\s\S]*?)```/.exec(page)?.[1] ?? '';
  // Plain JavaScript as it stands; inside the package it finds `cae-native` by its own exports.
  const folder = mkdtempSync(join(root, 'build', 'api-'));
  try {
    const file = join(folder, 'example.mjs');
    writeFileSync(file, script);
    const losses = execFileSync(process.execPath, [file], { encoding: 'utf8' })
      .trim()
      .split('\n')
      .map((line) => Number(line.split(' ')[1]));
    expect(losses).toHaveLength(10);
    expect(losses.at(-1)).toBeLessThan(losses[0]! - 0.3);
  } finally {
    rmSync(folder, { recursive: true });
  }
});
