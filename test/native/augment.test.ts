import { describe, expect, it } from 'vitest';
import { native } from '../../lib/native/addon.js';
import { type EraseMode, eraseBoxes, mixImages } from '../../lib/tensor/ops/augment.js';
import { scope } from '../../lib/tensor/scope.js';
import { Tensor } from '../../lib/tensor/tensor.js';
import {
  numbersOf,
  product,
  randomNumbers,
  relativeError,
  roundToBf16,
  tensorOf,
} from '../tensor/numbers.js';

const noise = { seed: 11, stream: 5, step: 2 };

interface Changes {
  readonly ids?: readonly number[];
  readonly dtype?: 'f32' | 'f64' | 'bf16';
  readonly seed?: number;
  readonly step?: number;
}

/** Erases boxes of images of the given values. */
function erase(
  values: ArrayLike<number>,
  shape: readonly number[],
  boxes: readonly number[],
  mode: EraseMode,
  { ids = Array.from({ length: shape[0]! }, (_, i) => i), dtype = 'f32', ...changes }: Changes = {},
): number[] {
  return scope(() => {
    const images = tensorOf(values, shape, dtype);
    const count = boxes.length / (4 * shape[0]!);
    const box = Tensor.from(Int32Array.from(boxes), [shape[0]!, count, 4]);
    const id = Tensor.from(Int32Array.from(ids), [shape[0]!]);
    eraseBoxes(images, box, id, mode, { ...noise, ...changes });
    return [...numbersOf(images)];
  });
}

describe('eraseBoxes', () => {
  const shape = [2, 3, 5, 6];
  const values = randomNumbers(product(shape), 3).map((v) => v + 5);

  /** Whether pixel (b, y, x) lies in box `b`. */
  const inside = (boxes: readonly number[], i: number): boolean => {
    const [x, y, b] = [i % 6, Math.floor(i / 6) % 5, Math.floor(i / 90)];
    const [top, left, height, width] = boxes.slice(4 * b, 4 * b + 4) as [number, number, number, number];
    return y >= top && y < top + height && x >= left && x < left + width;
  };
  const boxes = [1, 2, 3, 2, 0, 0, 5, 1];

  it.each(['const', 'rand', 'pixel'] as const)('changes the boxes and nothing else: %s', (mode) => {
    const out = erase(values, shape, boxes, mode, { dtype: 'f64' });
    for (const [i, value] of out.entries()) {
      if (!inside(boxes, i)) expect(value).toBe(values[i]);
      else if (mode === 'const') expect(value).toBe(0);
      else expect(Math.abs(value)).toBeLessThan(4.9);
    }
  });

  it('has one colour a box and channel in mode rand, and noise everywhere in mode pixel', () => {
    const distinct = (mode: EraseMode) => {
      const out = erase(values, shape, boxes, mode);
      return new Set(out.filter((_, i) => inside(boxes, i))).size;
    };
    expect(distinct('rand')).toBe(6);
    expect(distinct('pixel')).toBe(3 * (3 * 2 + 5 * 1));
  });

  it('leaves an image without a box, and cuts a box at the border', () => {
    expect(erase(values, shape, [0, 0, 0, 0, 0, 0, 0, 0], 'pixel', { dtype: 'f64' })).toEqual([...values]);
    const out = erase(values, shape, [3, 4, 9, 9, -2, -2, 3, 3], 'const', { dtype: 'f64' });
    expect(out.filter((v) => v === 0)).toHaveLength(3 * (2 * 2 + 1));
  });

  it('takes several boxes an image, the later above the earlier', () => {
    const out = erase(values, [1, 3, 5, 12], [0, 0, 4, 4, 2, 2, 3, 3], 'rand');
    const at = (y: number, x: number) => out[12 * y + x];
    expect(at(0, 0)).toBe(at(1, 3));
    expect(at(3, 3)).toBe(at(4, 4));
    expect(at(0, 0)).not.toBe(at(3, 3));
  });

  it('goes by the id of an image, not by its place in the batch', () => {
    const whole = [0, 0, 5, 6, 0, 0, 5, 6];
    const both = erase(values, shape, whole, 'pixel', { ids: [7, 9] });
    const swapped = erase(values, shape, whole, 'pixel', { ids: [9, 7] });
    expect(swapped.slice(90)).toEqual(both.slice(0, 90));
    expect(both.slice(90)).not.toEqual(both.slice(0, 90));
    expect(erase(values, shape, whole, 'pixel', { ids: [7, 9], step: 3 })).not.toEqual(both);
    expect(erase(values, shape, whole, 'pixel', { ids: [7, 9], seed: 12 })).not.toEqual(both);
  });

  it('is standard normal', () => {
    const side = 200;
    const out = erase(new Float32Array(3 * side * side), [1, 3, side, side], [0, 0, side, side], 'pixel');
    const n = out.length;
    const moment = (k: number) => out.reduce((sum, v) => sum + v ** k, 0) / n;
    // Deviations of the moments' estimates: 1/√n, √2/√n, √15/√n, √96/√n.
    for (const [k, expected, spread] of [
      [1, 0, 1],
      [2, 1, Math.sqrt(2)],
      [3, 0, Math.sqrt(15)],
      [4, 3, Math.sqrt(96)],
    ] as const) {
      expect(Math.abs(moment(k) - expected), `moment ${k}`).toBeLessThan((5 * spread) / Math.sqrt(n));
    }
    const neighbours = out.slice(1).reduce((sum, v, i) => sum + v * out[i]!, 0) / n;
    expect(Math.abs(neighbours)).toBeLessThan(5 / Math.sqrt(n));
  });

  it('draws the same in every dtype', () => {
    const exact = erase(values, shape, boxes, 'pixel', { dtype: 'f64' });
    expect(relativeError(erase(values, shape, boxes, 'pixel'), exact)).toBeLessThan(1e-6);
    const half = erase(roundToBf16(values), shape, boxes, 'pixel', { dtype: 'bf16' });
    expect(relativeError(half, exact)).toBeLessThan(1e-2);
  });

  it('refuses shapes and fills that do not fit', () => {
    scope(() => {
      const images = Tensor.zeros(shape);
      const ids = Tensor.from(Int32Array.from([0, 1]), [2]);
      const box = (...extents: number[]) => Tensor.from(new Int32Array(product(extents)), extents);
      expect(() => eraseBoxes(images, box(3, 1, 4), ids, 'const', noise)).toThrow(/erase_boxes.*boxes/);
      expect(() => eraseBoxes(images, box(2, 1, 3), ids, 'const', noise)).toThrow(
        /erase_boxes.*boxes is .*expected/,
      );
      expect(() => eraseBoxes(images, box(2, 1, 4), box(3), 'const', noise)).toThrow(/ids/);
      const call = () =>
        native.eraseBoxes(
          images.handle,
          box(2, 1, 4).handle,
          ids.handle,
          3,
          noise.seed,
          noise.stream,
          noise.step,
        );
      expect(call).toThrow(/fill 3 is none of/);
    });
  });
});

describe('mixImages', () => {
  const shape = [4, 3, 6, 5];
  const values = roundToBf16(randomNumbers(product(shape), 4));
  const partner = [3, 2, 1, 0];
  const weight = [0.25, 1, 1, 0.875];
  const boxes = [0, 0, 0, 0, 1, 2, 3, 9, 0, 0, 0, 0, 0, 0, 6, 5];

  function mix(dtype: 'f32' | 'f64' | 'bf16'): number[] {
    return scope(() => {
      const weights = tensorOf(weight, [4], dtype === 'f64' ? 'f64' : 'f32');
      const mixed = mixImages(
        tensorOf(values, shape, dtype),
        Tensor.from(Int32Array.from(partner), [4]),
        weights,
        Tensor.from(Int32Array.from(boxes), [4, 4]),
      );
      return [...numbersOf(mixed)];
    });
  }

  /** The definition, pixel by pixel. */
  const expected = Array.from(values, (own, i) => {
    const [x, y, b] = [i % 5, Math.floor(i / 5) % 6, Math.floor(i / 90)];
    const other = values[i + 90 * (partner[b]! - b)]!;
    const [top, left, height, width] = boxes.slice(4 * b, 4 * b + 4) as [number, number, number, number];
    const boxed = y >= top && y < top + height && x >= left && x < left + width;
    return boxed ? other : weight[b]! * own + (1 - weight[b]!) * other;
  });

  it('is the blend, and the partner within the box', () => {
    expect(mix('f64')).toEqual(expected);
    expect(relativeError(mix('f32'), expected)).toBeLessThan(1e-6);
    expect(relativeError(mix('bf16'), expected)).toBeLessThan(1e-2);
  });

  it('copies the pixels of a box, and those of weight 1, exactly', () => {
    const out = mix('bf16');
    expect(out.slice(90, 270)).toEqual(expected.slice(90, 270));
    expect(out.slice(270)).toEqual(expected.slice(270));
  });

  it('refuses shapes that do not fit, and partners outside the batch', async () => {
    const x = Tensor.zeros(shape);
    const ints = (values: number[], ...extents: number[]) => Tensor.from(Int32Array.from(values), extents);
    const four = ints(partner, 4);
    const weights = tensorOf(weight, [4]);
    const noBoxes = ints(new Array<number>(16).fill(0), 4, 4);
    expect(() => mixImages(x, ints([0], 1), weights, noBoxes)).toThrow(/mix_images.*partner/);
    expect(() => mixImages(x, four, tensorOf([1], [1]), noBoxes)).toThrow(/weight/);
    expect(() => mixImages(x, four, weights, ints([0, 0, 0, 0], 1, 4))).toThrow(/boxes/);
    const outside = mixImages(x, ints([0, 1, 2, 4], 4), weights, noBoxes);
    await expect(outside.data()).rejects.toThrow(/partner 4 is outside a batch of 4/);
    for (const tensor of [x, four, weights, noBoxes, outside]) tensor.release();
  });
});
