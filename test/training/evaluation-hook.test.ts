import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { UserError } from '../../lib/errors.js';
import { native } from '../../lib/native/addon.js';
import { Linear } from '../../lib/nn/linear.js';
import { AdamW } from '../../lib/optim/adamw.js';
import { parameterGroups } from '../../lib/optim/parameter-groups.js';
import { mse } from '../../lib/tensor/ops/loss.js';
import { scope } from '../../lib/tensor/scope.js';
import { withTape } from '../../lib/tensor/tape.js';
import { Tensor } from '../../lib/tensor/tensor.js';
import { type LoopOptions, runTraining } from '../../lib/training/loop.js';
import { loadAdamw } from '../../lib/training/pretrain.js';
import type { TestNumbers, TrainingTask } from '../../lib/training/training-task.js';
import { temporaryFolder } from '../logging/temp-folder.js';

interface Run {
  outputDir: string;
  /** What the evaluation after an epoch finds; `undefined` ends it as a signal does. */
  measure?: (epoch: number, stopped: () => boolean) => TestNumbers | undefined;
  options?: Partial<LoopOptions>;
}

/** A linear layer learns to give ones: three steps an epoch, four epochs. It keeps a second layer as its average. */
async function run({ outputDir, measure, options }: Run): Promise<string> {
  const [model, average] = [new Linear(4, 2), new Linear(4, 2)];
  for (const parameter of [...model.namedParameters().values(), ...average.namedParameters().values()]) {
    parameter.assign(new Float32Array(parameter.size).fill(0.1));
  }
  const optimizer = new AdamW(parameterGroups(model.namedParameters()));
  const task: TrainingTask<{ x: Float32Array; files: string[]; release(): void }> = {
    model,
    async *batches(at, first) {
      for (let i = first; ; i++) {
        yield {
          x: Float32Array.from({ length: 12 }, (_, k) => Math.sin(k + 7 * i + at)),
          files: [],
          release() {},
        };
      }
    },
    accumulate: ({ x }) =>
      scope(() =>
        withTape((tape) => {
          const loss = mse(
            model.forward(Tensor.from(x, [3, 4])),
            Tensor.from(new Float32Array(6).fill(1), [3, 2]),
          );
          tape.backward(loss);
          return { loss };
        }),
      ),
    update(step) {
      const norm = scope(() => optimizer.update({ lr: 0.05, weightDecay: 0 }));
      // The average of this test: where the weights were after the step before the last.
      if (step % 2 === 0)
        for (const [name, p] of model.namedParameters())
          average.namedParameters().get(name)!.assign(p.dataSync());
      return norm;
    },
    rates: () => ({ lr: 0.05 }),
    optimizerState: () => optimizer.state(),
    loadOptimizerState: (entries, steps) => loadAdamw(optimizer, entries, steps),
    average: {
      stateDict: () => average.stateDict(),
      load: (entries) => void average.loadStateDict(new Map(entries)),
    },
    ...(measure === undefined
      ? {}
      : { evaluate: async (epoch: number, stopped: () => boolean) => measure(epoch, stopped) }),
  };
  const said: string[] = [];
  await runTraining(task, {
    label: 'test',
    outputDir,
    expName: 'toy',
    epochs: 4,
    startEpoch: 0,
    stepsPerEpoch: 3,
    updateFreq: 1,
    batchSize: 3,
    saveCkptFreq: 2,
    autoResume: true,
    model: {},
    unchanged: {},
    stream: { write: (text: string) => said.push(text) },
    ...options,
  }).finally(() => {
    optimizer.dispose();
    model.dispose();
    average.dispose();
  });
  return said.join('');
}

const accuracies = [50, 75, 60, 75];
const measure = (epoch: number): TestNumbers => ({
  loss: 1 / (1 + epoch),
  acc1: accuracies[epoch]!,
  acc5: 90,
});

const read = (folder: string, name: string) => readFileSync(join(folder, name), 'utf8').trimEnd().split('\n');
const json = (folder: string, name: string) =>
  read(folder, name).map((line) => JSON.parse(line) as Record<string, number>);
const state = (folder: string, tag: string) =>
  JSON.parse(readFileSync(join(folder, `toy_checkpoint-${tag}`, 'state.json'), 'utf8')) as {
    globalStep: number;
    state: Record<string, unknown>;
  };
const files = (folder: string, tag: string) =>
  ['model.safetensors', 'optimizer.safetensors', 'model_ema.safetensors'].map((name) =>
    readFileSync(join(folder, `toy_checkpoint-${tag}`, name)).toString('hex'),
  );
/** Step numbers without those that tell the time. */
const steps = (folder: string) =>
  json(folder, 'metrics.jsonl').map(({ seconds: _s, images_per_s: _i, ...rest }) => rest);

describe('an evaluation after each epoch', () => {
  it('is logged as the reference names it, and the best checkpoint is kept beside the newest', async () => {
    const folder = temporaryFolder();
    const before = native.memoryStatistics().liveTensors;
    await run({ outputDir: folder, measure, options: { keepLast: 1 } });
    const log = json(folder, 'log.txt');
    expect(log.map((line) => line['test_acc1'])).toEqual(accuracies);
    expect(Object.keys(log[0]!)).toEqual([
      'train_loss',
      'train_lr',
      'train_grad_norm',
      'train_loss_scale',
      'test_loss',
      'test_acc1',
      'test_acc5',
      'epoch',
      'n_parameters',
    ]);
    expect(read(folder, 'log.txt')[0]).toContain('"test_acc1": 50.0, "test_acc5": 90.0, "epoch": 0');
    const evaluated = json(folder, 'metrics.jsonl').filter((line) => 'test_acc1' in line);
    expect(evaluated).toHaveLength(4);
    expect(evaluated[1]).toEqual({ step: 5, epoch: 1, test_loss: 0.5, test_acc1: 75, test_acc5: 90 });
    expect(
      readdirSync(folder)
        .filter((name) => name.includes('checkpoint'))
        .sort(),
    ).toEqual(['toy_checkpoint-3', 'toy_checkpoint-best']);
    expect(state(folder, 'best')).toMatchObject({ globalStep: 6, state: { max_accuracy: 75 } });
    expect(state(folder, '3')).toMatchObject({ globalStep: 12, state: { max_accuracy: 75 } });
    expect(native.memoryStatistics().liveTensors).toBe(before);
  });

  it('broken off by a signal, is made up for by the run that goes on, to the same bits', async () => {
    const whole = temporaryFolder();
    await run({ outputDir: whole, measure });
    const broken = temporaryFolder();
    const others = process.listeners('SIGTERM');
    for (const listener of others) process.off('SIGTERM', listener);
    const stop = run({
      outputDir: broken,
      measure(epoch, stopped) {
        if (epoch < 2) return measure(epoch);
        process.emit('SIGTERM', 'SIGTERM');
        expect(stopped()).toBe(true);
        return undefined;
      },
    });
    await expect(stop).rejects.toMatchObject({
      exitCode: 143,
      message: expect.stringMatching(/after step 9 of 12/),
    });
    for (const listener of others) process.on('SIGTERM', listener);
    expect(json(broken, 'log.txt')).toHaveLength(2);
    const measured: number[] = [];
    const said = await run({
      outputDir: broken,
      measure(epoch) {
        measured.push(epoch);
        return measure(epoch);
      },
    });
    expect(said).toContain('at step 9 of 12');
    expect(measured).toEqual([2, 3]);
    expect(files(broken, '3')).toEqual(files(whole, '3'));
    expect(files(broken, 'best')).toEqual(files(whole, 'best'));
    expect(read(broken, 'log.txt')).toEqual(read(whole, 'log.txt'));
    expect(steps(broken)).toEqual(steps(whole));
  });

  it('that fails loses no step: the epoch is saved, and the run that goes on measures it', async () => {
    const whole = temporaryFolder();
    await run({ outputDir: whole, measure });
    const broken = temporaryFolder();
    const failing = (epoch: number): TestNumbers => {
      if (epoch === 2) throw new UserError('cannot read image 7.jpg');
      return measure(epoch);
    };
    const measured: number[] = [];
    await expect(run({ outputDir: broken, measure: failing })).rejects.toThrow('cannot read image 7.jpg');
    expect(state(broken, '2').globalStep).toBe(9);
    await expect(run({ outputDir: broken, measure: failing })).rejects.toThrow('cannot read image 7.jpg');
    expect(json(broken, 'log.txt')).toHaveLength(2);
    await run({
      outputDir: broken,
      measure(epoch) {
        measured.push(epoch);
        return measure(epoch);
      },
    });
    expect(measured).toEqual([2, 3]);
    expect(files(broken, '3')).toEqual(files(whole, '3'));
    expect(files(broken, 'best')).toEqual(files(whole, 'best'));
    expect(read(broken, 'log.txt')).toEqual(read(whole, 'log.txt'));
    expect(steps(broken)).toEqual(steps(whole));
  });

  it('is made every few epochs and after the last where it is so asked', async () => {
    const folder = temporaryFolder();
    await run({ outputDir: folder, measure, options: { evalFreq: 3, saveBest: false } });
    const log = json(folder, 'log.txt');
    expect(log.map((line) => line['test_acc1'])).toEqual([undefined, undefined, 60, 75]);
    expect(existsSync(join(folder, 'toy_checkpoint-best'))).toBe(false);
  });

  it('runs without saving anything', async () => {
    const folder = temporaryFolder();
    await run({ outputDir: folder, measure, options: { saveCkpt: false } });
    expect(readdirSync(folder).filter((name) => name.includes('checkpoint'))).toEqual([]);
    expect(json(folder, 'log.txt')).toHaveLength(4);
  });
});
