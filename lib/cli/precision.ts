import { native } from '../native/addon.js';
import { GradientScaler } from '../optim/gradient-scaler.js';
import { defaultDevice } from '../tensor/device.js';
import type { Dtype } from '../tensor/tensor.js';
import { choiceFlag, usageError } from './flags.js';

/** Numbers that GEMMs and attention compute with; weights and sums are f32 in any case. */
export type Precision = 'fp32' | 'bf16' | 'fp16';

const dtypes: Readonly<Record<Precision, Dtype>> = { fp32: 'f32', bf16: 'bf16', fp16: 'f16' };

/** What `--precision` may name. */
export type PrecisionChoice = Precision | 'auto';

/** `--precision`. */
export function precisionFlag() {
  return choiceFlag<PrecisionChoice, 'auto'>(
    ['auto', 'fp32', 'bf16', 'fp16'],
    'auto',
    'numbers to compute with; auto: bf16 on cuda from compute capability 8.0 on, else fp32; fp16 is for cuda and scales the loss',
  );
}

/** What a choice stands for on the device that was chosen. */
export function precisionOf(choice: PrecisionChoice): Precision {
  if (choice !== 'auto') return choice;
  const device = defaultDevice();
  if (device === 'cpu') return 'fp32';
  const index = Number(device.split(':')[1] ?? 0);
  const capability = Number(native.cudaDevices()[index]?.capability ?? 0);
  return capability >= 8 ? 'bf16' : 'fp32';
}

/** dtype of GEMMs and attention. */
export function dtypeOf({ precision }: { readonly precision: PrecisionChoice }): Dtype {
  return dtypes[precisionOf(precision)];
}

/**
 * Refuses what the device does not compute in, and says on stderr where it does so slowly. Called when the device is
 * chosen.
 * @throws UserError naming the flag
 */
export function checkPrecision(precision: PrecisionChoice): void {
  if (defaultDevice() !== 'cpu') return;
  if (precision === 'fp16') {
    throw usageError('--precision fp16 is for --device cuda; on the cpu give bf16 or fp32');
  }
  if (precision === 'bf16' && !native.buildInfo().avx512Bf16) {
    process.stderr.write('this CPU has no AVX512-BF16: --precision bf16 is slower than fp32 here\n');
  }
}

/** What scales the loss of a run that trains in this precision: fp16 alone lacks the range. */
export function lossScalerOf(precision: PrecisionChoice): GradientScaler | undefined {
  return precisionOf(precision) === 'fp16' ? new GradientScaler({ enabled: true }) : undefined;
}
