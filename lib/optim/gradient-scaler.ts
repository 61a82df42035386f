import { native } from '../native/addon.js';
import { defaultDevice } from '../tensor/device.js';
import { keep, scope } from '../tensor/scope.js';
import { type Device, type Dtype, type NumberArray, Tensor } from '../tensor/tensor.js';

export interface GradientScalerOptions {
  /** Off, the scale is 1 for good: f32 and bf16 have the range. */
  enabled: boolean;
  /** default 65536 */
  initScale?: number;
  /** default 2 */
  growthFactor?: number;
  /** default 0.5 */
  backoffFactor?: number;
  /** Finite steps in a row after which the scale grows; default 2000. */
  growthInterval?: number;
  /** Where the steps run; default: the default device. */
  device?: Device;
}

/** Smallest scale that makes sense: gradients that overflow in f16 when divided by a million are lost for good. */
const smallestScale = 2 ** -20;

/** What a checkpoint keeps of it. */
export interface ScalerState {
  scale: number;
  /** Finite steps since the scale last changed. */
  goodSteps: number;
  /** Updates skipped since the start of the run. */
  skipped: number;
}

/** Places of native/ops/loss_scale.h's numbers. */
const [scaleAt, inverseAt, goodStepsAt, skippedAt, lastAt] = [0, 1, 2, 3, 4];

/**
 * Dynamic loss scaling of f16 training (Micikevicius et al., Mixed Precision Training, section 3.2), with PyTorch's
 * numbers: the loss is multiplied by the scale, so that small gradients do not vanish in f16, and the optimizer divides
 * by it. A step whose gradients are not finite changes no weight and halves the scale; after 2000 finite ones in a
 * row it doubles. The device keeps the scale and decides: the host reads what became of a step whenever it likes.
 */
export class GradientScaler {
  readonly enabled: boolean;
  readonly #rule: readonly [growth: number, backoff: number, interval: number];
  readonly #device: Device;
  #numbers: Tensor | null = null;
  #known: ScalerState;

  /** @throws RangeError for a scale, factor or interval that makes no sense */
  constructor(options: GradientScalerOptions) {
    const {
      enabled,
      initScale = 65536,
      growthFactor = 2,
      backoffFactor = 0.5,
      growthInterval = 2000,
      device = defaultDevice(),
    } = options;
    const sound =
      Number.isFinite(initScale) &&
      initScale > 0 &&
      growthFactor > 1 &&
      backoffFactor > 0 &&
      backoffFactor < 1 &&
      growthInterval >= 1;
    if (!sound) throw new RangeError(`gradient scaler: ${JSON.stringify(options)} is not allowed`);
    this.enabled = enabled;
    this.#rule = [growthFactor, backoffFactor, growthInterval];
    this.#device = device;
    this.#known = { scale: enabled ? initScale : 1, goodSteps: 0, skipped: 0 };
  }

  /** The state on the device, f64 [5], for the optimizer's kernels; null where it is off. */
  get numbers(): Tensor | null {
    if (!this.enabled) return null;
    if (this.#numbers === null) {
      const { scale, goodSteps, skipped } = this.#known;
      this.#numbers = keep(new Tensor(native.lossScale(scale, goodSteps, skipped, this.#device)));
    }
    return this.#numbers;
  }

  /** Whether step upon step was skipped until no scale was left: the gradients are not finite at any. As of `settle`. */
  get exhausted(): boolean {
    return this.enabled && this.#known.scale < smallestScale;
  }

  /**
   * What backward starts from: `share` times the scale.
   * @param share of the loss in the gradient: 1/updateFreq
   */
  seed(share: number): number | Tensor {
    return scope(() => {
      const scale = this.#number(scaleAt, 'f32');
      return scale === null ? share : new Tensor(native.add(scale.handle, scale.handle, share, 0));
    });
  }

  /** 1/scale as one number in `dtype`; null where it is off. */
  inverse(dtype: Dtype): Tensor | null {
    return this.#number(inverseAt, dtype);
  }

  /**
   * Takes note of a step's gradients, once the optimizer's work is queued.
   * @param norm of them all, times the scale
   */
  update(norm: Tensor): void {
    const numbers = this.numbers;
    if (numbers !== null) native.updateLossScale(numbers.handle, norm.handle, ...this.#rule);
  }

  /** What became of the last step, to be read when it is there and handed to `settle`; null where it is off. */
  report(): Tensor | null {
    const numbers = this.numbers;
    return numbers === null ? null : new Tensor(native.cast(numbers.handle, 'f64'));
  }

  /** Takes up a report that was read. @returns the scale of its step */
  settle(report: NumberArray): number {
    this.#known = {
      scale: Number(report[scaleAt]),
      goodSteps: Number(report[goodStepsAt]),
      skipped: Number(report[skippedAt]),
    };
    return Number(report[lastAt]);
  }

  /** For a checkpoint: as of the last report settled. */
  state(): ScalerState {
    return { ...this.#known };
  }

  /** Takes up a saved state; what it lacks stays as it is. */
  load({ scale, goodSteps, skipped }: Partial<ScalerState>): void {
    this.#known = {
      scale: scale ?? this.#known.scale,
      goodSteps: goodSteps ?? this.#known.goodSteps,
      skipped: skipped ?? this.#known.skipped,
    };
    this.dispose();
  }

  /** Gives the device's memory back; it is made again where it is needed. */
  dispose(): void {
    this.#numbers?.release();
    this.#numbers = null;
  }

  #number(at: number, dtype: Dtype): Tensor | null {
    const numbers = this.numbers;
    if (numbers === null) return null;
    return scope(() => {
      const one = new Tensor(native.rows(numbers.handle, at, 1));
      return new Tensor(native.cast(one.handle, dtype));
    });
  }
}
