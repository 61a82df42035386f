import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { GradientScaler } from '../../lib/optim/gradient-scaler.js';
import { temporaryFolder } from '../logging/temp-folder.js';
import { finetuneSmall, makeColours, type SmallFineTune } from '../training/small-finetune.js';

let data: string;
beforeAll(async () => {
  // Five steps an epoch, and an evaluation of the weights and of their average behind it.
  data = await makeColours(mkdtempSync(join(tmpdir(), 'cae-test-')), 10);
});
afterAll(() => rmSync(data, { recursive: true, force: true }));

const bytes = (folder: string, name: string) => readFileSync(join(folder, 'small_checkpoint-1', name));
const numbers = (folder: string) =>
  readFileSync(join(folder, 'metrics.jsonl'), 'utf8')
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line) as Record<string, number>)
    .map(({ seconds: _s, images_per_s: _i, ...rest }) => rest);

function expectSameRun(folder: string, wanted: string): void {
  expect(numbers(folder)).toEqual(numbers(wanted));
  expect(readFileSync(join(folder, 'log.txt'), 'utf8')).toBe(readFileSync(join(wanted, 'log.txt'), 'utf8'));
  for (const name of ['model.safetensors', 'model_ema.safetensors', 'optimizer.safetensors']) {
    expect(bytes(folder, name).equals(bytes(wanted, name)), name).toBe(true);
  }
}

async function run(options: Omit<SmallFineTune, 'data' | 'outputDir'>): Promise<[string, boolean[]]> {
  const outputDir = temporaryFolder();
  const replayed: boolean[] = [];
  let task: { readonly recorded: boolean } | undefined;
  await finetuneSmall({
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

describe('a recorded fine-tuning step', () => {
  it.each([
    ['f32, mixed and erased pictures', {}],
    ['bf16, with the accuracy of what it trains on', { dtype: 'bf16', augmented: false }],
  ] as [string, Partial<SmallFineTune>][])(
    '%s: replayed, it is the next step to the bit',
    async (_name, of) => {
      const [plain, never] = await run({ ...of, graph: false });
      const [recorded, replayed] = await run(of);
      expect(never).not.toContain(true);
      expect(replayed).toEqual(replayed.map((_, i) => i >= 3));
      expectSameRun(recorded, plain);
    },
  );

  it('f16: the loss scale moves within the recording', async () => {
    const scaler = () => new GradientScaler({ enabled: true, initScale: 2 ** 26, growthInterval: 2 });
    const [plain] = await run({ dtype: 'f16', scaler: scaler(), graph: false });
    const [recorded] = await run({ dtype: 'f16', scaler: scaler() });
    const scales = numbers(recorded).map((step) => step['loss_scale']!);
    expect(new Set(scales.slice(4)).size).toBeGreaterThan(1);
    expectSameRun(recorded, plain);
  });

  it('a run that was killed goes on to the bit', async () => {
    const [plain] = await run({ graph: false });
    const broken = temporaryFolder();
    const death = finetuneSmall({
      data,
      outputDir: broken,
      options: { saveEverySteps: 3 },
      onBatch: (index) => {
        if (index === 8) throw new Error('killed');
      },
    });
    await expect(death).rejects.toThrow('killed');
    await finetuneSmall({ data, outputDir: broken });
    expectSameRun(broken, plain);
  });
});
