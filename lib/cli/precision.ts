import { native } from '../native/addon.js';
import { GradientScaler } from '../optim/gradient-scaler.js';
import { defaultDevice } from '../tensor/device.js';
import type { Dtype } from '../tensor/tensor.js';
import { choiceFlag, usageError } from './flags.js';

/** Numbers that GEMMs and attention compute with; weights and sums are f32 in any case. */
export type Precision = 'fp32' | 'bf16' | 'fp16';

const dtypes: Readonly<Record<Precision, Dtype>> = { fp32: 'f32', bf16: 'bf16', fp16: 'f16' };

/** `--precision`. */
export function precisionFlag() {
  return choiceFlag<Precision, 'fp32'>(
    ['fp32', 'bf16', 'fp16'],
    'fp32',
    'numbers to compute with; fp16 is for cuda and scales the loss',
  );
}

/** dtype of GEMMs and attention. */
export function dtypeOf({ precision }: { readonly precision: Precision }): Dtype {
  return dtypes[precision];
}

/**
 * Refuses what the device does not compute in, and says on stderr where it does so slowly. Called when the device is
 * chosen.
 * @throws UserError naming the flag
 */
export function checkPrecision(precision: Precision): void {
  if (defaultDevice() !== 'cpu') return;
  if (precision === 'fp16') {
    throw usageError('--precision fp16 is for --device cuda; on the cpu give bf16 or fp32');
  }
  if (precision === 'bf16' && !native.buildInfo().avx512Bf16) {
    process.stderr.write('this CPU has no AVX512-BF16: --precision bf16 is slower than fp32 here\n');
  }
}

/** What scales the loss of a run that trains in this precision: fp16 alone lacks the range. */
export function lossScalerOf(precision: Precision): GradientScaler | undefined {
  return precision === 'fp16' ? new GradientScaler({ enabled: true }) : undefined;
}
