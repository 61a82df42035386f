import { describe, expect, it } from 'vitest';
import { native } from '../../lib/native/addon.js';
import type { Handle } from '../../lib/native/bindings.js';
import { scope } from '../../lib/tensor/scope.js';
import { Tensor } from '../../lib/tensor/tensor.js';
import { numbersOf, tensorOf } from '../tensor/numbers.js';

const nan = Number.NaN;
const inf = Number.POSITIVE_INFINITY;
const numbers = (handle: Handle): number[] => [...numbersOf(new Tensor(handle))];
const repeated = (values: number[], times: number): number[] =>
  Array.from({ length: times }, () => values).flat();

describe.each<['f32' | 'bf16' | 'f64']>([['f32'], ['bf16'], ['f64']])('a NaN in %s', (dtype) => {
  const tensor = (values: number[], shape: number[]): Handle => tensorOf(values, shape, dtype).handle;

  it('goes through relu, whose gradient passes beside it', () => {
    scope(() => {
      const x = repeated([-1, nan, 2, 0], 5);
      expect(numbers(native.relu(tensor(x, [20])))).toEqual(repeated([0, nan, 2, 0], 5));
      const dy = tensor(new Array(20).fill(3), [20]);
      expect(numbers(native.reluBackward(dy, tensor(x, [20])))).toEqual(repeated([0, 3, 3, 0], 5));
    });
  });

  // By oneDNN, Winograd's way and plain loops, as the dtype and the channels go.
  it.each([
    [3, 3, 1, 9],
    [64, 3, 1, 9],
    [3, 4, 2, 4],
  ])('goes through the relu of a convolution of %i channels, kernel %i', (channels, kernel, stride, all) => {
    scope(() => {
      const side = 40;
      const pixels = new Array(side * side * channels).fill(1);
      pixels[20 * side * channels + 20 * channels] = nan;
      const x = tensor(pixels, [1, side, side, channels]);
      const taps = tensor(new Array(64 * channels * kernel ** 2).fill(-1), [64, channels, kernel, kernel]);
      const y = numbers(native.conv2d(x, taps, null, stride, 1, true));
      expect(y.filter(Number.isNaN).length).toBeGreaterThanOrEqual(64 * all);
      expect(y.filter((v) => !Number.isNaN(v)).every((v) => v === 0)).toBe(true);
    });
  });

  it.each([0, 1, 2, 3])('wins in the pool from place %i, and gets the gradient', (place) => {
    scope(() => {
      const channels = 9;
      const square = [1, 5, 4, 2].map((v, i) => (i === place ? nan : v));
      const x = tensor(
        square.flatMap((v) => new Array(channels).fill(v)),
        [1, 2, 2, channels],
      );
      expect(numbers(native.maxPool2(x))).toEqual(new Array(channels).fill(nan));
      const dy = tensor(new Array(channels).fill(3), [1, 1, 1, channels]);
      expect(numbers(native.maxPool2Backward(dy, x))).toEqual(
        square.flatMap((v) => new Array(channels).fill(Number.isNaN(v) ? 3 : 0)),
      );
    });
  });

  it('is the largest of its row', () => {
    scope(() => {
      const row = (at: number[], n = 40): number[] =>
        Array.from({ length: n }, (_, i) => (at.includes(i) ? nan : i === 7 ? inf : i));
      const rows = [row([0]), row([6]), row([20, 33]), row([39]), row([])];
      expect(numbers(native.argmax(tensor(rows.flat(), [5, 40])))).toEqual([0, 6, 20, 39, 7]);
      const least = tensor(new Array(40).fill(-inf), [1, 40]);
      expect(numbers(native.argmax(least))).toEqual([0]);
    });
  });
});

describe('a logit of -Infinity', () => {
  it('beside the label costs nothing without smoothing', () => {
    scope(() => {
      const labels = Tensor.from(Int32Array.of(0), [1]).handle;
      const logits = tensorOf([1, -inf], [1, 2]).handle;
      const [loss, dlogits] = native.smoothCrossEntropy(logits, labels, 0);
      expect(numbers(loss)[0]).toBeCloseTo(0, 6);
      expect(numbers(dlogits).every(Number.isFinite)).toBe(true);
      expect(numbers(native.smoothCrossEntropy(logits, labels, 0.1)[0])).toEqual([inf]);
    });
  });
});
