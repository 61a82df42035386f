import { describe, expect, it } from 'vitest';
import { native } from '../../lib/native/addon.js';
import { gelu } from '../../lib/tensor/ops/pointwise.js';
import { scope } from '../../lib/tensor/scope.js';
import { Tensor } from '../../lib/tensor/tensor.js';

/** First two words of Philox4x32-10 (Salmon et al., 2011) for a counter and a key. */
function philox(counter: readonly number[], key: readonly number[]): number[] {
  let [c0, c1, c2, c3] = counter.map(BigInt) as [bigint, bigint, bigint, bigint];
  let [k0, k1] = key.map(BigInt) as [bigint, bigint];
  const low = 0xffffffffn;
  for (let round = 0; round < 10; round++) {
    const p0 = 0xd2511f53n * c0;
    const p1 = 0xcd9e8d57n * c2;
    [c0, c1, c2, c3] = [(p1 >> 32n) ^ c1 ^ k0, p1 & low, (p0 >> 32n) ^ c3 ^ k1, p0 & low];
    k0 = (k0 + 0x9e3779b9n) & low;
    k1 = (k1 + 0xbb67ae85n) & low;
  }
  return [c0, c1, c2, c3].map(Number);
}

describe('random numbers', () => {
  it('the Philox of this test gives the published known answers', () => {
    // From the authors' Random123 distribution, kat_vectors, philox4x32 10.
    const hex = (words: number[]): string[] => words.map((w) => w.toString(16).padStart(8, '0'));
    expect(hex(philox([0, 0, 0, 0], [0, 0]))).toEqual(['6627e8d5', 'e169c58d', 'bc57ac4c', '9b00dbd8']);
    expect(hex(philox([0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344], [0xa4093822, 0x299f31d0]))).toEqual([
      'd16cfe09',
      '94fdcceb',
      '5001e420',
      '24126ea1',
    ]);
  });

  it.each([
    [0, 0],
    [7, 3],
    [2 ** 33 + 5, 4_000_000_000],
  ])(
    'uniform of seed %i, stream %i is Philox4x32-10 with counter (index, step 0, stream)',
    (seed, stream) => {
      const y = Tensor.empty([101], 'f64');
      native.uniform(y.handle, -2, 6, seed, stream);
      const key = [seed % 2 ** 32, Math.floor(seed / 2 ** 32)];
      const wanted = Array.from({ length: 101 }, (_, i) => {
        const word = philox([i, 0, 0, stream], key)[0]!;
        return -2 + 8 * ((word >>> 8) / 2 ** 24);
      });
      expect([...y.dataSync()]).toEqual(wanted);
      y.release();
    },
  );

  it('a draw does not depend on the number of threads', () => {
    const draw = (threads: number): Float32Array => {
      native.setThreads(threads);
      const y = Tensor.empty([100_003]);
      native.truncatedNormal(y.handle, 1, 2, 5, 6);
      const values = Float32Array.from(y.dataSync());
      y.release();
      return values;
    };
    const before = native.buildInfo().threads;
    const [one, two] = [draw(1), draw(2)];
    native.setThreads(before);
    expect(two).toEqual(one);
  });

  it.each([
    [0.02, 2],
    [0.02, 0.02],
    [1, 2],
  ])(
    'truncatedNormal of deviation %d stays within ±%d with the moments of the distribution',
    (sigma, cut) => {
      const n = 200_000;
      const y = Tensor.empty([n], 'f64');
      native.truncatedNormal(y.handle, sigma, cut, 11, 2);
      const values = Float64Array.from(y.dataSync());
      y.release();
      expect(values.every((v) => Math.abs(v) <= cut)).toBe(true);
      expect(new Set(values).size).toBeGreaterThan(0.999 * n);
      const mean = values.reduce((a, b) => a + b, 0) / n;
      const deviation = Math.sqrt(values.reduce((a, b) => a + (b - mean) ** 2, 0) / n);
      // Variance of a normal cut at ±a deviations: 1 − 2aφ(a)/(2Φ(a) − 1), by Simpson's rule over the density.
      const a = Math.min(cut / sigma, 12);
      const density = (x: number): number => Math.exp((-x * x) / 2);
      let [mass, moment] = [0, 0];
      for (let i = 0; i <= 2000; i++) {
        const x = -a + (2 * a * i) / 2000;
        const weight = i === 0 || i === 2000 ? 1 : i % 2 === 1 ? 4 : 2;
        mass += weight * density(x);
        moment += weight * x * x * density(x);
      }
      const wanted = sigma * Math.sqrt(moment / mass);
      expect(Math.abs(mean)).toBeLessThan((5 * wanted) / Math.sqrt(n));
      expect(Math.abs(deviation / wanted - 1)).toBeLessThan(5 / Math.sqrt(2 * n));
    },
  );

  it('dropPath drops its share, scales the rest, and draws anew each step', () => {
    const draw = (step: number): Float32Array => {
      const number = Tensor.from(Int32Array.of(step), [1]);
      const y = new Tensor(native.dropPath(10_000, 'f32', 0.25, 3, 4, number.handle));
      const values = Float32Array.from(y.dataSync());
      for (const tensor of [y, number]) tensor.release();
      return values;
    };
    const values = draw(1);
    expect([...new Set(values)].sort()).toEqual([0, Math.fround(1 / 0.75)]);
    const dropped = values.filter((v) => v === 0).length / values.length;
    expect(Math.abs(dropped - 0.25)).toBeLessThan(0.025);
    expect(draw(1)).toEqual(values);
    expect(draw(2)).not.toEqual(values);
  });
});

describe('the allocator', () => {
  it('hands freed blocks out again: reserved memory is constant over 100 rounds', () => {
    const round = (i: number): void =>
      scope(() => {
        const x = Tensor.zeros([64, 257 + (i % 7)]);
        gelu(gelu(x));
        gelu(Tensor.zeros([1000 + i, 33]));
      });
    for (let i = 0; i < 100; i++) round(i);
    native.synchronize();
    const before = native.memoryStatistics();
    for (let i = 0; i < 100; i++) round(i);
    native.synchronize();
    const after = native.memoryStatistics();
    expect(after.reserved).toBe(before.reserved);
    expect(after.allocated).toBe(before.allocated);
    expect(after.liveBlocks).toBe(before.liveBlocks);
    expect(after.liveTensors).toBe(before.liveTensors);
    expect(after.allocations - before.allocations).toBeGreaterThanOrEqual(500);
  });

  it('counts live bytes, blocks and the peak', () => {
    native.synchronize();
    native.resetPeakMemory();
    const before = native.memoryStatistics();
    const [a, b] = [Tensor.zeros([1 << 18]), Tensor.zeros([1 << 18])];
    const during = native.memoryStatistics();
    expect(during.allocated - before.allocated).toBeGreaterThanOrEqual(2 << 20);
    expect(during.allocated - before.allocated).toBeLessThan((2 << 20) + 4096);
    expect(during.liveBlocks).toBe(before.liveBlocks + 2);
    expect(during.liveTensors).toBe(before.liveTensors + 2);
    a.release();
    b.release();
    native.synchronize();
    const after = native.memoryStatistics();
    expect(after.allocated).toBe(before.allocated);
    expect(after.peakAllocated).toBe(during.allocated);
    expect(after.reserved).toBeGreaterThanOrEqual(after.peakAllocated);
    native.resetPeakMemory();
    expect(native.memoryStatistics().peakAllocated).toBe(before.allocated);
  });

  it('gives idle segments back on trimMemory', () => {
    const big = Tensor.empty([600 << 20], 'u8'); // more than the others can leave room for
    const reserved = native.memoryStatistics().reserved;
    big.release();
    native.synchronize();
    native.trimMemory();
    expect(native.memoryStatistics().reserved).toBeLessThanOrEqual(reserved - (600 << 20));
  });

  it('a view keeps the memory of a released tensor', () => {
    const x = Tensor.from(
      Float32Array.from({ length: 12 }, (_, i) => i),
      [4, 3],
    );
    const view = new Tensor(native.rows(x.handle, 1, 2));
    x.release();
    scope(() => Tensor.zeros([4, 3]));
    expect([...view.dataSync()]).toEqual([3, 4, 5, 6, 7, 8]);
    view.release();
  });
});

describe('the stream', () => {
  it('counts what it ran, and the time', () => {
    native.synchronize();
    const before = native.streamStatistics();
    scope(() => gelu(Tensor.zeros([100_000])).dataSync());
    const after = native.streamStatistics();
    expect(after.tasks).toBeGreaterThanOrEqual(before.tasks + 2);
    expect(after.busySeconds).toBeGreaterThan(before.busySeconds);
  });

  it('counts the time it waits for the host, also while it waits', async () => {
    const idle = (): number => native.streamStatistics().idleSeconds;
    const dawdle = async (): Promise<void> => await new Promise((resolve) => setTimeout(resolve, 60));
    const work = (): void => scope(() => void gelu(Tensor.zeros([1000])));
    work();
    native.synchronize();
    const before = idle();
    await dawdle();
    expect(idle() - before).toBeGreaterThan(0.05);
    work();
    await dawdle();
    work();
    native.synchronize();
    expect(idle() - before).toBeGreaterThan(0.11);
    // Work that is queued ahead leaves no gap: one wait, for the first of many tasks. The best of some tries, since the
    // system may take the processor from the host while it queues.
    const shares = Array.from({ length: 5 }, () => {
      const [start, from] = [performance.now(), idle()];
      scope(() => {
        for (let i = 0; i < 20; i++) gelu(Tensor.zeros([500_000]));
        native.synchronize();
      });
      return (1000 * (idle() - from)) / (performance.now() - start);
    });
    expect(Math.min(...shares)).toBeLessThan(0.5);
  });

  it('names the argument that is no tensor, and the dtype it does not know', () => {
    const wrong = {} as ReturnType<typeof native.empty>;
    expect(() => native.gelu(wrong, null)).toThrow(/gelu.*argument 1 must be a tensor/);
    expect(() => native.empty([2], 'f8' as 'f32', 'cpu')).toThrow(/f8/);
  });
});
