import { native } from '../native/addon.js';
import { GradientScaler } from '../optim/gradient-scaler.js';
import { defaultDevice } from '../tensor/device.js';
import type { Dtype } from '../tensor/tensor.js';
import { choiceFlag, switchFlag, usageError } from './flags.js';

/** Numbers that GEMMs and attention compute with; weights and sums are f32 in any case. */
export type Precision = 'fp32' | 'bf16' | 'fp16';

const dtypes: Readonly<Record<Precision, Dtype>> = { fp32: 'f32', bf16: 'bf16', fp16: 'f16' };

/** What `--precision` may name. */
export type PrecisionChoice = Precision | 'auto';

/** `--precision`. */
function precisionFlag() {
  return choiceFlag<PrecisionChoice, 'auto'>(
    ['auto', 'fp32', 'bf16', 'fp16'],
    'auto',
    'numbers to compute with; auto: bf16 on cuda from compute capability 8.0 on, else fp32; fp16 is for cuda and scales the loss',
  );
}

/** `--precision` and what else is asked of numbers. */
export function numberFlags() {
  return {
    precision: precisionFlag(),
    tf32: switchFlag('on cuda: products and convolutions in fp32 round their inputs to TF32'),
    deterministic: switchFlag(
      'on cuda: the same bits in every run, at some cost; on the cpu they are in any case',
    ),
  };
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
 * Asks the device, once it is chosen, for numbers as the flags say. Refuses what it does not compute in, and says on
 * stderr where it does so slowly.
 * @throws UserError naming the flag
 */
export function usePrecision({
  precision,
  tf32 = false,
  deterministic = false,
}: {
  readonly precision: PrecisionChoice;
  readonly tf32?: boolean;
  readonly deterministic?: boolean;
}): void {
  native.setDeterministic(deterministic);
  if (defaultDevice() !== 'cpu') {
    native.setTf32(tf32);
    return;
  }
  if (tf32) throw usageError('--tf32 is for --device cuda');
  if (precision === 'fp16') {
    throw usageError('--precision fp16 is for --device cuda; on the cpu give bf16 or fp32');
  }
  if (precision === 'bf16' && !native.buildInfo().avx512Bf16) {
    process.stderr.write('this CPU has no AVX512-BF16: --precision bf16 saves memory here, not time\n');
  }
}

/** What scales the loss of a run that trains in this precision: fp16 alone lacks the range. */
export function lossScalerOf(precision: PrecisionChoice): GradientScaler | undefined {
  return precisionOf(precision) === 'fp16' ? new GradientScaler({ enabled: true }) : undefined;
}
