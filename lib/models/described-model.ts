import type { JsonObject } from '../checkpoint/checkpoint-state.js';
import { isObject } from '../checkpoint/run-description.js';
import { UserError } from '../errors.js';
import { encoderTensors } from './pretrained-encoder.js';

/** Shapes of tensors by name. */
type Shapes = ReadonlyMap<string, { readonly shape: readonly number[] }>;

/** Bounds of numbers: least and most, whole unless they are `real`. */
const bounds: Readonly<Record<string, readonly [least: number, most: number, kind?: 'real']>> = {
  imageSize: [1, 4096],
  patchSize: [1, 1024],
  embedDim: [1, 65_536],
  depth: [1, 1024],
  numHeads: [1, 1024],
  numClasses: [1, 1_000_000],
  mlpRatio: [1e-3, 64, 'real'],
  layerScaleInitValue: [0, 1000, 'real'],
  dropPath: [0, 1, 'real'],
  initScale: [-1000, 1000, 'real'],
};
const switches = ['sinPosEmb', 'relPosBias', 'sharedRelPosBias', 'useMeanPooling'];
const tasks = ['linear', 'attentive', 'finetune'];
const normalizations = ['half', 'imagenet'];

/** Tokens of a picture past which tables of pairs do not fit into memory. */
const mostPatches = 16_384;

/**
 * Refuses a description of a model that cannot be one: values of another type or beyond bounds, and sizes that are not
 * those of the tensors beside it. What is absent is not asked for.
 *
 * @param tensors of the encoder or classifier, or of a whole Context AutoEncoder
 * @param source name of the file in messages
 * @throws UserError naming the value and what it must be
 */
export function checkDescription(model: JsonObject, tensors: Shapes, source: string): void {
  const wants = (condition: boolean, name: string, value: unknown, what: string): void => {
    if (condition) return;
    const shown = (JSON.stringify(value) ?? 'missing').slice(0, 40);
    throw new UserError(`${source} describes a model whose ${name} is ${shown}; it must be ${what}`);
  };
  const config = model['config'] ?? {};
  if (!isObject(config)) {
    wants(false, 'config', config, 'sizes by name');
    return;
  }
  for (const [name, [least, most, kind]] of Object.entries(bounds)) {
    const value = config[name];
    const number = typeof value === 'number' && value >= least && value <= most;
    const fits = number && (kind === 'real' || Number.isInteger(value));
    const what = `${kind === 'real' ? 'a number' : 'a whole number'} from ${least} to ${most}`;
    wants(value === undefined || fits, name, value, what);
  }
  for (const name of switches) {
    const value = config[name];
    wants(value === undefined || typeof value === 'boolean', name, value, 'true or false');
  }
  const { imageSize = 1, patchSize = imageSize } = config as Record<string, number>;
  const patches = (imageSize / patchSize) ** 2;
  wants(patches <= mostPatches, 'imageSize', imageSize, `at most ${Math.sqrt(mostPatches)} patches a side`);
  checkAgainst(tensors, config, wants);
  const { task, normalization, classes, cropPct } = model;
  const isOneOf = (list: readonly string[], value: unknown): boolean =>
    value === undefined || list.includes(value as string);
  wants(isOneOf(tasks, task), 'task', task, `one of ${tasks.join(', ')}`);
  wants(isOneOf(normalizations, normalization), 'normalization', normalization, 'half or imagenet');
  const names = Array.isArray(classes) && classes.every((name) => typeof name === 'string');
  wants(classes === undefined || names, 'classes', classes, 'a list of names');
  const share = typeof cropPct === 'number' && cropPct >= 0.01 && cropPct <= 1;
  wants(cropPct === undefined || share, 'cropPct', cropPct, 'a number from 0.01 to 1');
}

/** The sizes that tensors show, where they are those of an encoder. */
function checkAgainst(
  tensors: Shapes,
  config: JsonObject,
  wants: (condition: boolean, name: string, value: unknown, what: string) => void,
): void {
  const encoder = encoderTensors(tensors);
  const patches = encoder.get('patch_embed.proj.weight')?.shape;
  if (patches?.length !== 4) return;
  const numbers = [...encoder.keys()].map((name) => Number(/^blocks\.(\d+)\./.exec(name)?.[1] ?? -1));
  const hidden = encoder.get('blocks.0.mlp.fc1.weight')?.shape[0];
  const width = patches[0] as number;
  const shown = {
    embedDim: width,
    patchSize: patches[2] as number,
    depth: 1 + numbers.reduce((most, number) => Math.max(most, number), -1),
  };
  for (const [name, own] of Object.entries(shown)) {
    const value = config[name];
    wants(value === undefined || value === own, name, value, `${own}, as its tensors have it`);
  }
  const ratio = config['mlpRatio'];
  const fits = typeof ratio !== 'number' || hidden === undefined || Math.trunc(width * ratio) === hidden;
  wants(fits, 'mlpRatio', ratio, `${(hidden ?? 0) / width}, as its tensors have it`);
}
