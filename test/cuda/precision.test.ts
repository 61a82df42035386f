import { expect, it } from 'vitest';
import { SafetensorsFile } from '../../lib/checkpoint/safetensors-reader.js';
import { runCaeStep } from '../../lib/parity/cae-step.js';
import { compareWithFixture } from '../../lib/parity/compare.js';
import { defaultDevice } from '../../lib/tensor/device.js';
import { fixture } from '../fixtures.js';

// bf16 is covered by test/parity; f16 computes on CUDA alone.
it('cae_step in f16: forward and losses within 5e-3 of the reference', async () => {
  const file = SafetensorsFile.open(fixture('cae_step.safetensors'));
  const computed = await runCaeStep(file, { device: defaultDevice(), dtype: 'f16' });
  const comparisons = compareWithFixture(file, computed, 5e-3);
  const forward = comparisons.filter((c) => /^(logits|latent|loss)/.test(c.name));
  expect(forward.length).toBeGreaterThanOrEqual(5);
  expect(forward.filter((c) => !c.passed)).toEqual([]);
  file.close();
});
