import { describe, expect, it } from 'vitest';
import { native } from '../../lib/native/addon.js';
import { defaultDevice } from '../../lib/tensor/device.js';
import { Parameter } from '../../lib/tensor/parameter.js';
import { scope } from '../../lib/tensor/scope.js';
import { Tensor } from '../../lib/tensor/tensor.js';
import { InputRing } from '../../lib/training/input-ring.js';
import { RecordedWork } from '../../lib/training/recorded-work.js';
import { disposeParameter } from '../tensor/numbers.js';

type Work = RecordedWork<{ x: Tensor }, { y: Tensor }>;

/** y = 2x, and a count of how often the host was asked for it. */
function doubling(options: { extra?: () => void; say?: (line: string) => void } = {}) {
  const calls = { count: 0 };
  const work: Work = new RecordedWork(
    ({ x }) => {
      calls.count += 1;
      options.extra?.();
      return scope(() => {
        const once = new Tensor(native.add(x.handle, x.handle, 1, 0));
        return { y: new Tensor(native.add(once.handle, x.handle, 1, 1)) };
      });
    },
    { enabled: true, parameters: [], ...(options.say === undefined ? {} : { say: options.say }) },
  );
  return { work, calls };
}

const of = (work: Work, ...values: number[]): number[] =>
  scope(() => {
    const x = Tensor.from(Float32Array.from(values), [values.length]);
    return [...work.run({ x }).y.dataSync()];
  });

describe('recorded work', () => {
  it('runs twice, is recorded at the third run, and asks the host no more', () => {
    const before = native.memoryStatistics(defaultDevice()).liveTensors;
    const { work, calls } = doubling();
    for (let i = 0; i < 6; i++) {
      expect(of(work, i, i + 1, -i)).toEqual([2 * i, 2 * (i + 1), -2 * i]);
      expect(work.recorded).toBe(i >= 2);
    }
    expect(calls.count).toBe(3);
    work.dispose();
    expect(native.memoryStatistics(defaultDevice()).liveTensors).toBe(before);
  });

  it('runs inputs of other shapes as they come', () => {
    const { work, calls } = doubling();
    for (let i = 0; i < 4; i++) of(work, i, i);
    expect(of(work, 1, 2, 3)).toEqual([2, 4, 6]);
    expect(calls.count).toBe(4);
    expect(of(work, 7, 8)).toEqual([14, 16]);
    expect(calls.count).toBe(4);
    work.dispose();
  });

  it('that copies from the host cannot be recorded: it says so once and runs as it comes', () => {
    const said: string[] = [];
    const { work, calls } = doubling({
      extra: () => Tensor.from(Float32Array.of(1), [1]).release(),
      say: (line) => said.push(line),
    });
    for (let i = 0; i < 5; i++) expect(of(work, i)).toEqual([2 * i]);
    expect(said).toEqual([
      'steps run without a CUDA graph: [upload] work is being recorded, which neither copies from and to the host nor waits',
    ]);
    // Five runs, and the one that was broken off.
    expect(calls.count).toBe(6);
    expect(work.recorded).toBe(false);
  });

  it('keeps its memory: what is made between replays has other memory', () => {
    const { work } = doubling();
    scope(() => {
      const x = Tensor.from(
        Float32Array.from({ length: 5000 }, (_, i) => i),
        [5000],
      );
      for (let i = 0; i < 3; i++) work.run({ x });
      const others = Array.from({ length: 20 }, (_, i) => {
        const other = Tensor.empty([5000]);
        native.fill(other.handle, i);
        return other;
      });
      work.run({ x });
      for (const [i, other] of others.entries()) {
        expect(new Set(other.dataSync())).toEqual(new Set([i]));
      }
    });
    work.dispose();
  });

  it('leaves parameters as the recorded run left them: with gradients to be added to', () => {
    const weight = Parameter.empty([3]);
    const ones = Tensor.from(Float32Array.of(1, 1, 1), [3]);
    const work = new RecordedWork<{ x: Tensor }, Record<never, Tensor>>(
      ({ x }) => {
        weight.accumulate((grad, accumulate) => {
          if (accumulate) native.addInto(grad.handle, x.handle, 1, 1);
          else native.copyInto(x.handle, grad.handle);
        });
        return {};
      },
      { enabled: true, parameters: [weight] },
    );
    for (let i = 0; i < 5; i++) {
      work.run({ x: ones });
      expect(weight.hasGrad).toBe(true);
      weight.accumulate((grad) => native.addInto(grad.handle, ones.handle, 1, 1));
      expect([...weight.grad!.dataSync()]).toEqual([2, 2, 2]);
      weight.clearGrad();
    }
    work.dispose();
    ones.release();
    disposeParameter(weight);
  });
});

describe('the input ring', () => {
  const size = 1 << 16;
  const filled = (value: number) => ({ x: { data: new Float32Array(size).fill(value), shape: [size] } });

  it('copies a batch while the one before is computed with, and disturbs neither', async () => {
    const ring = new InputRing<'x'>();
    const sums: Tensor[] = [];
    for (let i = 0; i < 12; i++) {
      const { x } = ring.put(filled(i + 1));
      // Many passes over the batch: its copy is long made when the device gets here.
      const total = Tensor.zeros([size]);
      for (let pass = 0; pass < 8; pass++) native.addInto(total.handle, x.handle, 1, 1);
      sums.push(new Tensor(native.sum(total.handle, 1 / size)));
      total.release();
    }
    const values = await Promise.all(sums.map((sum) => sum.data()));
    expect(values.map(([value]) => value)).toEqual(Array.from({ length: 12 }, (_, i) => 8 * (i + 1)));
    for (const sum of sums) sum.release();
    ring.dispose();
  });

  it('does not wait for the work queued before: only for what the set was read by', async () => {
    const ring = new InputRing<'x'>();
    for (let i = 0; i < 3; i++) ring.put(filled(i));
    native.synchronize(defaultDevice());
    const before = native.streamStatistics(defaultDevice());
    const total = Tensor.zeros([size]);
    ring.put(filled(7));
    for (let pass = 0; pass < 40; pass++) native.addInto(total.handle, total.handle, 1, 1);
    ring.put(filled(8));
    // The second copy needs the work up to the first put alone: it is made while the passes run.
    let now = before;
    while (now.copies < before.copies + 2) {
      await new Promise((resolve) => setTimeout(resolve, 1));
      now = native.streamStatistics(defaultDevice());
    }
    if (native.buildInfo().cuda === 'emulated') expect(now.tasks - before.tasks).toBeLessThan(40);
    total.release();
    ring.dispose();
  });

  it('takes inputs of another shape', () => {
    const ring = new InputRing<'x'>();
    for (const length of [3, 3, 5, 3, 5, 5, 5]) {
      const { x } = ring.put({ x: { data: new Int32Array(length).fill(length), shape: [length] } });
      expect([...x.dataSync()]).toEqual(Array(length).fill(length));
    }
    ring.dispose();
  });
});
