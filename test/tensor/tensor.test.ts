import { describe, expect, it } from 'vitest';
import { cast } from '../../lib/index.js';
import { native } from '../../lib/native/addon.js';
import { Parameter } from '../../lib/tensor/parameter.js';
import { scope } from '../../lib/tensor/scope.js';
import { type Dtype, type NumberArray, Tensor } from '../../lib/tensor/tensor.js';

/** As from plain JavaScript. */
const from = (data: unknown, dtype?: string): Tensor =>
  Tensor.from(data as NumberArray, [2], 'cpu', dtype as Dtype | undefined);

describe('Tensor.from', () => {
  it.each([
    [Float32Array.of(1, 2), 'f32'],
    [Float64Array.of(1, 2), 'f64'],
    [Int32Array.of(1, 2), 'i32'],
    [Uint8Array.of(1, 2), 'u8'],
    [Buffer.of(1, 2), 'u8'],
    [Uint16Array.of(1, 2), 'bf16'],
  ])('takes the dtype from the array: %o is %s', (data, dtype) => {
    scope(() => {
      const tensor = from(data);
      expect(tensor.dtype).toBe(dtype);
      expect([...tensor.dataSync()]).toEqual([1, 2]);
    });
  });

  it.each([
    [
      Uint32Array.of(1, 2),
      undefined,
      /Uint32Array is no array that it takes; give Float32Array, .*Uint16Array$/,
    ],
    [new BigInt64Array(2), undefined, /BigInt64Array is no array/],
    [new Int8Array(2), 'u8', /Int8Array is no array/],
    [[1, 2], undefined, /Array is no array/],
    [null, undefined, /object is no array/],
    [Int32Array.of(1, 2), 'f32', /a Int32Array is not f32; give a Float32Array, or cast the tensor/],
    [Float32Array.of(1, 2), 'f64', /a Float32Array is not f64/],
    [Float32Array.of(1, 2), 'bf16', /a Float32Array is not bf16; give a Uint16Array/],
    [Float32Array.of(1, 2), 'f8', /dtype f8 is not known; give f32, /],
    [
      new Float32Array(new SharedArrayBuffer(8)),
      undefined,
      /in shared memory; give a copy: array\.slice\(\)/,
    ],
  ])('refuses %o as %s', (data, dtype, message) => {
    const before = native.memoryStatistics().liveTensors;
    expect(() => from(data, dtype)).toThrow(TypeError);
    expect(() => from(data, dtype)).toThrow(message);
    expect(native.memoryStatistics().liveTensors).toBe(before);
  });

  it('refuses another number of values', () => {
    expect(() => from(Float32Array.of(1, 2, 3))).toThrow(/12 bytes for \[2\] f32/);
  });
});

describe('item', () => {
  it.each(['f32', 'f64', 'bf16', 'f16', 'i32', 'u8'] as const)('is the number of a %s', (dtype) => {
    const before = native.memoryStatistics().liveTensors;
    scope(() => {
      expect(cast(Tensor.from(Float32Array.of(3), []), dtype).item()).toBe(3);
      expect(cast(Tensor.from(Float32Array.of(3), [1, 1]), dtype).item()).toBe(3);
      expect(() => Tensor.zeros([2], dtype).item()).toThrow(/item: a tensor \[2\] is no scalar/);
    });
    expect(native.memoryStatistics().liveTensors).toBe(before);
  });
});

it('Parameter.assign takes bits as what they are said to be, and refuses them unsaid', () => {
  const parameter = Parameter.empty([2]);
  const one = { bf16: 0x3f80, f16: 0x3c00 };
  for (const dtype of ['bf16', 'f16'] as const) {
    parameter.assign(Uint16Array.of(one[dtype], 0), dtype);
    expect([...parameter.dataSync()]).toEqual([1, 0]);
  }
  expect(() => parameter.assign(Uint16Array.of(one.f16, 0))).toThrow(/a Uint16Array holds bits; say of what/);
  expect(() => parameter.assign(Float32Array.of(1))).toThrow(/4 bytes for \[2\] f32/);
  parameter.dispose();
});
