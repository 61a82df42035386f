import { mse } from '../../lib/tensor/ops/loss.js';
import type { Parameter } from '../../lib/tensor/parameter.js';
import { scope } from '../../lib/tensor/scope.js';
import { noGrad, withTape } from '../../lib/tensor/tape.js';
import type { Tensor } from '../../lib/tensor/tensor.js';
import { randomNumbers, relativeError, tensorOf } from './numbers.js';

/** Most elements of one parameter that are moved one by one; beyond it, that many spread over the tensor. */
const sampled = 64;
const h = 1e-5;

/** The output as a scalar: its distance from a fixed random target, so that every element has its own weight. */
function scalar(output: Tensor): Tensor {
  if (output.shape.length === 0) return output;
  return mse(output, tensorOf(randomNumbers(output.size, 99), output.shape, 'f64'));
}

/** Central difference of `value` along a direction from the parameter's present values. */
function slope(
  parameter: Parameter,
  origin: Float64Array,
  direction: Float64Array,
  value: () => number,
): number {
  parameter.assign(origin.map((v, i) => v + h * direction[i]!));
  const above = value();
  parameter.assign(origin.map((v, i) => v - h * direction[i]!));
  const below = value();
  parameter.assign(origin);
  return (above - below) / (2 * h);
}

/**
 * Relative error of the tape's gradients against central finite differences, by parameter. All elements are compared
 * together; of large tensors a spread of elements and one random direction through all of them.
 * @param parameters f64
 * @param forward computes any output from them
 */
export function gradientErrors(
  parameters: Record<string, Parameter>,
  forward: () => Tensor,
): Record<string, number> {
  const value = (): number => noGrad(() => scope(() => scalar(forward()).item()));
  for (const parameter of Object.values(parameters)) parameter.clearGrad();
  withTape((tape) => scope(() => void tape.backward(scalar(forward()))));
  const errors: Record<string, number> = {};
  for (const [name, parameter] of Object.entries(parameters)) {
    if (!parameter.hasGrad || parameter.grad === null) throw new Error(`${name} got no gradient`);
    const gradient = Float64Array.from(parameter.grad.dataSync());
    const origin = Float64Array.from(parameter.dataSync());
    const step = Math.max(1, origin.length / sampled);
    const got: number[] = [];
    const wanted: number[] = [];
    for (let at = 0; at < origin.length; at += step) {
      const i = Math.floor(at);
      const direction = new Float64Array(origin.length);
      direction[i] = 1;
      got.push(gradient[i]!);
      wanted.push(slope(parameter, origin, direction, value));
    }
    errors[name] = relativeError(got, wanted);
    if (step > 1) {
      const direction = randomNumbers(origin.length, 7);
      const along = gradient.reduce((sum, g, i) => sum + g * direction[i]!, 0);
      const all = relativeError([along], [slope(parameter, origin, direction, value)]);
      errors[name] = Math.max(errors[name], all);
    }
  }
  return errors;
}
