import { describe, expect, it } from 'vitest';
import { SafetensorsFile } from '../../lib/checkpoint/safetensors-reader.js';
import { native } from '../../lib/native/addon.js';
import { compareWithFixture } from '../../lib/parity/compare.js';
import { runAttentiveProbeSteps, runLinearProbeSteps } from '../../lib/parity/probe-steps.js';
import { checkGroups, runVitFinetuneStep } from '../../lib/parity/vit-finetune-step.js';
import { defaultDevice } from '../../lib/tensor/device.js';
import { Parameter } from '../../lib/tensor/parameter.js';
import { fixture } from '../fixtures.js';
import { disposeParameter } from '../tensor/numbers.js';

const cases = [
  { name: 'finetune_step', run: runVitFinetuneStep, tensors: 115 },
  { name: 'finetune_step_cls_token', run: runVitFinetuneStep, tensors: 108 },
  { name: 'linear_probe_steps', run: runLinearProbeSteps, tensors: 6 },
  { name: 'attentive_probe_steps', run: runAttentiveProbeSteps, tensors: 30 },
];

describe('fine-tuning and probing steps against the reference', () => {
  it.each(cases)(
    '$name: all tensors within 1e-4 in fp32, and no memory left',
    async ({ name, run, tensors }) => {
      const device = defaultDevice();
      const before = native.memoryStatistics().liveTensors;
      using file = SafetensorsFile.open(fixture(`${name}.safetensors`));
      const comparisons = compareWithFixture(file, await run(file, { device, dtype: 'f32' }), 1e-4);
      expect(comparisons).toHaveLength(tensors);
      expect(comparisons.filter((c) => !c.passed)).toEqual([]);
      expect(native.memoryStatistics().liveTensors).toBe(before);
    },
  );

  // The CPU does not compute in f16.
  const halves = (['bf16', 'f16'] as const).filter((dtype) => dtype === 'bf16' || defaultDevice() !== 'cpu');
  const inHalves = cases.flatMap((of) => halves.map((dtype) => ({ ...of, dtype })));
  it.each(inHalves)('$name in $dtype: logits and losses within 2e-2', async ({ name, run, dtype }) => {
    using file = SafetensorsFile.open(fixture(`${name}.safetensors`));
    const computed = await run(file, { device: defaultDevice(), dtype });
    const comparisons = compareWithFixture(file, computed, 2e-2);
    const forward = comparisons.filter((c) => /^(logits|eval_logits|loss)/.test(c.name));
    expect(forward.length).toBeGreaterThan(1);
    expect(forward.filter((c) => !c.passed)).toEqual([]);
  });

  it('groups are held against the fixture’s: a scale, a decay, or a parameter that differs is named', () => {
    const parameter = Parameter.empty([2, 2]);
    const groups = [{ name: 'w', parameter, lrScale: 0.5, decay: true }];
    expect(() => checkGroups(groups, { w: { lr_scale: 0.5, decay: true } })).not.toThrow();
    expect(() => checkGroups(groups, { w: { lr_scale: 0.25, decay: true } })).toThrow(
      /w: learning rate × 0.5/,
    );
    expect(() => checkGroups(groups, { w: { lr_scale: 0.5, decay: false } })).toThrow(/decay true/);
    expect(() => checkGroups(groups, {})).toThrow(/no group for w/);
    const more = { w: { lr_scale: 0.5, decay: true }, v: { lr_scale: 1, decay: true } };
    expect(() => checkGroups(groups, more)).toThrow(/no group for v/);
    disposeParameter(parameter);
  });
});
