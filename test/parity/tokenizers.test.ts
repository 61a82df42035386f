import { describe, expect, it } from 'vitest';
import { SafetensorsFile } from '../../lib/checkpoint/safetensors-reader.js';
import { native } from '../../lib/native/addon.js';
import { compareWithFixture } from '../../lib/parity/compare.js';
import { parityKinds } from '../../lib/parity/kinds.js';
import { defaultDevice } from '../../lib/tensor/device.js';
import { fixture } from '../fixtures.js';

describe('tokenizers and data against the reference', () => {
  for (const name of ['dalle_dvae', 'discrete_vae', 'pillow_resized_crop', 'cosine_schedules']) {
    it(`${name}: every tensor within tolerance in fp32`, async () => {
      const before = native.memoryStatistics().liveTensors;
      const file = SafetensorsFile.open(fixture(`${name}.safetensors`));
      const run = await parityKinds[file.metadata['kind'] ?? '']!();
      const comparisons = compareWithFixture(
        file,
        await run(file, { device: defaultDevice(), dtype: 'f32' }),
        1e-4,
      );
      expect(comparisons.length).toBeGreaterThan(2);
      expect(comparisons.filter((c) => !c.passed)).toEqual([]);
      file.close();
      expect(native.memoryStatistics().liveTensors).toBe(before);
    });
  }
});
