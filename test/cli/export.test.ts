import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { InferenceSession, Tensor } from 'onnxruntime-node';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { fixture } from '../fixtures.js';
import { runCli } from './run-cli.js';

let folder: string;
const place = (name: string): string => join(folder, name);
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'cae-test-'));
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const checkpoint = ['--checkpoint', fixture('reference_checkpoint.pth')];

describe('cae-native export', () => {
  it('writes the encoder of a .pth as ONNX, for a picture size of its own', async () => {
    const flags = [...checkpoint, '--num_heads', '2', '--features', 'mean', '--input_size', '40'];
    const { status, stdout, stderr } = runCli('export', '--onnx', place('mean.onnx'), ...flags);
    expect(status).toBe(0);
    expect(stderr).toMatch(/^\S+checkpoint\.pth does not say how .*; assumed: mean and deviation 0\.5\n$/);
    expect(stdout).toMatch(/mean\.onnx: mean of \[batch, 3, 40x40\], opset 17, 0\.1 MB/);
    const session = await InferenceSession.create(place('mean.onnx'), { logSeverityLevel: 3 });
    const images = new Tensor('float32', new Float32Array(2 * 3 * 40 * 40).fill(0.5), [2, 3, 40, 40]);
    expect((await session.run({ images }))['features']?.dims).toEqual([2, 32]);
    await session.release();
  });

  it.each([
    ['heads that nothing shows', checkpoint, 1, /is 32 wide; give --num_heads/],
    [
      'a classifier out of an encoder',
      [...checkpoint, '--num_heads', '2', '--features', 'classifier'],
      1,
      /has no head/,
    ],
    ['no checkpoint', [], 2, /--checkpoint is missing/],
    ['no encoder', ['--checkpoint', fixture('cosine_schedules.safetensors')], 1, /holds no encoder/],
  ])('refuses %s in one line', (_name, flags, status, message) => {
    const result = runCli('export', '--onnx', place('x.onnx'), ...flags);
    expect([result.status, result.stdout]).toEqual([status, '']);
    expect(result.stderr).toMatch(message);
    expect(result.stderr.trimEnd().split('\n')).toHaveLength(1);
    expect(existsSync(place('x.onnx'))).toBe(false);
  });
});
