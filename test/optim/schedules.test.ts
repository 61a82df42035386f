import { describe, expect, it } from 'vitest';
import { SafetensorsFile } from '../../lib/checkpoint/safetensors-reader.js';
import { cosineSchedule } from '../../lib/optim/schedules.js';
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
});
