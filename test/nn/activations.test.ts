import { expect, it } from 'vitest';
import { native } from '../../lib/native/addon.js';
import { Block, type BlockOptions, CrossBlock } from '../../lib/nn/block.js';
import { throughBlocks } from '../../lib/nn/block-stack.js';
import { defaultDevice } from '../../lib/tensor/device.js';
import { scope } from '../../lib/tensor/scope.js';
import { withTape } from '../../lib/tensor/tape.js';
import { type Dtype, Tensor } from '../../lib/tensor/tensor.js';

// The rule by which memory is counted here: everything that backward reads, once. What a norm or a GELU made is made
// again from its input.
const width = 128;
const heads = 4;
const [batch, tokens, read] = [2, 50, 90];
const options: BlockOptions = { width, heads, mlpRatio: 4, dropPath: 0.1, layerScale: 0.1, stream: 0 };
const allocated = (): number => {
  native.synchronize(defaultDevice());
  return native.memoryStatistics(defaultDevice()).allocated;
};

/** Bytes that stay allocated behind `forward`, until backward. */
function held(forward: (x: Tensor, kv: Tensor, positions: Tensor) => void): number {
  return withTape(() =>
    scope(() => {
      const [x, kv, positions] = [
        Tensor.zeros([batch, tokens, width]),
        Tensor.zeros([batch, read, width]),
        Tensor.zeros([batch, read, width]),
      ];
      for (const tensor of [x, kv]) tensor.requiresGrad = true;
      const before = allocated();
      scope(() => forward(x, kv, positions));
      return allocated() - before;
    }),
  );
}

function prepared<T extends Block | CrossBlock>(block: T, dtype: Dtype): T {
  for (const parameter of block.namedParameters().values()) {
    native.fill(parameter.handle, 0.01);
    parameter.as(dtype);
  }
  return block;
}

it.each<[Dtype, number, number]>([
  ['f32', 0.1, 48],
  ['f32', 0, 40],
  ['bf16', 0.1, 28],
  ['bf16', 0, 24],
])('a block in %s with layer scale %d keeps %d bytes a channel of a token', (dtype, layerScale, bytes) => {
  const blocks = [1, 2, 3].map((stream) => prepared(new Block({ ...options, layerScale, stream }), dtype));
  const pass = { dtype, dropPath: { seed: 1, step: 1 } };
  const of = (count: number): number => held((x) => void throughBlocks(blocks.slice(0, count), x, pass));
  // Beside these: two norms' statistics, and the softmax's.
  const wanted = batch * tokens * (bytes * width + 16 + 4 * heads);
  // Blocks of memory are whole lines.
  expect(of(3) - of(2)).toBeGreaterThanOrEqual(wanted);
  expect(of(3) - of(2)).toBeLessThan(1.02 * wanted);
  for (const block of blocks) block.dispose();
});

it.each<[Dtype, number]>([
  ['f32', 4],
  ['bf16', 2],
])('a cross block in %s keeps what it reads once, and no sum with its positions', (dtype, size) => {
  const block = prepared(new CrossBlock(options), dtype);
  const got = held((x, kv, positions) => {
    block.forward(x, x, kv, positions, { dtype, dropPath: { seed: 1, step: 1 } });
  });
  // Of a query q, attention's result, the branch, the stream, its norm, the MLP's first layer's result; of what is read
  // k and v. The queries, what is read and its positions are the caller's.
  const perQuery = (8 * size + 4) * width + 16 + 4 * heads;
  const perKey = 2 * size * width + 16;
  const wanted = batch * (tokens * perQuery + read * perKey);
  expect(got).toBeGreaterThanOrEqual(wanted);
  expect(got).toBeLessThan(1.02 * wanted);
  block.dispose();
});
