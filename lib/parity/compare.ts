import type { SafetensorsFile } from '../checkpoint/safetensors-reader.js';
import type { Computed } from './types.js';

/** One tensor held against its expectation. */
export interface Comparison {
  name: string;
  /** ‖a − b‖/‖b‖; where `absolute`, ‖a − b‖ over the norm of all gradients; for tokens the share that differs */
  error: number;
  tolerance: number;
  passed: boolean;
  /** a gradient that is zero in exact arithmetic: compared to the norm of all gradients */
  absolute: boolean;
}

/** What passes, by what a tensor is. */
export interface Tolerances {
  /** Largest relative error of what the forward pass and the optimizer compute. */
  readonly forward: number;
  readonly gradients: number;
  /** A gradient below this share of the whole gradient's norm is rounding noise … */
  readonly noise: number;
  /** … and may be off by this share of it. */
  readonly noiseError: number;
  /** Least share of equal tokens (integers): 1 where they must be equal. */
  readonly agreement: number;
}

/** The half formats' coarseness; near ties between tokens may fall either way. */
const half: Tolerances = { forward: 2e-2, gradients: 5e-2, noise: 1e-3, noiseError: 1e-4, agreement: 0.9 };

/** Rounding in fp32; the format's own coarseness in bf16 and fp16. */
export const tolerances: Readonly<Record<'fp32' | 'bf16' | 'fp16', Tolerances>> = {
  fp32: { forward: 1e-4, gradients: 1e-4, noise: 1e-6, noiseError: 1e-6, agreement: 1 },
  bf16: half,
  fp16: half,
};

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
 * tokens (integers) equal but for a share, pictures (uint8) at most one level off; a gradient that is only rounding noise is compared to the
 * whole gradient's norm, and its parameter after the steps left out.
 * @param tolerance a number for all relative errors, with equal tokens; or one for each sort of tensor
 * @throws Error if a tensor is missing or differs in size
 */
export function compareWithFixture(
  file: SafetensorsFile,
  computed: Map<string, Computed>,
  tolerance: number | Tolerances,
): Comparison[] {
  const limits =
    typeof tolerance === 'number'
      ? { ...tolerances.fp32, forward: tolerance, gradients: tolerance }
      : tolerance;
  const expected = file.names().filter((name) => name.startsWith('expect.'));
  const gradients = expected.filter((name) => name.startsWith('expect.grad.'));
  const total = Math.hypot(...gradients.map((name) => norm(values(file, name))));
  const isNoise = (parameter: string, share: number): boolean => {
    const name = `expect.grad.${parameter}`;
    return expected.includes(name) && norm(values(file, name)) < share * total;
  };
  const comparisons: Comparison[] = [];
  for (const full of expected) {
    const name = full.slice('expect.'.length);
    const after = name.startsWith('param_after.') ? name.slice('param_after.'.length) : undefined;
    if (after !== undefined && isNoise(after, tolerances.fp32.noise)) continue;
    const wanted = values(file, full);
    const got = computed.get(name);
    if (got === undefined) throw new Error(`${name} was not computed`);
    if (got.data.length !== wanted.length) {
      throw new Error(`${name} has ${got.data.length} values, the fixture ${wanted.length}`);
    }
    const absolute = name.startsWith('grad.') && isNoise(name.slice('grad.'.length), limits.noise);
    const { dtype } = file.info(full);
    let error = norm(got.data, wanted) / (absolute ? total : norm(wanted));
    let limit = name.startsWith('grad.') ? limits.gradients : limits.forward;
    if (absolute) limit = limits.noiseError;
    if (dtype === 'U8') {
      error = 0;
      for (let i = 0; i < wanted.length; i++) error = Math.max(error, Math.abs(got.data[i]! - wanted[i]!));
      limit = 1;
    } else if (dtype === 'I32') {
      let different = 0;
      for (let i = 0; i < wanted.length; i++) if (got.data[i] !== wanted[i]) different += 1;
      error = different / wanted.length;
      limit = 1 - limits.agreement;
    }
    comparisons.push({ name, error, tolerance: limit, passed: error <= limit, absolute });
  }
  return comparisons;
}
