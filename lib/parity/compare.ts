import type { SafetensorsFile } from '../checkpoint/safetensors-reader.js';
import type { Computed } from './types.js';

/** One tensor held against its expectation. */
export interface Comparison {
  name: string;
  /** ‖a − b‖/‖b‖; or, where `absolute`, ‖a − b‖ over the norm of all gradients */
  error: number;
  tolerance: number;
  passed: boolean;
  /** a gradient that is zero in exact arithmetic: compared to the norm of all gradients */
  absolute: boolean;
}

/** A gradient below this share of the whole gradient's norm is rounding noise. */
const noise = 1e-6;

function values(file: SafetensorsFile, name: string): ArrayLike<number> {
  const { dtype } = file.info(name);
  if (dtype === 'I32') return file.readInt32(name);
  if (dtype === 'U8') return file.read(name);
  if (dtype === 'F64') return file.readFloat64(name);
  return file.readFloat32(name);
}

function norm(a: ArrayLike<number>, b?: ArrayLike<number>): number {
  let sum = 0;
  for (let i = 0; i < a.length; i++) {
    const d = a[i]! - (b?.[i] ?? 0);
    sum += d * d;
  }
  return Math.sqrt(sum);
}

/**
 * Holds computed tensors against a fixture's `expect.*` by the rule of its README: relative error in float64;
 * integers equal, pictures (uint8) at most one level off; a gradient that is only rounding noise is compared to the
 * whole gradient's norm, and its parameter after the steps left out.
 * @throws Error if a tensor is missing or differs in size
 */
export function compareWithFixture(
  file: SafetensorsFile,
  computed: Map<string, Computed>,
  tolerance: number,
): Comparison[] {
  const expected = file.names().filter((name) => name.startsWith('expect.'));
  const gradients = expected.filter((name) => name.startsWith('expect.grad.'));
  const total = Math.hypot(...gradients.map((name) => norm(values(file, name))));
  const isNoise = (parameter: string): boolean => {
    const name = `expect.grad.${parameter}`;
    return expected.includes(name) && norm(values(file, name)) < noise * total;
  };
  const comparisons: Comparison[] = [];
  for (const full of expected) {
    const name = full.slice('expect.'.length);
    if (name.startsWith('param_after.') && isNoise(name.slice('param_after.'.length))) continue;
    const wanted = values(file, full);
    const got = computed.get(name);
    if (got === undefined) throw new Error(`${name} was not computed`);
    if (got.data.length !== wanted.length) {
      throw new Error(`${name} has ${got.data.length} values, the fixture ${wanted.length}`);
    }
    const absolute = name.startsWith('grad.') && isNoise(name.slice('grad.'.length));
    const { dtype } = file.info(full);
    let error = norm(got.data, wanted) / (absolute ? total : norm(wanted));
    let limit = absolute ? noise : tolerance;
    if (dtype === 'U8' || dtype === 'I32') {
      error = 0;
      for (let i = 0; i < wanted.length; i++) error = Math.max(error, Math.abs(got.data[i]! - wanted[i]!));
      limit = dtype === 'U8' ? 1 : 0;
    }
    comparisons.push({ name, error, tolerance: limit, passed: error <= limit, absolute });
  }
  return comparisons;
}
