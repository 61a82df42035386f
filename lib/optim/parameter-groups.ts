import type { Parameter } from '../tensor/parameter.js';

/** A trainable parameter and how the optimizer treats it. */
export interface ParameterGroup {
  name: string;
  parameter: Parameter;
  /** factor on the learning rate; 1 but for layer-wise decay */
  lrScale: number;
  /** whether weight decay applies */
  decay: boolean;
}

/**
 * Pretraining's groups: no decay for 1-D parameters and names ending in `.bias`, decay for all else (cls_token and
 * mask_token among it: the reference's skip list is empty). Fixed parameters are left out.
 * @param skip names that are not decayed either
 */
export function parameterGroups(
  parameters: Map<string, Parameter>,
  skip: ReadonlySet<string> = new Set(),
): ParameterGroup[] {
  return [...parameters]
    .filter(([, parameter]) => parameter.requiresGrad)
    .map(([name, parameter]) => ({
      name,
      parameter,
      lrScale: 1,
      decay: parameter.shape.length > 1 && !name.endsWith('.bias') && !skip.has(name),
    }));
}
