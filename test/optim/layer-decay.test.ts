import { afterEach, describe, expect, it } from 'vitest';
import { native } from '../../lib/native/addon.js';
import { BatchNorm } from '../../lib/nn/batch-norm.js';
import { Linear } from '../../lib/nn/linear.js';
import { Module } from '../../lib/nn/module.js';
import { WeightAverage } from '../../lib/optim/ema.js';
import { layerDecayGroups, layerOf, skippedDecay } from '../../lib/optim/layer-decay.js';
import { epochCosineSchedule } from '../../lib/optim/schedules.js';
import { Parameter } from '../../lib/tensor/parameter.js';
import { disposeParameter, numbersOf, randomNumbers, relativeError, roundToBf16 } from '../tensor/numbers.js';

describe('layer-wise learning rates', () => {
  it('layers: tokens and patches, the blocks, all else', () => {
    const names = {
      cls_token: 0,
      pos_embed: 0,
      'patch_embed.proj.bias': 0,
      'blocks.0.norm1.weight': 1,
      'blocks.11.attn.relative_position_bias_table': 12,
      'rel_pos_bias.relative_position_bias_table': 13,
      'norm.weight': 13,
      'head.bias': 13,
    };
    expect(Object.fromEntries(Object.keys(names).map((name) => [name, layerOf(name, 12)]))).toEqual(names);
  });

  it('groups scale by layer, and decay neither biases nor what is skipped', () => {
    const shapes: Record<string, number[]> = {
      cls_token: [1, 1, 4],
      'blocks.1.attn.relative_position_bias_table': [12, 2],
      'blocks.1.mlp.fc1.weight': [4, 4],
      'head.bias': [4],
    };
    const named = new Map(Object.entries(shapes).map(([name, shape]) => [name, Parameter.empty(shape)]));
    const of = (skip?: ReadonlySet<string>): Record<string, [number, boolean]> =>
      Object.fromEntries(
        layerDecayGroups(named, { depth: 2, layerDecay: 0.5, ...(skip && { skip }) }).map(
          ({ name, lrScale, decay }) => [name, [lrScale, decay]],
        ),
      );
    expect(of()).toEqual({
      cls_token: [0.125, false],
      'blocks.1.attn.relative_position_bias_table': [0.5, true],
      'blocks.1.mlp.fc1.weight': [0.5, true],
      'head.bias': [1, false],
    });
    const skipping = of(skippedDecay(named.keys(), true));
    expect(skipping['blocks.1.attn.relative_position_bias_table']).toEqual([0.5, false]);
    expect(of(skippedDecay(named.keys(), false))).toEqual(of());
    for (const parameter of named.values()) disposeParameter(parameter);
  });
});

describe('epochCosineSchedule', () => {
  it('rises with the fractional epoch, then falls by a cosine', () => {
    const lr = epochCosineSchedule({ lr: 0.8, minLr: 0.2, epochs: 6, warmupEpochs: 2, stepsPerEpoch: 4 });
    expect(lr).toHaveLength(24);
    expect([...lr.subarray(0, 8)].map((v) => v.toFixed(12))).toEqual(
      Array.from({ length: 8 }, (_, i) => ((0.8 * i) / 8).toFixed(12)),
    );
    expect(lr[8]).toBeCloseTo(0.8, 14);
    // Halfway between the epochs 2 and 6.
    expect(lr[16]).toBeCloseTo(0.5, 14);
    expect(lr[23]).toBeCloseTo(0.2 + 0.3 * (1 + Math.cos((Math.PI * 3.75) / 4)), 14);
  });

  it('starts at its height without a warmup', () => {
    expect(epochCosineSchedule({ lr: 1, minLr: 0, epochs: 1, warmupEpochs: 0, stepsPerEpoch: 2 })[0]).toBe(1);
  });
});

class Small extends Module {
  readonly norm = this.child('norm', new BatchNorm(3, 1e-5));
  readonly linear = this.child('linear', new Linear(3, 2));
}

describe('WeightAverage', () => {
  const made: (Small | WeightAverage)[] = [];
  afterEach(() => {
    for (const item of made.splice(0)) item.dispose();
  });

  function small(): Small {
    const model = new Small();
    made.push(model);
    model.linear.weight.assign(Float32Array.from(randomNumbers(6, 1)));
    model.linear.bias!.assign(Float32Array.from(randomNumbers(2, 2)));
    return model;
  }

  it('starts as the weights and moves towards them, running statistics and counts included', () => {
    const before = native.memoryStatistics().liveTensors;
    const model = small();
    const average = new WeightAverage(model, 0.9);
    made.push(average);
    const first = numbersOf(model.linear.weight);
    expect(numbersOf(average.stateDict().get('linear.weight')!)).toEqual(first);
    const second = Float32Array.from(randomNumbers(6, 3));
    model.linear.weight.assign(second);
    model.norm.runningMean.assign(Float32Array.of(1, 2, 3));
    model.norm.batches.assign(Int32Array.of(7));
    average.update();
    average.update();
    const wanted = first.map((v, i) => 0.81 * v + 0.19 * second[i]!);
    const state = average.stateDict();
    expect([...state.keys()]).toEqual([...model.stateDict().keys()]);
    expect(relativeError(numbersOf(state.get('linear.weight')!), wanted)).toBeLessThan(1e-6);
    expect(relativeError(numbersOf(state.get('norm.running_mean')!), [0.19, 0.38, 0.57])).toBeLessThan(1e-6);
    expect([...state.get('norm.num_batches_tracked')!.dataSync()]).toEqual([7]);
    for (const item of made.splice(0)) item.dispose();
    expect(native.memoryStatistics().liveTensors).toBe(before);
  });

  it('changes places with the weights and their bf16 copies, and back', () => {
    const model = small();
    const average = new WeightAverage(model, 0.5);
    made.push(average);
    const copy = model.linear.weight.as('bf16');
    const [old, now] = [numbersOf(model.linear.weight), Float32Array.from(randomNumbers(6, 3))];
    model.linear.weight.assign(now);
    average.swap();
    expect(numbersOf(model.linear.weight)).toEqual(old);
    expect(numbersOf(copy)).toEqual(roundToBf16(old));
    average.swap();
    expect(numbersOf(model.linear.weight)).toEqual(now);
    expect(numbersOf(copy)).toEqual(roundToBf16(now));
    expect(numbersOf(average.stateDict().get('linear.weight')!)).toEqual(old);
  });

  it('takes up saved averages, and names what is missing or of another shape', () => {
    const model = small();
    const average = new WeightAverage(model, 0.5);
    made.push(average);
    const entries = new Map(
      [...average.stateDict()].map(([name, tensor]) => [
        name,
        { shape: tensor.shape, data: tensor.dataSync().map((v) => v + 1) },
      ]),
    );
    average.load(entries);
    const wanted = numbersOf(model.linear.weight).map((v) => v + 1);
    expect(numbersOf(average.stateDict().get('linear.weight')!)).toEqual(wanted);
    entries.set('linear.bias', { shape: [3], data: new Float32Array(3) });
    expect(() => average.load(entries)).toThrow(
      /linear\.bias is \[3\] in the running average and \[2\] here/,
    );
    entries.delete('linear.bias');
    expect(() => average.load(entries)).toThrow(/lacks linear\.bias/);
  });
});
