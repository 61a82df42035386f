import { describe, expect, it } from 'vitest';
import { native } from '../../lib/native/addon.js';
import { Attention } from '../../lib/nn/attention.js';
import { Block, CrossBlock, dropPathRates } from '../../lib/nn/block.js';
import { LayerNorm } from '../../lib/nn/layer-norm.js';
import { Mlp } from '../../lib/nn/mlp.js';
import type { Module } from '../../lib/nn/module.js';
import { PatchEmbed } from '../../lib/nn/patch-embed.js';
import { positionTable } from '../../lib/nn/position-table.js';
import { mse } from '../../lib/tensor/ops/loss.js';
import { summed } from '../../lib/tensor/ops/residual-norm.js';
import { scope } from '../../lib/tensor/scope.js';
import { withTape } from '../../lib/tensor/tape.js';
import { Tensor } from '../../lib/tensor/tensor.js';
import * as plain from '../native/ops-plain.js';
import { numbersOf, randomNumbers, relativeError, tensorOf } from '../tensor/numbers.js';

type Numbers = Float32Array | Float64Array;

/** Random weights for the whole module; returns them by name. */
function fill(module: Module): Map<string, Numbers> {
  const values = new Map<string, Numbers>();
  let seed = 0;
  for (const [name, parameter] of module.namedParameters()) {
    seed += 1;
    const data = Float32Array.from(randomNumbers(parameter.size, seed));
    parameter.assign(data);
    values.set(name, data);
  }
  return values;
}

const noise = (count: number, seed = 77): Float32Array => Float32Array.from(randomNumbers(count, seed));

/** x·wᵀ + b in float64. */
function project(x: ArrayLike<number>, w: ArrayLike<number>, b: ArrayLike<number>): Float64Array {
  const rows = (x.length * b.length) / w.length;
  return plain.linear(x, w, b, new Float64Array(rows * b.length)).y;
}

const options = { width: 24, heads: 2, mlpRatio: 4, dropPath: 0, layerScale: 0.1, stream: 0 };
const pass = { dtype: 'f32', dropPath: null } as const;

/** The pre-norm block in float64, from the values of its state dict. */
function plainBlock(x: Numbers, of: Map<string, Numbers>, batch: number, tokens: number): Float64Array {
  const { width, heads } = options;
  const at = (name: string): Numbers => of.get(name)!;
  const norm = (v: ArrayLike<number>, name: string): Float64Array =>
    plain.layerNorm(v, at(`${name}.weight`), at(`${name}.bias`), new Float64Array(v.length), 1e-6).y;
  const qkv = project(norm(x, 'norm1'), at('attn.qkv.weight'), [
    ...at('attn.q_bias'),
    ...new Float64Array(width),
    ...at('attn.v_bias'),
  ]);
  const part = (p: number): Float64Array =>
    Float64Array.from(
      { length: x.length },
      (_, i) => qkv[Math.floor(i / width) * 3 * width + p * width + (i % width)]!,
    );
  const size = width / heads;
  const shape = { batch, queries: tokens, keys: tokens, heads, size, scale: size ** -0.5 };
  const { out } = plain.attention(part(0), part(1), part(2), new Float64Array(x.length), shape);
  const mixed = project(out, at('attn.proj.weight'), at('attn.proj.bias'));
  const y = Float64Array.from(x, (v, i) => v + at('gamma_1')[i % width]! * mixed[i]!);
  const hidden = project(norm(y, 'norm2'), at('mlp.fc1.weight'), at('mlp.fc1.bias'));
  const last = project(
    hidden.map((v) => plain.gelu(v).value),
    at('mlp.fc2.weight'),
    at('mlp.fc2.bias'),
  );
  return y.map((v, i) => v + at('gamma_2')[i % width]! * last[i]!);
}

describe('modules', () => {
  it('Block is the pre-norm block, in f32 within 1e-5 and in bf16 within 2e-2', () => {
    const block = new Block(options);
    const weights = fill(block);
    const x = noise(2 * 7 * 24);
    const wanted = plainBlock(x, weights, 2, 7);
    for (const [dtype, tolerance] of [
      ['f32', 1e-5],
      ['bf16', 2e-2],
    ] as const) {
      scope(() => {
        const y = block.forward(tensorOf(x, [2, 7, 24]), { dtype, dropPath: null });
        expect(y.dtype).toBe('f32');
        expect(relativeError(numbersOf(y), wanted)).toBeLessThan(tolerance);
      });
    }
    block.dispose();
  });

  it('Block with every sample dropped is the identity, and gives its memory back', () => {
    const before = native.memoryStatistics().liveTensors;
    const block = new Block({ ...options, dropPath: 1 - 1e-9 });
    fill(block);
    const x = noise(2 * 7 * 24);
    withTape((tape) =>
      scope(() => {
        const y = block.forward(tensorOf(x, [2, 7, 24]), { dtype: 'f32', dropPath: { seed: 1, step: 1 } });
        expect(numbersOf(y)).toEqual(x);
        tape.backward(mse(y, Tensor.zeros([2, 7, 24])));
      }),
    );
    const gradients = [...block.namedParameters().values()].map((p) =>
      Math.max(...p.grad!.dataSync().map(Math.abs)),
    );
    expect(Math.max(...gradients)).toBe(0);
    block.dispose();
    expect(native.memoryStatistics().liveTensors).toBe(before);
  });

  it('CrossBlock: with layer scale 0 the output is the normalised queries, its gammas fixed', () => {
    const block = new CrossBlock({ ...options, layerScale: 0 });
    const weights = fill(block);
    for (const gamma of [block.gamma1, block.gamma2]) gamma.assign(new Float32Array(24));
    const q = noise(2 * 3 * 24, 1);
    const kv = noise(2 * 5 * 24, 2);
    const [w, b] = [weights.get('norm2_cross.weight')!, weights.get('norm2_cross.bias')!];
    const wanted = plain.layerNorm(q, w, b, q, 1e-6).y;
    scope(() => {
      const [tq, tkv] = [tensorOf(q, [2, 3, 24]), tensorOf(kv, [2, 5, 24])];
      expect(relativeError(numbersOf(summed(block.forward(tq, tq, tkv, tkv, pass))), wanted)).toBeLessThan(
        1e-5,
      );
    });
    expect([block.gamma1.requiresGrad, block.gamma2.requiresGrad]).toEqual([false, false]);
    block.dispose();
  });

  it('Mlp is fc1, GELU, fc2', () => {
    const mlp = new Mlp(7, 31);
    const of = fill(mlp);
    const x = noise(33 * 7);
    const hidden = project(x, of.get('fc1.weight')!, of.get('fc1.bias')!).map((v) => plain.gelu(v).value);
    const wanted = project(hidden, of.get('fc2.weight')!, of.get('fc2.bias')!);
    scope(() => {
      expect(relativeError(numbersOf(mlp.forward(tensorOf(x, [33, 7]))), wanted)).toBeLessThan(1e-5);
    });
    mlp.dispose();
  });

  it('PatchEmbed is the convolution of the patches asked for', () => {
    const embed = new PatchEmbed(5, 2);
    const of = fill(embed);
    const [image, ids] = [noise(3 * 4 * 6), [5, 0, 4]];
    const patches = ids.flatMap((id) => {
      const [row, column] = [2 * Math.floor(id / 3), 2 * (id % 3)];
      return [0, 1, 2].flatMap((c) =>
        [0, 1].flatMap((y) => [0, 1].map((x) => image[(c * 4 + row + y) * 6 + column + x]!)),
      );
    });
    const wanted = project(patches, of.get('proj.weight')!, of.get('proj.bias')!);
    scope(() => {
      const picture = tensorOf(image, [1, 3, 4, 6]);
      const y = embed.forward(picture, Tensor.from(Int32Array.from(ids), [1, 3]), 'f32');
      expect(y.shape).toEqual([1, 3, 5]);
      expect(relativeError(numbersOf(y), wanted)).toBeLessThan(1e-5);
    });
    embed.dispose();
  });
});

describe('state dicts', () => {
  it("have the reference's names, in its order", () => {
    const block = new Block(options);
    expect([...block.stateDict('blocks.0.').keys()]).toEqual(
      [
        'gamma_1',
        'gamma_2',
        'norm1.weight',
        'norm1.bias',
        'attn.q_bias',
        'attn.v_bias',
        'attn.qkv.weight',
        'attn.proj.weight',
        'attn.proj.bias',
        'norm2.weight',
        'norm2.bias',
        'mlp.fc1.weight',
        'mlp.fc1.bias',
        'mlp.fc2.weight',
        'mlp.fc2.bias',
      ].map((name) => `blocks.0.${name}`),
    );
    block.dispose();
  });

  it('load by name, tell what is missing and unexpected, and refuse another shape', () => {
    const norm = new LayerNorm(3);
    fill(norm);
    norm.weight.as('bf16');
    const weight = { shape: [3], data: Float32Array.of(1, 2, 3) };
    expect(
      norm.loadStateDict(
        new Map([
          ['weight', weight],
          ['other', weight],
        ]),
      ),
    ).toEqual({
      missing: ['bias'],
      unexpected: ['other'],
    });
    expect([...norm.weight.dataSync()]).toEqual([1, 2, 3]);
    expect([...numbersOf(norm.weight.copy!)]).toEqual([1, 2, 3]);
    const wide = { shape: [4], data: new Float32Array(4) };
    expect(() => norm.loadStateDict(new Map([['bias', wide]]))).toThrow(/bias is \[4\].*\[3\]/);
    norm.dispose();
  });

  it('dispose gives back weights, gradients and copies', () => {
    const before = native.memoryStatistics().liveTensors;
    const attention = new Attention(8, 2);
    fill(attention);
    withTape((tape) =>
      scope(() => {
        const x = tensorOf(noise(2 * 3 * 8), [2, 3, 8], 'bf16');
        tape.backward(mse(attention.forward(x), tensorOf(noise(48, 5), [2, 3, 8], 'bf16')));
      }),
    );
    const parameters = [...attention.namedParameters().values()];
    expect(parameters.every((parameter) => parameter.hasGrad)).toBe(true);
    attention.clearGrads();
    expect(parameters.some((parameter) => parameter.hasGrad)).toBe(false);
    attention.dispose();
    attention.dispose();
    expect(native.memoryStatistics().liveTensors).toBe(before);
  });
});

describe('tables', () => {
  it('stochastic depth rises linearly over the blocks', () => {
    const rates = dropPathRates(0.3, 4);
    for (const [i, wanted] of [0, 0.1, 0.2, 0.3].entries()) expect(rates[i]).toBeCloseTo(wanted, 15);
    expect(dropPathRates(0.3, 1)).toEqual([0]);
  });

  it('positions: zeros for the cls token, then sine and cosine of row and column', () => {
    const table = positionTable(2, 3, 8);
    expect(table).toHaveLength(7 * 8);
    expect([...table.subarray(0, 8)]).toEqual(new Array(8).fill(0));
    // Row 1, column 2; the two frequencies are 1 and 1/100.
    const wanted = [1, 2].flatMap((v) => [Math.sin(v), Math.sin(v / 100), Math.cos(v), Math.cos(v / 100)]);
    expect([...table.subarray(48, 56)]).toEqual([...Float32Array.from(wanted)]);
    expect(() => positionTable(2, 2, 6)).toThrow(/width 6 does not divide by 4/);
  });
});
