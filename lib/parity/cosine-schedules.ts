import type { SafetensorsFile } from '../checkpoint/safetensors-reader.js';
import { cosineSchedule } from '../optim/schedules.js';
import { fixtureConfig } from './fixture-config.js';
import type { Computed } from './types.js';

interface Case {
  base_value: number;
  final_value: number;
  epochs: number;
  steps_per_epoch: number;
  warmup_epochs: number;
  warmup_steps: number;
}

/** Learning-rate and weight-decay schedules, in float64. */
export async function runCosineSchedules(file: SafetensorsFile): Promise<Map<string, Computed>> {
  const { cases } = fixtureConfig<{ cases: Case[] }>(file, ['cases']);
  return new Map(
    cases.map((c, i) => {
      const data = cosineSchedule({
        baseValue: c.base_value,
        finalValue: c.final_value,
        epochs: c.epochs,
        stepsPerEpoch: c.steps_per_epoch,
        warmupEpochs: c.warmup_epochs,
        warmupSteps: c.warmup_steps,
      });
      return [`cosine${i}`, { data, shape: [data.length] }];
    }),
  );
}
