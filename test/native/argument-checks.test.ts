import { describe, expect, it } from 'vitest';
import { native } from '../../lib/native/addon.js';
import type { Handle } from '../../lib/native/bindings.js';
import { nativeImages } from '../../lib/native/image.js';
import { defaultDevice } from '../../lib/tensor/device.js';
import { scope } from '../../lib/tensor/scope.js';
import { type Dtype, Tensor } from '../../lib/tensor/tensor.js';

const zeros = (shape: number[], dtype: Dtype = 'f32'): Handle => Tensor.zeros(shape, dtype).handle;
const scalar = (): Handle => zeros([]);

describe('sizes', () => {
  it.each([[[2 ** 62]], [[2 ** 53, 2 ** 53]], [[2 ** 32, 2 ** 32]], [[2 ** 48]], [[0, 2 ** 40, 2 ** 40]]])(
    'a shape %j with more elements than a tensor has is refused',
    (shape) => {
      expect(() => Tensor.zeros(shape)).toThrow();
      expect(() => Tensor.zeros(shape, 'f64')).toThrow();
      expect(() => Tensor.from(new Float32Array(0), shape)).toThrow();
    },
  );

  it('the message names the shape', () => {
    expect(() => Tensor.empty([2 ** 32, 2 ** 32])).toThrow(
      /^\[shape\] \[4294967296,4294967296\] has more than 140737488355328 elements$/,
    );
  });

  it('so is a result that an op would make of it', () => {
    scope(() => {
      const picture = zeros([1, 2, 2, 1]);
      const weight = zeros([1, 1, 3, 3]);
      expect(() => native.conv2d(picture, weight, null, 1, 2 ** 40, false)).toThrow(/conv2d.*padding/);
      expect(() => native.conv2d(picture, weight, null, 2 ** 40, 1, false)).toThrow(/conv2d.*stride/);
      expect(() => native.convTranspose2d(picture, weight, null, 2 ** 53, 1)).toThrow(/conv_transpose2d/);
      expect(() => native.repeatToken(zeros([8]), 2 ** 31, 2 ** 31, 'f32')).toThrow(/\[shape\]/);
    });
  });

  it('a slice stays within its tokens, however large its numbers', () => {
    scope(() => {
      const x = zeros([1, 4, 2]);
      for (const [start, count] of [
        [2, 3],
        [5, 0],
        [2 ** 53, 2 ** 53],
        [1, -1],
      ] as const) {
        expect(() => native.sliceTokens(x, start, count)).toThrow(/slice_tokens.*of \[1,4,2\]/);
        expect(() => native.rows(x, start, count)).toThrow(/rows.*of \[1,4,2\]/);
      }
      expect(() => native.sliceTokensBackward(x, 2 ** 53, 2 ** 53)).toThrow(/slice_tokens_backward/);
      expect(native.shapeOf(native.sliceTokens(x, 4, 0))).toEqual([1, 0, 2]);
    });
  });
});

describe('numbers given for integers', () => {
  it.each([1.9, Number.NaN, Number.POSITIVE_INFINITY, 2 ** 53 + 2, -(2 ** 60)])('%d is refused', (number) => {
    scope(() => {
      const x = zeros([1, 4, 2]);
      expect(() => native.sliceTokens(x, 0, number)).toThrow(
        /^\[sliceTokens\] argument 3 must be an integer within ±2\^53, got /,
      );
      expect(() => native.empty([number], 'f32', defaultDevice())).toThrow(
        /^\[empty\] argument 1 must be an/,
      );
    });
  });

  it('32-bit ones are not cut down either', () => {
    expect(() => nativeImages.imagePool(2 ** 32 + 1)).toThrow(
      /imagePool.*argument 1 must be an integer of 32 bits/,
    );
    expect(() => native.setThreads(1.5)).toThrow(/setThreads.*argument 1 must be an integer/);
  });
});

describe('attention', () => {
  it('needs keys where there are queries', () => {
    scope(() => {
      expect(() => native.crossAttention(zeros([1, 2, 8]), zeros([1, 0, 8]), zeros([1, 0, 8]), 2, 1)).toThrow(
        /\[cross_attention\] q \[1,2,8\] has no keys/,
      );
    });
  });

  it('checks what its backward passes read', () => {
    scope(() => {
      const qkv = zeros([1, 3, 24]);
      const x = zeros([1, 3, 8]);
      const logSum = zeros([1, 2, 3]);
      const bias = zeros([2, 3, 3]);
      const backward = [
        (dout: Handle, out: Handle, sums: Handle) => native.selfAttentionBackward(dout, qkv, out, sums, 2, 1),
        (dout: Handle, out: Handle, sums: Handle) =>
          native.biasedSelfAttentionBackward(dout, qkv, bias, out, sums, 2, 1),
        (dout: Handle, out: Handle, sums: Handle) =>
          native.crossAttentionBackward(dout, x, x, x, out, sums, 2, 1),
      ];
      for (const call of backward) {
        expect(() => call(x, x, logSum)).not.toThrow();
        expect(() => call(zeros([1, 1, 8]), zeros([1, 1, 8]), logSum)).toThrow(/dout is \[1,1,8\]/);
        expect(() => call(zeros([1, 3, 8], 'bf16'), x, logSum)).toThrow(/dout is bf16/);
        expect(() => call(x, zeros([1, 3, 4]), logSum)).toThrow(/out is \[1,3,4\]/);
        expect(() => call(x, zeros([1, 3, 8], 'bf16'), logSum)).toThrow(/out is bf16/);
        expect(() => call(x, x, zeros([1, 2, 1]))).toThrow(/log_sum is \[1,2,1\]/);
        expect(() => call(x, x, zeros([1, 2, 3], 'f64'))).toThrow(/log_sum is f64/);
      }
    });
  });
});

describe('tables, pictures, lists', () => {
  it('a table without columns holds no rows', () => {
    scope(() => {
      const ids = zeros([1, 1], 'i32');
      expect(() => native.gatherRows(zeros([3, 0]), ids, 0)).toThrow(/gather_rows.*\[3,0\] have no columns/);
      expect(() => native.embedTokens(zeros([1, 1, 0]), null, zeros([3, 0]), ids)).toThrow(
        /embed_tokens.*have no columns/,
      );
    });
  });

  it.each([1, 2, 3])('a picture smaller than the kernel is refused at stride %i', (stride) => {
    scope(() => {
      const weight = zeros([1, 1, 5, 5]);
      const call = (height: number, padding: number): Handle =>
        native.conv2d(zeros([1, height, 8, 1]), weight, null, stride, padding, false);
      expect(() => call(4, 0)).toThrow('[conv2d] x [1,4,8,1] is smaller than the kernel of [1,1,5,5]');
      expect(() => call(2, 1)).toThrow('[conv2d] x [1,2,8,1] is smaller than the kernel of [1,1,5,5]');
      expect(() => call(3, 1)).not.toThrow();
    });
  });

  it('a norm is of f32 or f64 gradients', () => {
    scope(() => {
      expect(() => native.globalNorm([zeros([4], 'i32')])).toThrow(/global_norm.*i32, expected f32 or f64/);
      expect(() => native.globalNorm([zeros([4], 'bf16')])).toThrow(/global_norm.*bf16/);
    });
  });
});

describe('scalars where rows are expected', () => {
  it.each<[string, () => unknown]>([
    ['gelu', () => native.gelu(scalar(), null)],
    ['gelu_backward', () => native.geluBackward(scalar(), scalar(), null, null, false, null)],
    ['mse', () => native.mse(scalar(), scalar())],
    ['kl_to_uniform', () => native.klToUniform(scalar(), 1)],
    ['layer_norm', () => native.layerNorm(scalar(), zeros([1]), zeros([1]), 1e-5, 'f32')],
    ['gumbel_softmax', () => native.gumbelSoftmax(scalar(), null, 1, 0, 0, 0)],
  ])('%s names itself', (op, call) => {
    scope(() => {
      expect(call).toThrow(new RegExp(`^\\[${op}\\] .* is a scalar, expected rows`));
    });
  });
});
