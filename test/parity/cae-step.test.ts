import { describe, expect, it } from 'vitest';
import { SafetensorsFile } from '../../lib/checkpoint/safetensors-reader.js';
import { native } from '../../lib/native/addon.js';
import { runCaeStep } from '../../lib/parity/cae-step.js';
import { compareWithFixture, tolerances } from '../../lib/parity/compare.js';
import { defaultDevice } from '../../lib/tensor/device.js';
import { fixture } from '../fixtures.js';

describe('CAE pretraining step against the reference', () => {
  for (const name of ['cae_step', 'cae_step_projected', 'cae_step_no_layer_scale']) {
    it(`${name}: forward, gradients and AdamW steps within 1e-4 in fp32`, async () => {
      const before = native.memoryStatistics().liveTensors;
      const file = SafetensorsFile.open(fixture(`${name}.safetensors`));
      const computed = await runCaeStep(file, { device: defaultDevice(), dtype: 'f32' });
      const comparisons = compareWithFixture(file, computed, 1e-4);
      expect(comparisons.length).toBeGreaterThan(150);
      expect(comparisons.filter((c) => !c.passed)).toEqual([]);
      file.close();
      expect(native.memoryStatistics().liveTensors).toBe(before);
    });
  }

  for (const name of ['cae_step', 'cae_step_projected', 'cae_step_no_layer_scale']) {
    it(`${name} in bf16: forward within 2e-2, gradients within 5e-2`, async () => {
      const file = SafetensorsFile.open(fixture(`${name}.safetensors`));
      const computed = await runCaeStep(file, { device: defaultDevice(), dtype: 'bf16' });
      const comparisons = compareWithFixture(file, computed, tolerances.bf16);
      expect(comparisons.filter((c) => !c.passed)).toEqual([]);
      // It did compute in bf16.
      expect(comparisons.find((c) => c.name === 'logits')!.error).toBeGreaterThan(1e-4);
      file.close();
    });
  }
});
