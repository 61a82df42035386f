import { describe, expect, it } from 'vitest';
import { checkWarmupEpochs, stepsOfEpoch } from '../../lib/cli/run-length.js';

const flags = { epochs: 3, update_freq: 2, warmup_epochs: 1, warmup_steps: -1 };

describe('the length of a run', () => {
  it('has whole steps of --update_freq batches', () => {
    expect(stepsOfEpoch(flags, 5)).toBe(2);
    expect(stepsOfEpoch({ ...flags, warmup_steps: 6 }, 5)).toBe(2);
    expect(stepsOfEpoch({ epochs: 1, update_freq: 1, warmup_epochs: 0 }, 100_000_000)).toBe(100_000_000);
  });

  it.each([
    ['no step in an epoch', flags, 1, '--update_freq 2 is larger than the 1 batches of an epoch; lower it'],
    [
      'a warmup of more steps',
      { ...flags, warmup_steps: 7 },
      5,
      "--warmup_steps 7 must not exceed the run's 6 steps; lower it",
    ],
    [
      'more steps than schedules hold',
      { ...flags, epochs: 1_000_000 },
      300,
      "--epochs 1000000 of 150 steps each are more than a run's 100000000 steps; lower it",
    ],
  ])('refuses %s', (_name, given, batches, message) => {
    expect(() => stepsOfEpoch(given, batches)).toThrow(message);
  });

  it('refuses a warmup of more epochs, unless steps replace them', () => {
    checkWarmupEpochs({ ...flags, warmup_epochs: 3 });
    checkWarmupEpochs({ ...flags, warmup_epochs: 4, warmup_steps: 1 });
    for (const warmup_steps of [-1, 0]) {
      expect(() => checkWarmupEpochs({ ...flags, warmup_epochs: 4, warmup_steps })).toThrow(
        '--warmup_epochs 4 must not exceed --epochs 3',
      );
    }
    expect(() => checkWarmupEpochs({ epochs: 3, update_freq: 1, warmup_epochs: 3.5 })).toThrow('3.5');
  });
});
