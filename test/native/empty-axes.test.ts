import { describe, expect, it } from 'vitest';
import { native } from '../../lib/native/addon.js';
import type { Handle } from '../../lib/native/bindings.js';
import { scope } from '../../lib/tensor/scope.js';
import { Tensor } from '../../lib/tensor/tensor.js';
import { numbersOf, product, tensorOf } from '../tensor/numbers.js';

type Dtype = 'f32' | 'bf16' | 'f64';

/** Fills the memory that is handed out next with sevens, so that what an op leaves out shows. */
function soil(): void {
  const dirt = Array.from({ length: 8 }, () => {
    const tensor = Tensor.empty([64]);
    native.fill(tensor.handle, 7);
    return tensor;
  });
  for (const tensor of dirt) tensor.release();
}

const zeros = (shape: number[], dtype: Dtype = 'f32'): Handle => Tensor.zeros(shape, dtype).handle;
const sevens = (shape: number[], dtype: Dtype): Tensor =>
  tensorOf(new Array(product(shape)).fill(7), shape, dtype);
const numbers = (handle: Handle): number[] => [...numbersOf(new Tensor(handle))];

describe.each<[Dtype]>([['f32'], ['bf16'], ['f64']])('with nothing to sum over, in %s', (dtype) => {
  const wide = dtype === 'f64' ? 'f64' : 'f32';

  it('linear gives the bias, or zeros', () => {
    scope(() => {
      const bias = tensorOf([1, 2, 3], [3], wide).handle;
      soil();
      const y = native.linear(zeros([2, 0], dtype), zeros([3, 0], dtype), bias);
      expect(native.shapeOf(y)).toEqual([2, 3]);
      expect(numbers(y)).toEqual([1, 2, 3, 1, 2, 3]);
      soil();
      expect(numbers(native.linear(zeros([2, 0], dtype), zeros([3, 0], dtype), null))).toEqual(
        new Array(6).fill(0),
      );
    });
  });

  it('its backward passes give zeros', () => {
    scope(() => {
      soil();
      const dx = native.linearBackwardInput(zeros([2, 0], dtype), zeros([0, 3], dtype));
      expect(numbers(dx)).toEqual(new Array(6).fill(0));

      const [dweight, dbias] = [sevens([2, 3], wide), sevens([2], wide)];
      const run = (accumulate: boolean): void =>
        native.linearBackwardWeight(
          zeros([0, 2], dtype),
          zeros([0, 3], dtype),
          dweight.handle,
          dbias.handle,
          accumulate,
          accumulate,
        );
      run(true);
      expect([...numbersOf(dweight), ...numbersOf(dbias)]).toEqual(new Array(8).fill(7));
      run(false);
      expect([...numbersOf(dweight), ...numbersOf(dbias)]).toEqual(new Array(8).fill(0));
    });
  });

  it('a convolution of no pictures clears the gradients that it does not add to', () => {
    scope(() => {
      const [dweight, dbias] = [sevens([2, 3, 1, 1], wide), sevens([2], wide)];
      const run = (accumulate: boolean): void =>
        native.conv2dBackwardWeight(
          zeros([0, 4, 4, 2], dtype),
          zeros([0, 4, 4, 3], dtype),
          dweight.handle,
          dbias.handle,
          1,
          0,
          accumulate,
        );
      run(true);
      expect([...numbersOf(dweight), ...numbersOf(dbias)]).toEqual(new Array(8).fill(7));
      run(false);
      expect([...numbersOf(dweight), ...numbersOf(dbias)]).toEqual(new Array(8).fill(0));
      const weight = zeros([2, 3, 1, 1], dtype);
      const y = native.conv2d(zeros([0, 4, 4, 3], dtype), weight, null, 1, 0, false);
      expect(native.shapeOf(y)).toEqual([0, 4, 4, 2]);
      const dx = native.conv2dBackwardInput(zeros([0, 4, 4, 2], dtype), weight, 4, 4, 1, 0);
      expect(native.shapeOf(dx)).toEqual([0, 4, 4, 3]);
    });
  });

  it('a convolution without channels or pixels is refused', () => {
    scope(() => {
      const call = (x: number[], weight: number[]): Handle =>
        native.conv2d(zeros(x, dtype), zeros(weight, dtype), null, 1, 1, false);
      expect(() => call([1, 4, 4, 0], [2, 0, 3, 3])).toThrow(/\[conv2d\] weight \[2,0,3,3\] has no elements/);
      expect(() => call([1, 4, 4, 3], [0, 3, 3, 3])).toThrow(/\[conv2d\] weight \[0,3,3,3\] has no elements/);
      expect(() => call([1, 0, 4, 3], [2, 3, 2, 2])).toThrow(/\[conv2d\].*smaller than the kernel/);
    });
  });

  it('cross attention without queries has no gradient for the keys', () => {
    scope(() => {
      const [none, keys] = [zeros([1, 0, 8], dtype), zeros([1, 3, 8], dtype)];
      const [out, logSum] = native.crossAttention(none, keys, keys, 2, 1);
      expect(native.shapeOf(out)).toEqual([1, 0, 8]);
      soil();
      const [, dk, dv] = native.crossAttentionBackward(none, none, keys, keys, out, logSum, 2, 1);
      expect([...numbers(dk), ...numbers(dv)]).toEqual(new Array(48).fill(0));
    });
  });
});
