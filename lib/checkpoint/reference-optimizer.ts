import { UserError } from '../errors.js';
import type { JsonObject } from './checkpoint-state.js';
import type { PickleValue } from './pickle-values.js';
import { PickleFloat, type PickleSource, PickleTuple } from './pickle-writer.js';
import { optimizerGroups, trainedParameters } from './reference-names.js';
import { type FileTensor, type StoredTensor, tensorOfBytes } from './stored-tensor.js';
import { TorchTensor } from './torch-tensor.js';
import type { TorchStorages } from './torch-writer.js';

/** AdamW's moments of one parameter. */
interface Moments<T> {
  readonly first: T;
  readonly second: T;
}

function numberOf(args: JsonObject, name: string, fallback: number): number {
  const value = args[name];
  return typeof value === 'number' ? value : fallback;
}

/**
 * The `state_dict` of the reference's AdamW. Learning rate and decay of its groups are those the run began with: the
 * reference's schedules set both anew at each step.
 *
 * @param moments of the trained parameters, `exp_avg.<name>` and `exp_avg_sq.<name>`, in the order of the model
 * @param step optimizer steps taken
 * @param args the run's flags, those that are known
 */
export function referenceOptimizer(
  moments: ReadonlyMap<string, StoredTensor>,
  step: number,
  args: JsonObject,
  storages: TorchStorages,
): PickleSource {
  const parameters = new Map<string, StoredTensor>();
  for (const [key, tensor] of moments) {
    if (key.startsWith('exp_avg.')) parameters.set(key.slice('exp_avg.'.length), tensor);
  }
  const betas = Array.isArray(args['opt_betas']) ? args['opt_betas'] : [0.9, 0.999];
  const state = new Map<PickleSource, PickleSource>();
  const groups: PickleSource[] = [];
  for (const { decay, names } of optimizerGroups(parameters)) {
    const from = state.size;
    for (const name of names) {
      const entry = (key: string): PickleSource =>
        storages.tensor(moments.get(`${key}.${name}`) as StoredTensor);
      state.set(
        state.size,
        new Map<PickleSource, PickleSource>([
          ['step', storages.tensor(tensorOfBytes('F32', [], Float32Array.of(step)))],
          ['exp_avg', entry('exp_avg')],
          ['exp_avg_sq', entry('exp_avg_sq')],
        ]),
      );
    }
    groups.push(
      new Map<PickleSource, PickleSource>([
        ['weight_decay', new PickleFloat(decay ? numberOf(args, 'weight_decay', 0.05) : 0)],
        ['lr_scale', new PickleFloat(1)],
        ['lr', new PickleFloat(numberOf(args, 'lr', 5e-4))],
        ['betas', new PickleTuple(betas.map((beta) => new PickleFloat(Number(beta))))],
        ['eps', new PickleFloat(numberOf(args, 'opt_eps', 1e-8))],
        ['amsgrad', false],
        ['maximize', false],
        ['foreach', null],
        ['capturable', false],
        ['differentiable', false],
        ['fused', null],
        ['decoupled_weight_decay', true],
        ['params', names.map((_, i) => from + i)],
      ]),
    );
  }
  return new Map<PickleSource, PickleSource>([
    ['state', state],
    ['param_groups', groups],
  ]);
}

/** An optimizer's state as a run's checkpoint holds it. */
export interface ImportedOptimizer {
  /** `exp_avg.<name>` and `exp_avg_sq.<name>`, in the order of the model. */
  readonly tensors: Map<string, FileTensor>;
  /** Optimizer steps taken. */
  readonly step: number;
}

/**
 * Reads the reference's AdamW: its parameters bear numbers, in the order of its groups.
 *
 * @param tree the value of `optimizer`
 * @param model the model's tensors, in the order of its `state_dict`
 * @throws UserError where the state is not that of this model's parameters
 */
export function importOptimizer(
  tree: PickleValue,
  model: ReadonlyMap<string, FileTensor>,
  source: string,
): ImportedOptimizer {
  const wrong = (why: string): UserError =>
    new UserError(`${source}: its optimizer is not AdamW over this model's parameters: ${why}`);
  const state = tree instanceof Map ? tree.get('state') : undefined;
  if (!(state instanceof Map)) throw wrong('it has no state');
  const trained = [false, true]
    .map((fixed) => trainedParameters(model, fixed))
    .find(({ size }) => size === state.size);
  if (trained === undefined) {
    throw wrong(
      `it holds ${state.size} parameters, and the model has ${trainedParameters(model, false).size}`,
    );
  }
  const moments = new Map<string, Moments<TorchTensor>>();
  let step: number | undefined;
  const names = optimizerGroups(trained).flatMap((group) => group.names);
  for (const [i, name] of names.entries()) {
    const entry = state.get(i);
    if (!(entry instanceof Map)) throw wrong(`it lacks parameter ${i}, ${name}`);
    const [first, second] = ['exp_avg', 'exp_avg_sq'].map((key) => entry.get(key));
    const shape = (trained.get(name) as FileTensor).shape;
    for (const moment of [first, second]) {
      if (moment instanceof TorchTensor && moment.shape.join() === shape.join()) continue;
      const found = moment instanceof TorchTensor ? `[${moment.shape.join(', ')}]` : 'missing';
      throw wrong(`the moments of parameter ${i}, ${name} [${shape.join(', ')}], are ${found}`);
    }
    const taken = stepOf(entry.get('step'));
    if (taken === undefined || (step !== undefined && taken !== step)) {
      throw wrong(
        `parameter ${i}, ${name}, has taken ${taken ?? 'no'} steps where others took ${step ?? 'some'}`,
      );
    }
    step = taken;
    moments.set(name, { first: first as TorchTensor, second: second as TorchTensor });
  }
  const tensors = new Map<string, FileTensor>();
  for (const name of trained.keys()) {
    const { first, second } = moments.get(name) as Moments<TorchTensor>;
    tensors.set(`exp_avg.${name}`, first);
    tensors.set(`exp_avg_sq.${name}`, second);
  }
  return { tensors, step: step ?? 0 };
}

/** Steps taken: a number, or since PyTorch 1.12 a tensor of one. */
function stepOf(value: PickleValue | undefined): number | undefined {
  if (typeof value === 'number') return value;
  if (!(value instanceof TorchTensor) || value.count !== 1) return undefined;
  const bytes = value.read();
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  if (value.dtype === 'F32') return view.getFloat32(0, true);
  if (value.dtype === 'I64') return Number(view.getBigInt64(0, true));
  return undefined;
}
