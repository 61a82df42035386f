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

/**
 * Dynamic loss scaling of f16 training (Micikevicius et al., Mixed Precision Training, section 3.2), with PyTorch's
 * numbers: the loss is multiplied by `scale`, so that small gradients do not vanish in f16, and the optimizer divides
 * by it. A step whose gradients are not finite changes no weight and halves the scale; after 2000 finite ones in a
 * row it doubles.
 */
export class GradientScaler {
  readonly enabled: boolean;
  readonly #growthFactor: number;
  readonly #backoffFactor: number;
  readonly #growthInterval: number;
  #scale: number;
  #goodSteps = 0;
  #skipped = 0;

  /** @throws RangeError for a scale, factor or interval that makes no sense */
  constructor(options: GradientScalerOptions) {
    const {
      enabled,
      initScale = 65536,
      growthFactor = 2,
      backoffFactor = 0.5,
      growthInterval = 2000,
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
    this.#scale = enabled ? initScale : 1;
    this.#growthFactor = growthFactor;
    this.#backoffFactor = backoffFactor;
    this.#growthInterval = growthInterval;
  }

  /** What the loss is multiplied by. */
  get scale(): number {
    return this.#scale;
  }

  /** Whether step upon step was skipped until no scale was left: the gradients are not finite at any. */
  get exhausted(): boolean {
    return this.enabled && this.#scale < smallestScale;
  }

  /** Updates skipped so far: the optimizer took that many steps less. */
  get skipped(): number {
    return this.#skipped;
  }

  /**
   * Takes note of a step's gradients.
   * @param finite whether their norm was
   * @returns whether the step counts: false where it was skipped
   */
  update(finite: boolean): boolean {
    if (!this.enabled) return true;
    if (!finite) {
      this.#scale *= this.#backoffFactor;
      this.#goodSteps = 0;
      this.#skipped += 1;
      return false;
    }
    this.#goodSteps += 1;
    if (this.#goodSteps === this.#growthInterval) {
      this.#scale *= this.#growthFactor;
      this.#goodSteps = 0;
    }
    return true;
  }

  /** For a checkpoint. */
  state(): ScalerState {
    return { scale: this.#scale, goodSteps: this.#goodSteps, skipped: this.#skipped };
  }

  /** Takes up a saved state; what it lacks stays as it is. */
  load({ scale, goodSteps, skipped }: Partial<ScalerState>): void {
    this.#scale = scale ?? this.#scale;
    this.#goodSteps = goodSteps ?? this.#goodSteps;
    this.#skipped = skipped ?? this.#skipped;
  }
}
