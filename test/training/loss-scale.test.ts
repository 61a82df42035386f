import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { GradientScaler } from '../../lib/optim/gradient-scaler.js';
import { temporaryFolder } from '../logging/temp-folder.js';
import { makePictures, pretrainSmall } from './small-run.js';

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

describe('loss scaling', () => {
  it('by a power of two changes no bit of what is trained, nor the logged norms', async () => {
    const [plain, scaled] = [temporaryFolder(), temporaryFolder()];
    await pretrainSmall({ data, outputDir: plain });
    await pretrainSmall({ data, outputDir: scaled, scaler: new GradientScaler({ enabled: true }) });
    for (const name of ['model.safetensors', 'optimizer.safetensors']) {
      expect(bytes(scaled, name).equals(bytes(plain, name)), name).toBe(true);
    }
    const norms = (folder: string) => steps(folder).map((step) => step['grad_norm']);
    expect(norms(scaled)).toEqual(norms(plain));
    expect(steps(scaled).map((step) => step['loss_scale'])).toEqual(Array(10).fill(65536));
    expect(steps(plain).map((step) => step['loss_scale'])).toEqual(Array(10).fill(1));
  });

  it('that overflows skips the step and halves, and is gone on with after a stop', async () => {
    const scaler = () => new GradientScaler({ enabled: true, initScale: 2 ** 127, growthInterval: 4 });
    const whole = temporaryFolder();
    await pretrainSmall({ data, outputDir: whole, scaler: scaler() });
    const scales = steps(whole).map((step) => step['loss_scale']!);
    // At first a squared gradient overflows, step after step; then the scale is found and, in time, raised again.
    const found = scales.findIndex((scale, i) => i > 0 && scale === scales[i - 1]);
    expect(found).toBeGreaterThan(1);
    expect(scales.slice(0, found)).toEqual(Array.from({ length: found }, (_, i) => 2 ** (127 - i)));
    const broken = temporaryFolder();
    const death = pretrainSmall({
      data,
      outputDir: broken,
      scaler: scaler(),
      options: { saveEverySteps: 3 },
      onBatch: (index) => {
        if (index === 8) throw new Error('killed');
      },
    });
    await expect(death).rejects.toThrow('killed');
    await pretrainSmall({ data, outputDir: broken, scaler: scaler() });
    for (const name of ['model.safetensors', 'optimizer.safetensors']) {
      expect(bytes(broken, name).equals(bytes(whole, name)), name).toBe(true);
    }
    expect(steps(broken).map((step) => step['loss_scale'])).toEqual(scales);
  });

  it('ends the run, in one line, when the loss or the gradients at every scale are not finite', async () => {
    const refused = (scaler: GradientScaler, lr: number) =>
      expect(pretrainSmall({ data, outputDir: temporaryFolder(), epochs: 20, lr, scaler })).rejects;
    // The first scale overflows, and no other is left.
    await refused(
      new GradientScaler({ enabled: true, initScale: 2 ** 127, backoffFactor: 2 ** -150 }),
      1e-3,
    ).toThrow(
      /^the gradient is not finite at any loss scale in fp16 at step 0, loss scale 1\.7\S+; no checkpoint was saved; use --precision bf16, lower --lr or look at the batch's files: .*\.jpg$/,
    );
    await refused(new GradientScaler({ enabled: true }), 1e30).toThrow(
      /^(loss is (NaN|Infinity)|the gradient is not finite at any loss scale) in fp16 at step \d+, .*use --precision bf16, .*\.jpg$/,
    );
  });
});
