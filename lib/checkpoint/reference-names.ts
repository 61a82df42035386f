import type { Shaped } from './load-report.js';

/** Whether the tensors are those of a whole Context AutoEncoder. */
export function isCae(tensors: ReadonlyMap<string, unknown>): boolean {
  return ['mask_token', 'encoder.cls_token', 'regresser.norm.weight', 'decoder.head.weight'].every((name) =>
    tensors.has(name),
  );
}

/** Tensors without the alignment encoder, which is the encoder again. */
export function withoutAlignmentEncoder<T>(tensors: ReadonlyMap<string, T>): Map<string, T> {
  return new Map([...tensors].filter(([name]) => !name.startsWith('alignment_encoder.')));
}

/**
 * A Context AutoEncoder's tensors as the reference's `state_dict` names and orders them: the alignment encoder stands
 * behind the encoder, as the same tensors. Those of other models come back as they are.
 */
export function withAlignmentEncoder<T>(tensors: ReadonlyMap<string, T>): Map<string, T> {
  if (!isCae(tensors)) return new Map(tensors);
  const own = [...withoutAlignmentEncoder(tensors)];
  const isEncoder = ([name]: readonly [string, T]): boolean => name.startsWith('encoder.');
  const end = own.findLastIndex(isEncoder) + 1;
  const aliases = own.filter(isEncoder).map(([name, tensor]): [string, T] => [`alignment_${name}`, tensor]);
  return new Map([...own.slice(0, end), ...aliases, ...own.slice(end)]);
}

/** Tensors of a CAE that are fixed tables, which no optimizer knows. */
const fixedTables = /(^|\.)(pos_embed|rd_pos_embed)$/;

/** One of the reference's parameter groups. */
export interface NamedGroup {
  readonly decay: boolean;
  readonly names: readonly string[];
}

/**
 * The reference's two groups of trained parameters, in the order its optimizer numbers them: no decay for 1-D ones and
 * biases; the group of the first parameter comes first.
 *
 * @param parameters trained ones in the order of the model
 */
export function optimizerGroups(parameters: ReadonlyMap<string, Shaped>): NamedGroup[] {
  const groups = new Map<boolean, string[]>();
  for (const [name, { shape }] of parameters) {
    const decay = shape.length > 1 && !name.endsWith('.bias');
    const names = groups.get(decay) ?? [];
    groups.set(decay, names);
    names.push(name);
  }
  return [...groups].map(([decay, names]) => ({ decay, names }));
}

/**
 * The parameters of a CAE that the reference trains.
 *
 * @param tensors by name, in the order of its `state_dict`
 * @param fixedRegressorScale whether the regressor's layer scale is fixed: it is where its initial value was 0
 */
export function trainedParameters<T>(
  tensors: ReadonlyMap<string, T>,
  fixedRegressorScale: boolean,
): Map<string, T> {
  return new Map(
    [...withoutAlignmentEncoder(tensors)].filter(
      ([name]) => !fixedTables.test(name) && !(fixedRegressorScale && /\.gamma_[12]_cross$/.test(name)),
    ),
  );
}
