import { describe, expect, it } from 'vitest';
import { native } from '../../lib/native/addon.js';
import { defaultDevice, setDefaultDevice, whyNot } from '../../lib/tensor/device.js';
import { Tensor } from '../../lib/tensor/tensor.js';

const ids = (...values: number[]): Tensor => Tensor.from(Int32Array.from(values), [1, values.length]);

/** Bad data is found by the kernel: the error comes when the work is waited for, and only once. */
function failsLater(run: () => unknown, message: RegExp): void {
  native.synchronize(defaultDevice());
  run();
  expect(() => native.synchronize(defaultDevice())).toThrow(message);
  expect(() => native.synchronize(defaultDevice())).not.toThrow();
}

describe('errors on a CUDA device name the op and what is wrong', () => {
  it('a label that is no class', () => {
    const logits = Tensor.zeros([3, 5]);
    const labels = Tensor.from(Int32Array.of(0, 5, 1), [3]);
    failsLater(
      () => native.crossEntropy(logits.handle, labels.handle, false),
      /\[cross_entropy\] label 5 of row 1 is outside 5 classes/,
    );
  });

  it.each([-1, 5])('a label %i of fine-tuning that is no class', (label) => {
    const logits = Tensor.zeros([3, 5]).handle;
    const labels = Tensor.from(Int32Array.of(0, label, 1), [3]).handle;
    const message = (op: string): RegExp =>
      new RegExp(`\\[${op}\\] label ${label} of row 1 is outside 5 classes`);
    failsLater(() => native.smoothCrossEntropy(logits, labels, 0.1), message('smooth_cross_entropy'));
    failsLater(() => native.labelRanks(logits, labels), message('label_ranks'));
  });

  it.each([-1, 2])('a partner or a pair of positions %i outside its table', (index) => {
    const images = Tensor.zeros([2, 1, 2, 2]).handle;
    const weight = Tensor.from(Float32Array.of(0.5, 0.5), [2]).handle;
    const boxes = Tensor.from(new Int32Array(8), [2, 4]).handle;
    failsLater(
      () => native.mixImages(images, Tensor.from(Int32Array.of(1, index), [2]).handle, weight, boxes),
      new RegExp(`\\[mix_images\\] partner ${index} is outside a batch of 2`),
    );
    const message = new RegExp(`\\[position_bias\\] index ${index} is outside a table of 2`);
    const pair = Tensor.from(Int32Array.of(index), [1, 1]).handle;
    const table = Tensor.zeros([2, 3]).handle;
    failsLater(() => native.positionBias(table, pair), message);
    failsLater(() => native.positionBiasBackward(Tensor.zeros([3, 1, 1]).handle, pair, table, true), message);
  });

  it.each([-1, 4])('an index %i outside a table of 4', (index) => {
    const table = Tensor.zeros([4, 8]);
    failsLater(
      () => native.gatherRows(table.handle, ids(0, index).handle, 0),
      new RegExp(`\\[gather_rows\\] index ${index} is outside a table of 4`),
    );
    failsLater(
      () => native.embedTokens(Tensor.zeros([1, 2, 8]).handle, null, table.handle, ids(0, index - 1).handle),
      new RegExp(`\\[embed_tokens\\] index ${index} is outside a table of 4`),
    );
    failsLater(
      () => native.unfoldPatches(Tensor.zeros([1, 3, 4, 4]).handle, 2, ids(0, index).handle, 'f32'),
      new RegExp(`\\[unfold_patches\\] index ${index} is outside a table of 4`),
    );
  });

  it('rejects a read with the error of the work before it', async () => {
    const table = Tensor.zeros([4, 8]);
    const rows = new Tensor(native.gatherRows(table.handle, ids(9).handle, 0));
    await expect(rows.data()).rejects.toThrow(/gather_rows/);
    await expect(table.data()).resolves.toHaveLength(32);
  });

  it('tensors of two devices in one op', () => {
    const here = Tensor.zeros([4]);
    const there = Tensor.zeros([4], 'f32', 'cpu');
    expect(() => native.add(here.handle, there.handle, 1, 1)).toThrow(
      /\[add_forward\] a tensor on cpu beside one on cuda:0; make both on one device/,
    );
  });

  it('a device that is not there, and one of no known name', () => {
    expect(whyNot('cuda:9')).toMatch(/^cuda:9 is not there/);
    expect(() => setDefaultDevice('cuda:9')).toThrow(/^--device cuda:9: cuda:9 is not there/);
    expect(whyNot('cuda:x')).toMatch(/is no device; use cpu, cuda or cuda:N/);
  });

  it('reads tensors of several devices with one wait', async () => {
    const parts = [Tensor.zeros([2]), Tensor.zeros([3], 'f32', 'cpu')].map((tensor) => tensor.handle);
    const buffers = await native.read(parts);
    expect(buffers.map((buffer) => buffer.byteLength)).toEqual([8, 12]);
  });
});
