import { describe, expect, it } from 'vitest';
import { native } from '../../lib/native/addon.js';
import type { Dtype } from '../../lib/native/bindings.js';
import { relativeError } from '../tensor/numbers.js';
import { type Case, onBoth } from './both-devices.js';

/** Largest relative error against the CPU's backend: rounding of sums in another order; the formats' own coarseness. */
const dtypes: [Dtype, number][] = [
  ['f32', 2e-6],
  ['bf16', 6e-3],
  ['f16', 1e-3],
];

function expectSame(dtype: Dtype, tolerance: number, run: Case): void {
  for (const [name, { cpu, cuda }] of Object.entries(onBoth(dtype, run))) {
    expect(relativeError(cuda, cpu), name).toBeLessThan(tolerance);
  }
}

/** Rows and columns: one, below and above a warp, tails of every vector width, registers and beyond. */
const matrices: [number, number][] = [
  [1, 1],
  [31, 33],
  [33, 31],
  [257, 8],
  [9, 257],
  [5, 520],
  [40, 768],
  [3, 1024],
  [2, 1032],
];

describe.each(dtypes)('kernels in %s against the CPU, within %d', (dtype, tolerance) => {
  it.each(matrices)('layerNorm and its gradients, %i rows of %i', (rows, width) => {
    for (const accumulate of [false, true]) {
      expectSame(dtype, 4 * tolerance, (b) => {
        const x = b.input([rows, width], 1, { factor: 2 });
        const weight = b.input([width], 2, { dtype: 'f32' });
        const bias = b.input([width], 3, { dtype: 'f32' });
        const [y, mean, rstd] = native.layerNorm(x, weight, bias, 1e-6, b.dtype);
        const [dweight, dbias] = [
          b.input([width], 5, { dtype: 'f32' }),
          b.input([width], 6, { dtype: 'f32' }),
        ];
        const dy = b.input([rows, width], 4);
        const again = b.input([rows, width], 7);
        const dx = native.layerNormBackward(
          ...([dy, x, weight, bias, mean, rstd, dweight, dbias, accumulate, again] as const),
        );
        // One column: y is its bias and dx is nothing but rounding.
        return width === 1 ? { y, again, mean, dbias } : { y, again, mean, rstd, dx, dweight, dbias };
      });
    }
  });

  it.each([
    [33, 31],
    [40, 768],
  ])('layerNorm of an f32 stream, and its gradient from it, %i rows of %i', (rows, width) => {
    expectSame(dtype, 4 * tolerance, (b) => {
      const x = b.input([rows, width], 1, { dtype: 'f32', factor: 2 });
      const weight = b.input([width], 2, { dtype: 'f32' });
      const bias = b.input([width], 3, { dtype: 'f32' });
      const [y, mean, rstd] = native.layerNorm(x, weight, bias, 1e-6, b.dtype);
      const dx = native.layerNormBackward(
        b.input([rows, width], 4),
        x,
        weight,
        bias,
        mean,
        rstd,
        null,
        null,
        false,
        null,
      );
      return { y, dx };
    });
  });

  it.each(matrices)('gelu with and without bias, and its gradients, %i rows of %i', (rows, width) => {
    for (const accumulate of [false, true]) {
      expectSame(dtype, 4 * tolerance, (b) => {
        const x = b.input([rows, width], 1, { factor: 4 });
        const bias = b.input([width], 2, { dtype: 'f32' });
        const dy = b.input([rows, width], 3);
        const dbias = b.input([width], 4, { dtype: 'f32' });
        const again = b.input([rows, width], 5);
        return {
          y: native.gelu(x, bias),
          plain: native.gelu(x, null),
          dx: native.geluBackward(dy, x, bias, dbias, accumulate, again),
          dbias,
          again,
          dplain: native.geluBackward(dy, x, null, null, false, null),
        };
      });
    }
  });

  it.each([
    [1, 1, 1],
    [3, 11, 33],
    [2, 7, 520],
  ])('residual and its gradients, [%i, %i, %i]', (batch, tokens, width) => {
    for (const stream of [dtype, 'f32'] as const) {
      expectSame(dtype, 2 * tolerance, (b) => {
        const kind = stream === 'f32' ? 'f32' : b.dtype;
        const shape = [batch, tokens, width];
        const x = b.input(shape, 1, { dtype: kind });
        const branch = b.input(shape, 2);
        const gamma = b.input([width], 3, { dtype: 'f32' });
        const keep = b.input([batch], 4, { dtype: 'f32' });
        const dy = b.input(shape, 5, { dtype: kind });
        const dgamma = b.input([width], 6, { dtype: 'f32' });
        return {
          y: native.residual(x, branch, gamma, keep),
          plain: native.residual(x, branch, null, null),
          dbranch: native.residualBackward(dy, branch, gamma, keep, b.dtype, dgamma, true),
          dgamma,
          dplain: native.residualBackward(dy, null, null, keep, b.dtype, null, false),
        };
      });
    }
  });

  it.each([1, 31, 33, 257, 4099])('elementwise ops and sums of %i', (n) => {
    expectSame(dtype, 2 * tolerance, (b) => {
      const [x, y] = [b.input([n], 1, { factor: 2 }), b.input([n], 2)];
      const factor = b.input([1], 3, { dtype: 'f32' });
      const into = b.input([n], 4);
      native.addInto(into, x, 0.5, -2);
      const filled = b.room([n], b.dtype);
      native.fill(filled, 1.5);
      const relu = native.relu(x);
      const sigmoid = native.sigmoid(x);
      return {
        add: native.add(x, y, 2, -0.5),
        into,
        scaled: native.scaleBy(x, factor),
        sum: native.sum(native.add(x, x, 0.5, 0.5), 0.25),
        filled,
        relu,
        reluBackward: native.reluBackward(y, relu),
        sigmoid,
        sigmoidBackward: native.sigmoidBackward(y, sigmoid),
        // In rows of one: the CPU sums a row in f32, and rows in f64.
        mse: native.mse(native.reshape(x, [n, 1]), native.reshape(y, [n, 1])),
        mseBackward: native.mseBackward(factor, x, y),
        smooth: native.smoothL1(x, y)[0],
        smoothBackward: native.smoothL1(x, y)[1],
      };
    });
  });

  it.each([1, 33, 4099])('casts of %i, to every dtype and back', (n) => {
    expectSame(dtype, tolerance, (b) => {
      const x = b.input([n], 1, { factor: 64 });
      const casts = (['f32', 'bf16', 'f64', 'i32'] as const).map((to) => [to, native.cast(x, to)] as const);
      return Object.fromEntries(casts);
    });
  });

  it.each([
    [1, 1],
    [3, 33],
    [7, 257],
    [5, 2048],
    [4, 8192],
    [3, 8200],
  ])('crossEntropy, %i rows of %i', (rows, classes) => {
    for (const inPlace of [false, true]) {
      expectSame(dtype, 4 * tolerance, (b) => {
        const logits = b.input([rows, classes], 1, { factor: 8 });
        const [loss, accuracy, dlogits] = native.crossEntropy(logits, b.ids([rows], 2, classes), inPlace, 1);
        // One class: nothing but rounding is left of the loss and the gradient.
        return classes === 1 ? { accuracy } : { loss, accuracy, dlogits };
      });
    }
  });

  it.each([
    [1, 33],
    [5, 257],
    [3, 8192],
  ])(
    'rows of distributions: argmax, gumbelSoftmax and its gradient, klToUniform, %i of %i',
    (rows, classes) => {
      expectSame(dtype, 8 * tolerance, (b) => {
        const logits = b.input([rows, classes], 1, { factor: 8 });
        const noise = b.input([rows, classes], 2, { dtype: 'f32', factor: 2 });
        const y = native.gumbelSoftmax(logits, noise, 0.9, 0, 0, 0);
        const [loss, gradient] = native.klToUniform(logits, 0.3);
        return {
          argmax: native.argmax(logits),
          y,
          drawn: native.gumbelSoftmax(logits, null, 0.9, 7, 2, 5),
          dlogits: native.gumbelSoftmaxBackward(b.input([rows, classes], 3), y, 0.9),
          loss,
          gradient,
        };
      });
    },
  );

  it.each([
    { batch: 1, tokens: 1, width: 1, table: 3 },
    { batch: 3, tokens: 5, width: 33, table: 9 },
    { batch: 2, tokens: 33, width: 264, table: 40 },
  ])(
    'tokens: embed, gather, repeat, concat, slice, with gradients, %o',
    ({ batch, tokens, width, table }) => {
      for (const accumulate of [false, true]) {
        expectSame(dtype, 2 * tolerance, (b) => {
          const x = b.input([batch, tokens, width], 1);
          const other = b.input([batch, tokens + 2, width], 2);
          const positions = b.input([1, table, width], 3, { dtype: 'f32' });
          const first = b.input([1, 1, width], 4, { dtype: 'f32' });
          const ids = b.ids([batch, tokens], 5, table - 1);
          const dy = b.input([batch, tokens + 1, width], 6, { dtype: 'f32' });
          const dfirst = b.input([width], 7, { dtype: 'f32' });
          const dtoken = b.input([width], 8, { dtype: 'f32' });
          native.repeatTokenBackward(x, dtoken, accumulate);
          return {
            embedded: native.embedTokens(x, first, positions, ids),
            patches: native.embedTokens(x, null, positions, ids),
            dx: native.embedTokensBackward(dy, true, b.dtype, dfirst, accumulate),
            dfirst,
            gathered: native.gatherRows(positions, ids, 1),
            gatheredIds: native.gatherRows(b.ids([table, 3], 7, 1000), ids, 0),
            repeated: native.repeatToken(first, batch, tokens, b.dtype),
            dtoken,
            concat: native.concatTokens(x, other),
            slice: native.sliceTokens(other, 1, tokens),
            sliceBackward: native.sliceTokensBackward(x, 2, tokens + 5),
          };
        });
      }
    },
  );

  it.each([
    { batch: 1, height: 2, width: 2, patch: 1 },
    { batch: 2, height: 10, width: 15, patch: 5 },
    { batch: 2, height: 16, width: 32, patch: 16 },
  ])('pictures: normalise and unfold, %o', ({ batch, height, width, patch }) => {
    const patches = (height / patch) * (width / patch);
    expectSame(dtype, tolerance, (b) => {
      const pixels = native.cast(b.ids([batch, height, width, 3], 1, 256), 'u8');
      const [mean, deviation] = [
        b.input([3], 2, { dtype: 'f32' }),
        native.add(b.input([3], 3, { dtype: 'f32' }), b.input([3], 3, { dtype: 'f32' }), 0.25, 0.5),
      ];
      const planes = native.normalizeImages(pixels, mean, deviation, false, b.dtype);
      const ids = b.ids([batch, patches], 4, patches);
      return {
        planes,
        last: native.normalizeImages(pixels, mean, deviation, true, b.dtype),
        unfolded: native.unfoldPatches(planes, patch, ids, b.dtype),
        fromF32: native.unfoldPatches(native.cast(planes, 'f32'), patch, ids, b.dtype),
      };
    });
  });

  it.each([
    [1, 2, 2, 1],
    [2, 6, 4, 33],
    [1, 4, 10, 72],
  ])('maxPool2, upsample2 and their gradients, [%i, %i, %i, %i]', (batch, height, width, channels) => {
    expectSame(dtype, 2 * tolerance, (b) => {
      const x = b.input([batch, height, width, channels], 1);
      const half = b.input([batch, height / 2, width / 2, channels], 2);
      return {
        pooled: native.maxPool2(x),
        dx: native.maxPool2Backward(half, x),
        upsampled: native.upsample2(half),
        dhalf: native.upsample2Backward(x),
      };
    });
  });

  it.each([
    { queries: 1, keys: 1, size: 5, heads: 1 },
    { queries: 33, keys: 31, size: 12, heads: 3 },
    { queries: 7, keys: 257, size: 16, heads: 2 },
  ])('attention by products around own kernels, %o', ({ queries, keys, size, heads }) => {
    expectSame(dtype, 8 * tolerance, (b) => {
      const width = heads * size;
      const [q, k, v] = [
        b.input([2, queries, width], 1, { factor: 3 }),
        b.input([2, keys, width], 2, { factor: 3 }),
        b.input([2, keys, width], 3),
      ];
      const [out, logSum] = native.crossAttention(q, k, v, heads, size ** -0.5);
      const dout = b.input([2, queries, width], 4);
      const [dq, dk, dv] = native.crossAttentionBackward(dout, q, k, v, out, logSum, heads, size ** -0.5);
      // One key: the softmax is 1 and has no slope; what is left in dq and dk is rounding.
      return keys === 1 ? { out, logSum, dv } : { out, logSum, dq, dk, dv };
    });
  });

  it.each([
    { size: 6, ins: 3, outs: 5, kernel: 3, stride: 1 },
    { size: 8, ins: 8, outs: 16, kernel: 4, stride: 2 },
    { size: 5, ins: 16, outs: 8, kernel: 1, stride: 1 },
  ])('conv2d: weights reordered, bias, relu and gradients, %o', ({ size, ins, outs, kernel, stride }) => {
    const padding = kernel === 1 ? 0 : 1;
    const out = Math.floor((size + 2 * padding - kernel) / stride) + 1;
    for (const accumulate of [false, true]) {
      expectSame(dtype, 4 * tolerance, (b) => {
        const x = b.input([2, size, size, ins], 1);
        const weight = b.input([outs, ins, kernel, kernel], 2);
        const bias = b.input([outs], 3, { dtype: 'f32' });
        const dy = b.input([2, out, out, outs], 4);
        const dweight = b.input([outs, ins, kernel, kernel], 5, { dtype: 'f32' });
        const dbias = b.input([outs], 6, { dtype: 'f32' });
        native.conv2dBackwardWeight(dy, x, dweight, dbias, stride, padding, accumulate);
        return {
          y: native.conv2d(x, weight, bias, stride, padding, true),
          unbent: native.conv2d(x, weight, bias, stride, padding, false),
          unbiased: native.conv2d(x, weight, null, stride, padding, true),
          plain: native.conv2d(x, weight, null, stride, padding, false),
          prepared: native.conv2dPrepared(x, native.prepareConvWeight(weight), bias, stride, padding, true),
          dx: native.conv2dBackwardInput(dy, weight, size, size, stride, padding),
          dweight,
          dbias,
          transposed: native.convTranspose2d(
            dy,
            weight,
            b.input([ins], 7, { dtype: 'f32' }),
            stride,
            padding,
          ),
        };
      });
    }
  });

  it('conv2d of a batch so large that the library adds bias and relu itself', () => {
    expectSame(dtype, 4 * tolerance, (b) => {
      const x = b.input([64, 32, 32, 8], 1);
      const [weight, bias] = [b.input([128, 8, 1, 1], 2), b.input([128], 3, { dtype: 'f32' })];
      const y = native.conv2d(x, weight, bias, 1, 0, true);
      return { first: native.rows(y, 0, 1), last: native.rows(y, 63, 1) };
    });
  });
});
