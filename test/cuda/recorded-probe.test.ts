import { describe, expect, it } from 'vitest';
import { AttentiveProbe } from '../../lib/models/attentive-probe.js';
import { LinearProbe } from '../../lib/models/linear-probe.js';
import { probeConfig } from '../../lib/models/vit-registry.js';
import { GradientScaler } from '../../lib/optim/gradient-scaler.js';
import { Lars } from '../../lib/optim/lars.js';
import { parameterGroups } from '../../lib/optim/parameter-groups.js';
import { Sgd } from '../../lib/optim/sgd.js';
import { scope } from '../../lib/tensor/scope.js';
import { type Dtype, Tensor } from '../../lib/tensor/tensor.js';
import { ClassifyTask, type LabelledBatch } from '../../lib/training/classify.js';
import { randomNumbers } from '../tensor/numbers.js';

const size = 6;
const classes = 3;
const steps = 8;
const side = 16;

interface Batch extends LabelledBatch {
  readonly index: number;
}

interface Probing {
  kind: 'linear' | 'attentive';
  dtype: Dtype;
  clip?: number;
  scaled?: boolean;
}

/** Losses, norms, weights, running statistics and momenta of a few steps, and from which on they were replayed. */
function probe({ kind, dtype, clip, scaled = false }: Probing, graph: boolean) {
  const config = probeConfig('cae_tiny_patch16_224', {
    ...{ imageSize: side, patchSize: 8, embedDim: 32, depth: 2, numHeads: 2, numClasses: classes },
  });
  const model = kind === 'linear' ? new LinearProbe(config) : new AttentiveProbe(config);
  model.initialize(3);
  const groups = parameterGroups(model.namedParameters());
  const optimizer = kind === 'linear' ? new Lars(groups) : new Sgd(groups, { nesterov: true });
  const scaler = scaled
    ? new GradientScaler({ enabled: true, initScale: 2 ** 30, growthInterval: 2 })
    : undefined;
  const task = new ClassifyTask<Batch>({
    model,
    classes,
    optimizer,
    dtype,
    graph,
    clip,
    scaler,
    view: {
      inputs: ({ index }) => ({
        x: Tensor.from(Float32Array.from(randomNumbers(size * 3 * side * side, index)), [
          size,
          3,
          side,
          side,
        ]),
        targets: Tensor.from(
          Float32Array.from({ length: size * classes }, (_, i) => (i % 4 === 0 ? 1 : 0)),
          [size, classes],
        ),
      }),
      train: (x, pass) => model.forward(x, pass, true),
      test: () => {
        throw new Error('nothing is measured');
      },
    },
    batches: () => {
      throw new Error('batches are handed over one by one');
    },
    mixed: true,
    seed: 1,
    lr: Float64Array.from({ length: steps }, (_, i) => 0.5 / (i + 1)),
    weightDecay: Float64Array.from({ length: steps }, (_, i) => 0.01 * i),
    leastScale: 1,
  });
  const recorded: boolean[] = [];
  const numbers: number[] = [];
  const scales: number[] = [];
  for (let step = 0; step < steps; step++) {
    recorded.push(task.recorded);
    scope(() => {
      const batch = { index: step, size, labels: new Int32Array(size), files: [], release: () => undefined };
      const { loss } = task.accumulate(batch, { globalStep: step, part: 0, parts: 1 });
      numbers.push(loss!.item(), task.update(step).item());
      const report = scaler?.report()?.dataSync();
      if (report !== undefined) scales.push(scaler!.settle(report));
    });
  }
  const state = [...model.stateDict(), ...task.optimizerState()].map(
    ([name, tensor]) => [name, [...tensor.dataSync()]] as const,
  );
  const updates = optimizer.step;
  task.dispose();
  optimizer.dispose();
  scaler?.dispose();
  model.dispose();
  return { recorded, updates, results: { numbers, scales, state } };
}

describe('a recorded step of a probe', () => {
  it.each<Probing>([
    { kind: 'linear', dtype: 'f32' },
    { kind: 'linear', dtype: 'bf16', clip: 0.1 },
    { kind: 'linear', dtype: 'f16', scaled: true },
    { kind: 'attentive', dtype: 'f32', clip: 0.5 },
    { kind: 'attentive', dtype: 'bf16' },
    { kind: 'attentive', dtype: 'f16', scaled: true },
  ])('%o: replayed, it is the next step to the bit', (of) => {
    const plain = probe(of, false);
    const replayed = probe(of, true);
    expect(plain.recorded).not.toContain(true);
    expect(replayed.recorded).toEqual(replayed.recorded.map((_, i) => i >= 3));
    expect(replayed.results).toEqual(plain.results);
    expect(replayed.updates).toBe(steps);
    if (of.scaled) expect(new Set(replayed.results.scales.slice(4)).size).toBeGreaterThan(1);
    // The rates changed from step to step, and so did the weights.
    expect(new Set(plain.results.numbers).size).toBeGreaterThan(steps);
  });
});
