import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { GradientScaler } from '../../lib/optim/gradient-scaler.js';
import { temporaryFolder } from '../logging/temp-folder.js';
import { makePictures, pretrainSmall } from '../training/small-run.js';

let data: string;
beforeAll(async () => {
  data = await makePictures(mkdtempSync(join(tmpdir(), 'cae-test-')), 10);
});
afterAll(() => rmSync(data, { recursive: true, force: true }));

const bytes = (folder: string, name: string) => readFileSync(join(folder, 'small_checkpoint-1', name));
const steps = (folder: string): Record<string, number>[] =>
  readFileSync(join(folder, 'metrics.jsonl'), 'utf8')
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line) as Record<string, number>);
const of = (folder: string, name: string) => steps(folder).map((step) => step[name]!);

describe('pretraining in f16', () => {
  it('keeps to the f32 run: losses within 5e-3, norms within 2e-2', async () => {
    const [wide, half] = [temporaryFolder(), temporaryFolder()];
    await pretrainSmall({ data, outputDir: wide });
    await pretrainSmall({
      data,
      outputDir: half,
      dtype: 'f16',
      scaler: new GradientScaler({ enabled: true }),
    });
    expect(of(half, 'skipped_steps')).toEqual(Array(10).fill(0));
    for (const [name, tolerance] of [
      ['loss', 5e-3],
      ['grad_norm', 2e-2],
    ] as const) {
      const wanted = of(wide, name);
      of(half, name).forEach((value, i) => {
        expect(Math.abs(value / wanted[i]! - 1), `${name} of step ${i}`).toBeLessThan(tolerance);
      });
    }
  });

  it('skips what overflows, finds its scale, raises it again, and goes on after a stop to the bit', async () => {
    // Gradients of f16 activations overflow at this scale, step after step, until it is found.
    const scaler = () => new GradientScaler({ enabled: true, initScale: 2 ** 24, growthInterval: 2 });
    const whole = temporaryFolder();
    await pretrainSmall({ data, outputDir: whole, dtype: 'f16', scaler: scaler() });
    const scales = of(whole, 'loss_scale');
    const skipped = of(whole, 'skipped_steps');
    const skips = skipped.map((count, i) => count > (skipped[i - 1] ?? 0));
    expect(skips[0]).toBe(true);
    expect(skips).toContain(false);
    for (let i = 1; i < scales.length; i++) {
      const raised = !skips[i - 1] && i >= 2 && !skips[i - 2] && scales[i] === 2 * scales[i - 1]!;
      expect(scales[i]! / scales[i - 1]!, `step ${i}`).toBe(skips[i - 1] ? 0.5 : raised ? 2 : 1);
    }
    expect(scales.some((scale, i) => scale > (scales[i - 1] ?? scale))).toBe(true);
    const broken = temporaryFolder();
    const death = pretrainSmall({
      data,
      outputDir: broken,
      dtype: 'f16',
      scaler: scaler(),
      options: { saveEverySteps: 3 },
      onBatch: (index) => {
        if (index === 8) throw new Error('killed');
      },
    });
    await expect(death).rejects.toThrow('killed');
    await pretrainSmall({ data, outputDir: broken, dtype: 'f16', scaler: scaler() });
    for (const name of ['model.safetensors', 'optimizer.safetensors']) {
      expect(bytes(broken, name).equals(bytes(whole, name)), name).toBe(true);
    }
    expect(of(broken, 'loss_scale')).toEqual(scales);
    expect(of(broken, 'skipped_steps')).toEqual(skipped);
  });
});
