import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { SafetensorsFile } from '../../lib/checkpoint/safetensors-reader.js';
import { native } from '../../lib/native/addon.js';
import { temporaryFolder } from '../logging/temp-folder.js';
import { finetuneSmall, makeColours } from './small-finetune.js';
import { makePictures } from './small-run.js';

let data: string;
beforeAll(async () => {
  data = await makePictures(mkdtempSync(join(tmpdir(), 'cae-test-')), 10);
});
afterAll(() => rmSync(data, { recursive: true, force: true }));

const names = ['model.safetensors', 'optimizer.safetensors', 'model_ema.safetensors'];
const files = (folder: string, tag: string) =>
  names.map((name) => readFileSync(join(folder, `small_checkpoint-${tag}`, name)).toString('hex'));
const text = (folder: string, name: string) => readFileSync(join(folder, name), 'utf8');
const lines = (folder: string) =>
  text(folder, 'log.txt')
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line) as Record<string, number>);

describe('fine-tuning with mixup, random erasing and an average of the weights', () => {
  it('killed in mid-epoch, ends byte for byte as one never interrupted', async () => {
    const before = native.memoryStatistics().liveTensors;
    const whole = temporaryFolder();
    await finetuneSmall({ data, outputDir: whole });
    const broken = temporaryFolder();
    const death = finetuneSmall({
      data,
      outputDir: broken,
      options: { saveEverySteps: 3 },
      onBatch: (index) => {
        if (index === 7) throw new Error('killed');
      },
    });
    await expect(death).rejects.toThrow('killed');
    expect(await finetuneSmall({ data, outputDir: broken })).toMatch(/resumed from .* at step 6 of 10/);
    expect(files(broken, '1')).toEqual(files(whole, '1'));
    expect(text(broken, 'log.txt')).toBe(text(whole, 'log.txt'));
    expect(native.memoryStatistics().liveTensors).toBe(before);
    // The average is not the weights, and both were measured.
    expect(files(whole, '1')[0]).not.toBe(files(whole, '1')[2]);
    expect(Object.keys(lines(whole)[0]!).filter((key) => key.startsWith('test_'))).toEqual(
      ['loss', 'acc1', 'acc5', 'ema_loss', 'ema_acc1', 'ema_acc5'].map((name) => `test_${name}`),
    );
  });

  it('measures without touching what is trained', async () => {
    const measured = temporaryFolder();
    await finetuneSmall({ data, outputDir: measured });
    const seldom = temporaryFolder();
    await finetuneSmall({ data, outputDir: seldom, options: { evalFreq: 100 } });
    expect(files(seldom, '1')).toEqual(files(measured, '1'));
  });
});

describe('fine-tuning', () => {
  it('learns two classes of pictures, and logs how many it tells apart', async () => {
    const colours = await makeColours(temporaryFolder(), 12);
    const folder = temporaryFolder();
    const options = { saveCkptFreq: 5, evalFreq: 5 };
    await finetuneSmall({ data: colours, outputDir: folder, epochs: 5, augmented: false, lr: 3e-3, options });
    const log = lines(folder);
    expect(log[4]!['train_loss']).toBeLessThan(0.6 * log[0]!['train_loss']!);
    expect(log[4]!['train_class_acc']).toBeGreaterThanOrEqual(0.9);
    expect(log[4]!['test_acc1']).toBeGreaterThanOrEqual(95);
    const rate = log[4]!['train_lr']!;
    expect(log[4]!['train_min_lr']).toBeCloseTo(rate * 0.65 ** 3, 12);
    using file = SafetensorsFile.open(join(folder, 'small_checkpoint-4', 'model.safetensors'));
    expect(file.info('head.weight').shape).toEqual([2, 32]);
  });
});
