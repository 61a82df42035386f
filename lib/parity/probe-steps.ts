import type { SafetensorsFile } from '../checkpoint/safetensors-reader.js';
import { AttentiveProbe } from '../models/attentive-probe.js';
import type { Probe } from '../models/classifier.js';
import { LinearProbe } from '../models/linear-probe.js';
import type { VitConfig } from '../models/vit-config.js';
import { probeConfig } from '../models/vit-registry.js';
import type { StateEntry } from '../nn/module.js';
import { Lars } from '../optim/lars.js';
import type { Optimizer } from '../optim/optimizer.js';
import { parameterGroups } from '../optim/parameter-groups.js';
import { Sgd } from '../optim/sgd.js';
import { crossEntropy } from '../tensor/ops/loss.js';
import { scope } from '../tensor/scope.js';
import { withTape } from '../tensor/tape.js';
import { Tensor } from '../tensor/tensor.js';
import { fixtureParameters } from './cae-step.js';
import { fixtureConfig } from './fixture-config.js';
import type { Computed, ParityOptions } from './types.js';

interface ProbeFixture {
  embed_dim: number;
  lr: number[];
  num_classes: number;
  num_heads?: number;
  weight_decay?: number;
}

/** What a kind of probe brings to its fixture. */
interface ProbeKind {
  create(config: VitConfig): Probe;
  optimizer(probe: Probe): Optimizer;
  /** Name of the given features: a batch a step. */
  input: string;
  /** The fixture's name of a parameter as the model's. */
  rename(name: string): string;
  runningName: string;
}

/** A linear probe's head over given features: LARS steps, running statistics, logits in evaluation. */
export async function runLinearProbeSteps(
  file: SafetensorsFile,
  options: ParityOptions,
): Promise<Map<string, Computed>> {
  return runProbeSteps(file, options, {
    create: (config) => new LinearProbe(config),
    optimizer: (probe) => new Lars(parameterGroups(probe.namedParameters())),
    input: 'input.features',
    rename: (name) => name.replace(/^head\./, 'head.1.'),
    runningName: 'head.0',
  });
}

/** An attentive probe's head over given tokens: gradients, nesterov steps, logits in evaluation. */
export async function runAttentiveProbeSteps(
  file: SafetensorsFile,
  options: ParityOptions,
): Promise<Map<string, Computed>> {
  return runProbeSteps(file, options, {
    create: (config) => new AttentiveProbe(config),
    optimizer: (probe) => new Sgd(parameterGroups(probe.namedParameters()), { nesterov: true }),
    input: 'input.tokens',
    rename: (name) => name,
    runningName: 'fc_norm',
  });
}

async function runProbeSteps(
  file: SafetensorsFile,
  { device, dtype }: ParityOptions,
  kind: ProbeKind,
): Promise<Map<string, Computed>> {
  const fixture = fixtureConfig<ProbeFixture>(file, ['embed_dim', 'lr', 'num_classes']);
  const probe = kind.create(
    // The features are given: the encoder in front of the head stays unused, and small.
    probeConfig('cae_tiny_patch16_224', {
      imageSize: 16,
      depth: 1,
      embedDim: fixture.embed_dim,
      numHeads: fixture.num_heads ?? 1,
      numClasses: fixture.num_classes,
    }),
  );
  const given = fixtureParameters(file);
  loadHead(probe, new Map([...given].map(([name, entry]) => [kind.rename(name), entry])));

  const [steps, batch, ...rest] = file.info(kind.input).shape as [number, number, ...number[]];
  const inputs = file.readFloat32(kind.input);
  const labels = file.readInt32('input.labels');
  const slice = <T extends Float32Array | Int32Array>(data: T, step: number, shape: number[]): Tensor => {
    const size = data.length / steps;
    return Tensor.from(data.slice(step * size, (step + 1) * size), shape, device);
  };
  const pass = { dtype, dropPath: null };
  const computed = new Map<string, Computed>();
  const put = (name: string, tensor: Tensor): void => {
    computed.set(name, { data: tensor.dataSync(), shape: tensor.shape });
  };
  const optimizer = kind.optimizer(probe);
  const losses = fixture.lr.map((lr, step) =>
    scope(() => {
      const value = withTape((tape) => {
        const logits = probe.head(slice(inputs, step, [batch, ...rest]), pass, true);
        const { loss } = crossEntropy(logits, slice(labels, step, [batch]));
        tape.backward(loss);
        return loss.item();
      });
      for (const name of step === 0 ? given.keys() : []) {
        const grad = probe.namedParameters().get(kind.rename(name))?.grad;
        if (grad) put(`grad.${name}`, grad);
      }
      optimizer.update({ lr, weightDecay: fixture.weight_decay ?? 0 });
      return value;
    }),
  );
  computed.set('loss_per_step', { data: Float64Array.from(losses), shape: [losses.length] });
  const state = probe.stateDict();
  for (const name of given.keys()) put(`param_after.${name}`, state.get(kind.rename(name)) as Tensor);
  put('running_mean', state.get(`${kind.runningName}.running_mean`) as Tensor);
  put('running_var', state.get(`${kind.runningName}.running_var`) as Tensor);
  scope(() => put('eval_logits', probe.head(slice(inputs, 0, [batch, ...rest]), pass, false)));
  optimizer.dispose();
  probe.dispose();
  return computed;
}

/** Loads the head; @throws Error unless its trained parameters and the fixture's are the same */
function loadHead(probe: Probe, entries: Map<string, StateEntry>): void {
  const { missing, unexpected } = probe.loadStateDict(entries);
  const trained = new Set(parameterGroups(probe.namedParameters()).map(({ name }) => name));
  const odd = [...missing.filter((name) => trained.has(name)), ...unexpected];
  if (odd.length > 0) throw new Error(`the fixture and the model differ in ${odd.join(', ')}`);
}
