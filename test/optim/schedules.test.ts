import { describe, expect, it } from 'vitest';
import { SafetensorsFile } from '../../lib/checkpoint/safetensors-reader.js';
import { cosineSchedule, epochCosineSchedule } from '../../lib/optim/schedules.js';
import { compareWithFixture } from '../../lib/parity/compare.js';
import { runCosineSchedules } from '../../lib/parity/cosine-schedules.js';
import { fixture } from '../fixtures.js';

describe('cosine schedules', () => {
  it('are those of the reference, step by step', async () => {
    const file = SafetensorsFile.open(fixture('cosine_schedules.safetensors'));
    const comparisons = compareWithFixture(file, await runCosineSchedules(file), 1e-13);
    expect(comparisons.length).toBeGreaterThan(0);
    expect(comparisons.filter((c) => !c.passed)).toEqual([]);
    file.close();
  });

  it('rise linearly to the base value, then fall by half a cosine', () => {
    const values = cosineSchedule({
      baseValue: 1,
      finalValue: 0.2,
      epochs: 3,
      stepsPerEpoch: 4,
      warmupEpochs: 1,
    });
    expect(values).toHaveLength(12);
    for (const [i, wanted] of [0, 1 / 3, 2 / 3, 1, 1].entries()) expect(values[i]).toBeCloseTo(wanted, 14);
    expect(values[8]).toBeCloseTo(0.6, 14);
    expect(values[11]).toBeGreaterThan(0.2);
  });

  it('take the warmup in steps before that in epochs', () => {
    const options = {
      baseValue: 2,
      finalValue: 0,
      epochs: 2,
      stepsPerEpoch: 5,
      warmupEpochs: 2,
      warmupSteps: 3,
    };
    const values = cosineSchedule({ ...options, startWarmupValue: 1 });
    expect([...values.slice(0, 4)]).toEqual([1, 1.5, 2, 2]);
  });

  it('refuse a warmup longer than the run', () => {
    const options = { baseValue: 1, finalValue: 0, epochs: 1, stepsPerEpoch: 5, warmupSteps: 6 };
    expect(() => cosineSchedule(options)).toThrow(/warmup of 6 steps is longer than the run's 5/);
  });

  it.each([
    ['half an epoch', { warmupEpochs: 0.5 }, 3],
    ['2.5 steps', { warmupSteps: 2.5 }, 3],
    ['less than half a step', { warmupEpochs: 0.08 }, 0],
    ['what floating point makes of 3/5 of an epoch', { warmupEpochs: 0.1 + 0.2 + 0.3 }, 3],
  ])('round a warmup of %s to whole steps, and have a value for each', (_, warmup, steps) => {
    const run = { baseValue: 1, finalValue: 0.5, epochs: 2, stepsPerEpoch: 5 };
    const values = cosineSchedule({ ...run, ...warmup });
    expect([...values]).toEqual([...cosineSchedule({ ...run, warmupSteps: steps })]);
    for (const value of values.subarray(steps)) expect(value).toBeGreaterThan(0.5);
    expect(Math.max(...values)).toBe(1);
  });

  it('round a run of a share of an epoch', () => {
    const run = { stepsPerEpoch: 5, epochs: 0.5, warmupEpochs: 0 };
    expect(cosineSchedule({ ...run, baseValue: 1, finalValue: 0.5 })).toHaveLength(3);
    expect(epochCosineSchedule({ ...run, lr: 1, minLr: 0 })).toHaveLength(3);
  });

  it.each([
    [{ warmupSteps: Number.NaN }, /warmupSteps NaN must be a finite number/],
    [{ warmupSteps: -2 }, /warmupSteps -2 must be at least 0/],
    [{ warmupEpochs: -1 }, /warmupEpochs -1 must be at least 0/],
    [{ warmupEpochs: Number.NaN }, /warmupEpochs NaN must be/],
    [{ epochs: Number.POSITIVE_INFINITY }, /epochs Infinity must be/],
    [{ baseValue: Number.NaN }, /baseValue NaN must be/],
  ])('refuse %j', (wrong, message) => {
    const run = { baseValue: 1, finalValue: 0, epochs: 2, stepsPerEpoch: 5 };
    expect(() => cosineSchedule({ ...run, ...wrong })).toThrow(message);
    expect(() => cosineSchedule({ ...run, ...wrong })).toThrow(RangeError);
  });

  it('by fractional epochs refuse the same', () => {
    const run = { lr: 1, minLr: 0, epochs: 2, stepsPerEpoch: 5, warmupEpochs: 0 };
    expect(() => epochCosineSchedule({ ...run, warmupEpochs: Number.NaN })).toThrow(/warmupEpochs NaN/);
    expect(() => epochCosineSchedule({ ...run, lr: Number.NaN })).toThrow(/lr NaN/);
  });
});
