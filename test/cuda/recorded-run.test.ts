import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { native } from '../../lib/native/addon.js';
import { GradientScaler } from '../../lib/optim/gradient-scaler.js';
import { defaultDevice } from '../../lib/tensor/device.js';
import type { PretrainTask } from '../../lib/training/pretrain.js';
import { temporaryFolder } from '../logging/temp-folder.js';
import { makePictures, pretrainSmall, type SmallRun } from '../training/small-run.js';

let data: string;
beforeAll(async () => {
  // Twelve steps an epoch.
  data = await makePictures(mkdtempSync(join(tmpdir(), 'cae-test-')), 24);
});
afterAll(() => rmSync(data, { recursive: true, force: true }));

const bytes = (folder: string, name: string) => readFileSync(join(folder, 'small_checkpoint-1', name));

/** A run's numbers without those that tell the time. */
const numbers = (folder: string) =>
  readFileSync(join(folder, 'metrics.jsonl'), 'utf8')
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line) as Record<string, number>)
    .map(({ seconds: _s, images_per_s: _i, ...rest }) => rest);

function expectSameRun(folder: string, wanted: string): void {
  expect(numbers(folder)).toEqual(numbers(wanted));
  for (const name of ['model.safetensors', 'optimizer.safetensors']) {
    expect(bytes(folder, name).equals(bytes(wanted, name)), name).toBe(true);
  }
}

/** A run into a folder of its own. @returns the folder, and which batches were replayed */
async function run(options: Omit<SmallRun, 'data' | 'outputDir'>): Promise<[string, boolean[]]> {
  const outputDir = temporaryFolder();
  const replayed: boolean[] = [];
  let task: PretrainTask | undefined;
  await pretrainSmall({
    data,
    outputDir,
    ...options,
    onTask: (own) => {
      task = own;
    },
    onBatch: () => void replayed.push(task!.recorded),
  });
  return [outputDir, replayed];
}

describe('a recorded step', () => {
  it.each([
    ['f32', {}],
    ['bf16', { dtype: 'bf16' }],
    ['f32, two batches a step', { updateFreq: 2 }],
  ] as [string, Partial<SmallRun>][])(
    '%s: replayed, it is the next step to the bit',
    async (_name, options) => {
      const [plain, never] = await run({ ...options, graph: false });
      const [recorded, replayed] = await run(options);
      expect(never).not.toContain(true);
      const parts = options.updateFreq ?? 1;
      // Two steps run as they come, the third is recorded: from its end on all are replayed.
      expect(replayed).toEqual(replayed.map((_, i) => i >= 3 * parts));
      expectSameRun(recorded, plain);
    },
  );

  it('f16: steps that overflow are skipped, and the scale moves, within the recording', async () => {
    const scaler = () => new GradientScaler({ enabled: true, initScale: 2 ** 24, growthInterval: 2 });
    const [plain] = await run({ dtype: 'f16', scaler: scaler(), graph: false });
    const [recorded, replayed] = await run({ dtype: 'f16', scaler: scaler() });
    const skipped = numbers(recorded).map((step) => step['skipped_steps']!);
    // Some of the skips are of replayed steps.
    expect(skipped.at(-1)).toBeGreaterThan(skipped[3]!);
    expect(replayed.at(-1)).toBe(true);
    expectSameRun(recorded, plain);
  });

  it('a run that was killed goes on to the bit, whatever was recorded before', async () => {
    const [plain] = await run({ graph: false });
    const broken = temporaryFolder();
    const death = pretrainSmall({
      data,
      outputDir: broken,
      options: { saveEverySteps: 5 },
      onBatch: (index) => {
        if (index === 13) throw new Error('killed');
      },
    });
    await expect(death).rejects.toThrow('killed');
    await pretrainSmall({ data, outputDir: broken });
    expectSameRun(broken, plain);
  });
});

describe('a steady step', () => {
  it.each([
    ['recorded', true],
    ['as it comes', false],
  ])('%s never makes the host wait for the device', async (_name, graph) => {
    const waits: number[] = [];
    const copies: number[] = [];
    await pretrainSmall({
      data,
      outputDir: temporaryFolder(),
      epochs: 1,
      graph,
      dtype: 'f16',
      scaler: new GradientScaler({ enabled: true }),
      onBatch: () => {
        const statistics = native.streamStatistics(defaultDevice());
        waits.push(statistics.waits);
        copies.push(statistics.copies);
      },
    });
    expect(waits).toHaveLength(12);
    // From the fifth step on.
    expect(waits.slice(4).map((count) => count - waits[4]!)).toEqual(Array(8).fill(0));
    // Pictures, masks and draws of each batch go beside the step before it.
    expect(copies.at(-1)! - copies[4]!).toBeGreaterThanOrEqual(6 * 5);
  });
});
