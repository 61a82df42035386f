import { describe, expect, it } from 'vitest';
import { native } from '../../lib/native/addon.js';
import { type ConvOptions, conv2d, convTranspose2d } from '../../lib/tensor/ops/conv.js';
import { mse } from '../../lib/tensor/ops/loss.js';
import { Parameter } from '../../lib/tensor/parameter.js';
import { scope } from '../../lib/tensor/scope.js';
import { withTape } from '../../lib/tensor/tape.js';
import { type Dtype, Tensor } from '../../lib/tensor/tensor.js';
import { gradientErrors } from '../tensor/gradient-check.js';
import {
  disposeParameter,
  numbersOf,
  product,
  randomNumbers,
  randomParameter,
  relativeError,
  roundToBf16,
  tensorOf,
} from '../tensor/numbers.js';

interface Case extends Required<ConvOptions> {
  name: string;
  transposed: boolean;
  /** [B, H, W, in] */
  x: [number, number, number, number];
  out: number;
  kernel: number;
}

const convolution = (
  x: Case['x'],
  out: number,
  kernel: number,
  { stride = 1, padding = 0, relu = false }: ConvOptions = {},
): Case => ({
  name: `conv2d of [${x}] to ${out} channels, kernel ${kernel}, stride ${stride}, padding ${padding}${relu ? ', relu' : ''}`,
  transposed: false,
  x,
  out,
  kernel,
  stride,
  padding,
  relu,
});

const transposed = (x: Case['x'], out: number, kernel: number, stride: number, padding: number): Case => ({
  ...convolution(x, out, kernel, { stride, padding }),
  name: `convTranspose2d of [${x}] to ${out} channels, kernel ${kernel}, stride ${stride}, padding ${padding}`,
  transposed: true,
});

const cases: Case[] = [
  convolution([2, 5, 3, 3], 4, 3, { padding: 1 }),
  convolution([1, 7, 6, 2], 3, 4, { stride: 2, padding: 1 }),
  convolution([2, 6, 5, 3], 5, 3, { stride: 2 }), // the last row is read by no output
  convolution([1, 3, 4, 5], 7, 1),
  convolution([1, 1, 1, 1], 1, 1),
  convolution([1, 5, 5, 3], 2, 7, { padding: 3 }),
  convolution([2, 4, 5, 3], 6, 3, { padding: 1, relu: true }),
  convolution([1, 6, 6, 3], 4, 4, { stride: 2, padding: 1, relu: true }),
  transposed([2, 3, 4, 3], 5, 4, 2, 1),
  transposed([1, 3, 2, 4], 2, 3, 1, 1),
  transposed([1, 2, 3, 2], 3, 3, 3, 0),
  transposed([1, 1, 1, 1], 1, 1, 1, 0),
];

/** Sizes of the tokenizers' layers: full vector widths, and the 3, 6 and odd channels at their ends. */
const layers: Case[] = [
  ...cases,
  convolution([2, 16, 16, 3], 64, 7, { padding: 3 }),
  convolution([2, 16, 16, 64], 16, 3, { padding: 1, relu: true }),
  convolution([3, 8, 8, 128], 256, 1),
  convolution([2, 16, 16, 64], 6, 1),
  // By Winograd, its tiles past the rim; without a relu, whose gradient jumps where rounding moves a result past 0.
  convolution([4, 31, 33, 64], 80, 3, { padding: 1 }),
  convolution([2, 16, 16, 48], 48, 4, { stride: 2, padding: 1, relu: true }),
  transposed([2, 8, 8, 48], 48, 4, 2, 1),
];

function shapes(c: Case): { x: number[]; w: number[]; b: number[] } {
  const inputs = c.x[3];
  return {
    x: c.x,
    w: [...(c.transposed ? [inputs, c.out] : [c.out, inputs]), c.kernel, c.kernel],
    b: [c.out],
  };
}

const run = (c: Case, x: Tensor, w: Parameter, b: Parameter): Tensor =>
  (c.transposed ? convTranspose2d : conv2d)(x, w, b, c);

/** The definition: every product of a tap with a pixel, in plain JavaScript. */
function byDefinition(c: Case, x: Float64Array, w: Float64Array, b: Float64Array): Float64Array {
  const [batch, height, width, inputs] = c.x;
  const side = (n: number): number =>
    c.transposed
      ? (n - 1) * c.stride - 2 * c.padding + c.kernel
      : Math.floor((n + 2 * c.padding - c.kernel) / c.stride) + 1;
  const [rows, columns] = [side(height), side(width)];
  const y = new Float64Array(batch * rows * columns * c.out).map((_, i) => b[i % c.out]!);
  const tap = (o: number, i: number, r: number, s: number): number => {
    const pair = c.transposed ? i * c.out + o : o * inputs + i;
    return w[(pair * c.kernel + r) * c.kernel + s]!;
  };
  // Of a transposed convolution the input's pixels are spread; of a plain one the output's are gathered.
  const [small, large] = c.transposed
    ? [[height, width] as const, [rows, columns] as const]
    : [[rows, columns] as const, [height, width] as const];
  for (let n = 0; n < batch; n++)
    for (let i = 0; i < small[0]; i++)
      for (let j = 0; j < small[1]; j++)
        for (let r = 0; r < c.kernel; r++)
          for (let s = 0; s < c.kernel; s++) {
            const row = i * c.stride - c.padding + r;
            const column = j * c.stride - c.padding + s;
            if (row < 0 || row >= large[0] || column < 0 || column >= large[1]) continue;
            const fine = (n * large[0] + row) * large[1] + column;
            const coarse = (n * small[0] + i) * small[1] + j;
            const [from, to] = c.transposed ? [coarse, fine] : [fine, coarse];
            for (let o = 0; o < c.out; o++)
              for (let k = 0; k < inputs; k++) y[to * c.out + o]! += x[from * inputs + k]! * tap(o, k, r, s);
          }
  return c.relu ? y.map((v) => Math.max(v, 0)) : y;
}

interface Numbers {
  y: ArrayLike<number>;
  dx: ArrayLike<number>;
  dw: ArrayLike<number>;
  db: ArrayLike<number>;
}

/** Output and gradients with activations in `dtype`, from inputs that bf16 holds exactly. */
function compute(c: Case, dtype: Dtype): Numbers {
  const wide = dtype === 'f64' ? 'f64' : 'f32';
  const of = shapes(c);
  const exact = (shape: number[], seed: number): Float32Array =>
    roundToBf16(randomNumbers(product(shape), seed));
  const parameter = (shape: number[], seed: number): Parameter => {
    const made = Parameter.empty(shape, wide);
    made.assign(wide === 'f64' ? Float64Array.from(exact(shape, seed)) : exact(shape, seed));
    return made;
  };
  const [w, b] = [parameter(of.w, 2), parameter(of.b, 3)];
  const result = scope(() => {
    const x = tensorOf(exact(of.x, 1), of.x, dtype as 'f32');
    x.requiresGrad = true;
    return withTape((tape) => {
      const y = run(c, x, w, b);
      const target = tensorOf(exact([y.size], 4), y.shape, dtype as 'f32');
      const [dx] = tape.backward(mse(y, target), 1, [x]);
      return { y: numbersOf(y), dx: numbersOf(dx!), dw: w.grad!.dataSync(), db: b.grad!.dataSync(), own: dx };
    });
  });
  result.own?.release();
  disposeParameter(w);
  disposeParameter(b);
  return result;
}

describe('convolutions', () => {
  it.each(cases)('$name: f64 equals the definition', (c) => {
    const of = shapes(c);
    const [x, w, b] = [randomParameter(of.x, 1), randomParameter(of.w, 2), randomParameter(of.b, 3)];
    const y = run(c, x, w, b);
    const wanted = byDefinition(c, ...([x, w, b].map((p) => Float64Array.from(p.dataSync())) as Triple));
    expect(relativeError(y.dataSync(), wanted)).toBeLessThan(1e-14);
    y.release();
    for (const p of [x, w, b]) disposeParameter(p);
  });

  it.each(cases)('$name: gradients in f64 against finite differences', (c) => {
    const of = shapes(c);
    const p = { x: randomParameter(of.x, 1), w: randomParameter(of.w, 2), b: randomParameter(of.b, 3) };
    const errors = gradientErrors(p, () => run(c, p.x, p.w, p.b));
    for (const parameter of Object.values(p)) disposeParameter(parameter);
    for (const [name, error] of Object.entries(errors)) expect(error, name).toBeLessThan(1e-6);
  });

  it('a weight used twice: its gradients add up', () => {
    const p = {
      x: randomParameter([1, 4, 5, 3], 1),
      w: randomParameter([3, 3, 3, 3], 2),
      b: randomParameter([3], 3),
    };
    const errors = gradientErrors(p, () => {
      const y = conv2d(p.x, p.w, p.b, { padding: 1, relu: true });
      return convTranspose2d(conv2d(y, p.w, p.b, { padding: 1 }), p.w, p.b, { padding: 1 });
    });
    for (const parameter of Object.values(p)) disposeParameter(parameter);
    for (const [name, error] of Object.entries(errors)) expect(error, name).toBeLessThan(1e-6);
  });

  it('by Winograd with a relu: the same, cut at 0', () => {
    scope(() => {
      const x = tensorOf(randomNumbers(2 * 31 * 33 * 64, 1), [2, 31, 33, 64]);
      const w = tensorOf(randomNumbers(80 * 64 * 9, 2), [80, 64, 3, 3]);
      const b = tensorOf(randomNumbers(80, 3), [80]);
      const y = (relu: boolean) =>
        numbersOf(new Tensor(native.conv2d(x.handle, w.handle, b.handle, 1, 1, relu)));
      expect(y(true)).toEqual(y(false).map((value) => Math.max(value, 0)));
    });
  });

  it('a wide one, whose weights do not fit at a time: its channels equal those of narrower ones', () => {
    const shape = [16, 8, 8, 1024];
    const x = tensorOf(randomNumbers(product(shape), 1), shape);
    const narrow = (from: number, to: number): ArrayLike<number> => {
      const w = Parameter.empty([to - from, 1024, 3, 3]);
      w.assign(Float32Array.from(weights.slice(from * 9216, to * 9216)));
      const y = new Tensor(native.conv2d(x.handle, w.handle, null, 1, 1, false));
      const values = numbersOf(y);
      y.release();
      disposeParameter(w);
      return values;
    };
    const weights = randomNumbers(320 * 9216, 2);
    const wide = narrow(0, 320);
    const first = narrow(0, 96);
    const last = narrow(224, 320);
    const channels = (from: number): number[] =>
      Array.from({ length: 1024 * 96 }, (_, i) => wide[Math.floor(i / 96) * 320 + from + (i % 96)]!);
    expect(relativeError(channels(0), first)).toBeLessThan(1e-6);
    expect(relativeError(channels(224), last)).toBeLessThan(1e-6);
    x.release();
  });

  it('a weight used twice in f32: its gradients add up as in f64', () => {
    const twice = (dtype: 'f32' | 'f64'): Float64Array => {
      const w = Parameter.empty([16, 16, 3, 3], dtype);
      const b = Parameter.empty([16], dtype);
      const values = (n: number, seed: number) =>
        dtype === 'f64' ? randomNumbers(n, seed) : Float32Array.from(randomNumbers(n, seed));
      w.assign(values(w.size, 1));
      b.assign(values(b.size, 2));
      scope(() =>
        withTape((tape) => {
          const x = tensorOf(randomNumbers(2 * 6 * 6 * 16, 3), [2, 6, 6, 16], dtype);
          const y = conv2d(conv2d(x, w, b, { padding: 1 }), w, b, { padding: 1 });
          tape.backward(mse(y, Tensor.zeros(y.shape, dtype)));
        }),
      );
      const all = Float64Array.from([...w.grad!.dataSync(), ...b.grad!.dataSync()]);
      disposeParameter(w);
      disposeParameter(b);
      return all;
    };
    expect(relativeError(twice('f32'), twice('f64'))).toBeLessThan(1e-5);
  });

  it.each(layers)('$name: f32 and bf16 beside f64', (c) => {
    const before = native.memoryStatistics().liveTensors;
    const wanted = compute(c, 'f64');
    const single = compute(c, 'f32');
    const half = compute(c, 'bf16');
    for (const part of ['y', 'dx', 'dw', 'db'] as const) {
      expect(relativeError(single[part], wanted[part]), `f32 ${part}`).toBeLessThan(1e-5);
      expect(relativeError(half[part], wanted[part]), `bf16 ${part}`).toBeLessThan(2e-2);
    }
    expect(native.memoryStatistics().liveTensors).toBe(before);
  });

  // So many weights and tiles that they go in parts; each output channel by itself needs one part of the weights.
  it.each([3, 8])('a wide convolution of %i pictures is its output channels side by side', (batch) => {
    const [side, width, part] = [20, 512, 128];
    const weights = Float32Array.from(randomNumbers(width * width * 9, 1));
    scope(() => {
      const x = Tensor.empty([batch, side, side, width]);
      native.uniform(x.handle, -1, 1, 7, 1);
      const compute = (first: number, outs: number): ArrayLike<number> => {
        const some = weights.subarray(first * width * 9, (first + outs) * width * 9);
        const w = tensorOf(some, [outs, width, 3, 3]);
        return numbersOf(new Tensor(native.conv2d(x.handle, w.handle, null, 1, 1, true)));
      };
      const whole = compute(0, width);
      for (let first = 0; first < width; first += part) {
        const channels = Float32Array.from(
          { length: batch * side * side * part },
          (_, i) => whole[Math.floor(i / part) * width + first + (i % part)]!,
        );
        expect(relativeError(channels, compute(first, part)), `channels from ${first}`).toBeLessThan(1e-5);
      }
    });
  });

  // Where nothing convolves in bf16, pictures are widened to f32 a few at a time: these are more.
  it('many large pictures in bf16 are what they are in f32', () => {
    const [batch, side, channels, outs] = [3, 360, 48, 4];
    scope(() => {
      const results = (['f32', 'bf16'] as const).map((dtype) => {
        const draw = (shape: number[], stream: number): Tensor => {
          const drawn = Tensor.empty(shape, 'bf16');
          native.uniform(drawn.handle, -1, 1, 7, stream);
          return new Tensor(native.cast(drawn.handle, dtype));
        };
        const x = draw([batch, side, side, channels], 1);
        const dy = draw([batch, side, side, outs], 2);
        const weight = draw([outs, channels, 3, 3], 3);
        const dweight = Tensor.zeros([outs, channels, 3, 3]);
        const dbias = Tensor.zeros([outs]);
        native.conv2dBackwardWeight(dy.handle, x.handle, dweight.handle, dbias.handle, 1, 1, false);
        return [
          numbersOf(new Tensor(native.conv2d(x.handle, weight.handle, null, 1, 1, false))),
          numbersOf(new Tensor(native.conv2dBackwardInput(dy.handle, weight.handle, side, side, 1, 1))),
          numbersOf(dweight),
          numbersOf(dbias),
        ];
      });
      for (let i = 0; i < 4; i++) expect(relativeError(results[1]![i]!, results[0]![i]!)).toBeLessThan(5e-3);
    });
  });

  it('refuses what does not fit, naming the shapes', () => {
    const picture = Tensor.zeros([1, 4, 4, 3]);
    const kernel = Tensor.zeros([2, 5, 3, 3]);
    const large = Tensor.zeros([2, 3, 7, 7]);
    const oblong = Tensor.zeros([2, 3, 3, 1]);
    const call = (w: Tensor, stride = 1) => native.conv2d(picture.handle, w.handle, null, stride, 0, false);
    expect(() => call(kernel)).toThrow(/\[conv2d\].*\[1,4,4,3\].*\[2,5,3,3\]/);
    expect(() => call(large)).toThrow(/\[conv2d\].*smaller than the kernel/);
    expect(() => call(oblong)).toThrow(/\[conv2d\].*square/);
    expect(() => call(large, 0)).toThrow(/\[conv2d\].*stride 0/);
    for (const tensor of [picture, kernel, large, oblong]) tensor.release();
  });

  it('refuses gradients that belong to other pictures', () => {
    scope(() => {
      const zeros = (shape: number[], dtype: Dtype = 'f32') => Tensor.zeros(shape, dtype).handle;
      const [x, w] = [zeros([1, 4, 4, 3]), zeros([4, 3, 3, 3])];
      const input = (dy: number[], side: number) =>
        native.conv2dBackwardInput(zeros(dy), w, side, side, 1, 1);
      expect(() => input([1, 9, 9, 4], 4)).toThrow(
        /\[conv2d_backward_input\] dy is \[1,9,9,4\].*\[1,4,4,4\]/,
      );
      expect(() => input([1, 1, 1, 4], 0)).toThrow(/\[conv2d_backward_input\].*picture of 0x0/);
      const weight = (dy: ReturnType<typeof zeros>, dw = zeros([4, 3, 3, 3])) =>
        native.conv2dBackwardWeight(dy, x, dw, null, 1, 1, false);
      expect(() => weight(zeros([1, 4, 4, 4], 'bf16'))).toThrow(/\[conv2d_backward_weight\] dy is bf16/);
      expect(() => weight(zeros([2, 4, 4, 4]))).toThrow(/\[conv2d_backward_weight\] dy is \[2,4,4,4\]/);
      expect(() => weight(zeros([1, 4, 4, 4]), zeros([4, 3, 3, 1]))).toThrow(/\[4,3,3,1\]/);
      expect(() => native.convTranspose2d(zeros([1, 1, 1, 3]), zeros([3, 3, 2, 2]), null, 1, 1)).toThrow(
        /\[conv_transpose2d\].*leave nothing/,
      );
    });
  });
});

type Triple = [Float64Array, Float64Array, Float64Array];
