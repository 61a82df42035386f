import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { native } from '../../lib/native/addon.js';
import { temporaryFolder } from '../logging/temp-folder.js';
import { makePictures, pretrainSmall } from './small-run.js';

let data: string;
beforeAll(async () => {
  data = await makePictures(mkdtempSync(join(tmpdir(), 'cae-test-')), 10);
});
afterAll(() => rmSync(data, { recursive: true, force: true }));

const bytes = (folder: string, name: string) => readFileSync(join(folder, 'small_checkpoint-1', name));
const lines = (folder: string, name: string): Record<string, number>[] =>
  readFileSync(join(folder, name), 'utf8')
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line) as Record<string, number>);

/** A run's numbers without those that tell the time. */
const numbers = (folder: string) =>
  lines(folder, 'metrics.jsonl').map(({ seconds: _s, images_per_s: _i, ...rest }) => rest);

describe('resume', () => {
  it.each([
    ['killed in mid-epoch', 7],
    ['killed at the start of an epoch', 5],
  ])('%s, a run ends byte for byte as one never interrupted', async (_name, killedAt) => {
    const whole = temporaryFolder();
    await pretrainSmall({ data, outputDir: whole });
    const broken = temporaryFolder();
    const death = pretrainSmall({
      data,
      outputDir: broken,
      options: { saveEverySteps: 3 },
      onBatch: (index) => {
        if (index === killedAt) throw new Error('killed');
      },
    });
    await expect(death).rejects.toThrow('killed');
    const said = await pretrainSmall({ data, outputDir: broken });
    expect(said).toMatch(/resumed from .* at step [56] of 10/);
    expect(bytes(broken, 'model.safetensors').equals(bytes(whole, 'model.safetensors'))).toBe(true);
    expect(bytes(broken, 'optimizer.safetensors').equals(bytes(whole, 'optimizer.safetensors'))).toBe(true);
    expect(numbers(broken)).toEqual(numbers(whole));
    expect(readFileSync(join(broken, 'log.txt'), 'utf8')).toBe(readFileSync(join(whole, 'log.txt'), 'utf8'));
  });

  it('stops by a signal after the step, saves, and goes on', async () => {
    const whole = temporaryFolder();
    await pretrainSmall({ data, outputDir: whole });
    const stopped = temporaryFolder();
    const others = process.listeners('SIGTERM');
    for (const listener of others) process.off('SIGTERM', listener);
    const stop = pretrainSmall({
      data,
      outputDir: stopped,
      onBatch: (index) => void (index === 2 && process.kill(process.pid, 'SIGTERM')),
    });
    await expect(stop).rejects.toMatchObject({
      exitCode: 143,
      message: expect.stringMatching(
        /^stopped by SIGTERM after step [345] of 10; saved .*small_checkpoint-0/,
      ),
    });
    for (const listener of others) process.on('SIGTERM', listener);
    await pretrainSmall({ data, outputDir: stopped });
    expect(bytes(stopped, 'model.safetensors').equals(bytes(whole, 'model.safetensors'))).toBe(true);
  });

  it('refuses another data set or batch size in one line', async () => {
    const folder = temporaryFolder();
    await pretrainSmall({ data, outputDir: folder });
    await expect(pretrainSmall({ data, outputDir: folder, updateFreq: 2 })).rejects.toThrow(
      /small_checkpoint-1 was made with steps_per_epoch 5, this run has 2; .*--output_dir$/,
    );
  });
});

describe('--no_auto_resume', () => {
  const anew = { autoResume: false };

  it('is refused where the folder holds checkpoints of this name, and changes nothing', async () => {
    const folder = temporaryFolder();
    await pretrainSmall({ data, outputDir: folder, epochs: 1, options: anew });
    const log = readFileSync(join(folder, 'log.txt'), 'utf8');
    await expect(pretrainSmall({ data, outputDir: folder, epochs: 1, options: anew })).rejects.toThrow(
      /^--no_auto_resume: .*small_checkpoint-0 is in the way, .*; remove .* or choose another --output_dir/,
    );
    expect(readFileSync(join(folder, 'log.txt'), 'utf8')).toBe(log);
    await pretrainSmall({ data, outputDir: folder, epochs: 1, options: { ...anew, saveCkpt: false } });
    await pretrainSmall({ data, outputDir: folder, epochs: 1, options: { ...anew, expName: 'two' } });
  });

  it('is left out to go on after a stop by signal', async () => {
    const others = process.listeners('SIGTERM');
    for (const listener of others) process.off('SIGTERM', listener);
    const stop = pretrainSmall({
      data,
      outputDir: temporaryFolder(),
      options: anew,
      onBatch: (index) => void (index === 2 && process.kill(process.pid, 'SIGTERM')),
    });
    await expect(stop).rejects.toThrow(/; run the same command without --no_auto_resume to go on$/);
    for (const listener of others) process.on('SIGTERM', listener);
  });
});

describe('a run', () => {
  // Seven seconds, but ten times that beside other work on two cores.
  it('learns what can be learnt', async () => {
    const folder = temporaryFolder();
    await pretrainSmall({ data, outputDir: folder, epochs: 30, options: { saveCkptFreq: 100 } });
    const log = lines(folder, 'log.txt');
    expect(log).toHaveLength(30);
    expect(log[0]!['train_loss_main']).toBeGreaterThan(2);
    expect(log[29]!['train_loss_main']).toBeLessThan(0.7 * Math.log(16));
    expect(Object.keys(log[0]!)).toEqual([
      'train_loss',
      'train_loss_main',
      'train_loss_align',
      'train_mlm_acc',
      'train_lr',
      'train_min_lr',
      'train_weight_decay',
      'train_grad_norm',
      'train_loss_scale',
      'epoch',
      'n_parameters',
    ]);
  }, 240_000);

  it('holds the same number of tensors at every step, and none afterwards', async () => {
    const before = native.memoryStatistics().liveTensors;
    const counts: number[] = [];
    await pretrainSmall({
      data,
      outputDir: temporaryFolder(),
      epochs: 4,
      updateFreq: 1,
      onBatch: () => counts.push(native.memoryStatistics().liveTensors),
    });
    // Five steps an epoch; its first finds no step on its way to the host, the others find one.
    expect(counts).toHaveLength(20);
    expect(new Set(counts.filter((_, i) => i >= 5 && i % 5 === 0)).size).toBe(1);
    expect(new Set(counts.filter((_, i) => i >= 5 && i % 5 > 0)).size).toBe(1);
    expect(native.memoryStatistics().liveTensors).toBe(before);
  });

  it('stops at a loss that is not finite, naming step, checkpoint and files', async () => {
    const folder = temporaryFolder();
    await expect(pretrainSmall({ data, outputDir: folder, epochs: 20, lr: 1e30 })).rejects.toThrow(
      /^(loss|grad_norm) is (NaN|Infinity) at step \d+; .*checkpoint.*files: .*\.jpg/,
    );
  });

  it('accumulates gradients: the norm is that of the mean', async () => {
    const folder = temporaryFolder();
    await pretrainSmall({ data, outputDir: folder, updateFreq: 2 });
    const steps = lines(folder, 'metrics.jsonl');
    expect(steps).toHaveLength(4);
    expect(steps[0]!['grad_norm']).toBeGreaterThan(0);
  });
});
