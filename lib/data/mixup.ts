import { UserError } from '../errors.js';
import { Draws, dataStream } from './random.js';

/** How far parameters reach: the whole batch, pairs of pictures, or each picture. */
export const mixModes = ['batch', 'pair', 'elem'] as const;
export type MixMode = (typeof mixModes)[number];

export interface MixupOptions {
  readonly seed: number;
  /** Side of the square picture in pixels. */
  readonly size: number;
  /** Parameter of mixup's beta distribution (`--mixup`); 0 is no mixup. */
  readonly mixup: number;
  /** Parameter of CutMix's (`--cutmix`); 0 is no CutMix. */
  readonly cutmix: number;
  /** Least and greatest share of a side that a CutMix box takes (`--cutmix_minmax`); turns CutMix on. */
  readonly cutmixMinmax?: readonly number[] | undefined;
  /** Probability of mixing at all (`--mixup_prob`); default 1. */
  readonly mixupProb?: number | undefined;
  /** Probability of CutMix where both are on (`--mixup_switch_prob`); default ½. */
  readonly switchProb?: number | undefined;
  /** `--mixup_mode`; default `batch`. */
  readonly mode?: MixMode | undefined;
}

/** What is mixed into each picture of a batch: its mirror image in the batch, picture B − 1 − i. */
export interface Mix {
  /** i32 [B]: the picture mixed in. */
  readonly partner: Int32Array;
  /** f32 [B]: the picture's own share in the blend of pixels; 1 leaves it. */
  readonly weight: Float32Array;
  /** i32 [B, 4]: top, left, height and width of the box that is the partner's; 0, 0, 0, 0 for none. */
  readonly boxes: Int32Array;
  /** f32 [B]: the own label's share in the target. */
  readonly lambda: Float32Array;
  /** Whether nothing is mixed: the pictures may stay as they are. */
  readonly unchanged: boolean;
}

/** One set of parameters. */
interface Parameters {
  readonly weight: number;
  readonly box: readonly number[];
  readonly lambda: number;
}

const none: Parameters = { weight: 1, box: [0, 0, 0, 0], lambda: 1 };

/** A box from `start` to `end`, kept within 0 … size. */
function cut(start: number, end: number, size: number): [start: number, length: number] {
  const from = Math.max(0, Math.min(size, start));
  return [from, Math.max(0, Math.min(size, end)) - from];
}

/** mixup (Zhang et al. 2018) and CutMix (Yun et al. 2019) as timm mixes batches: parameters by (seed, epoch, batch). */
export class Mixup {
  private readonly mixup: number;
  private readonly cutmix: number;
  private readonly minmax: readonly [number, number] | undefined;
  private readonly probability: number;
  private readonly switchProbability: number;
  private readonly mode: MixMode;

  /** @throws UserError for a value out of range, naming its flag, or where neither is on */
  constructor(private readonly options: MixupOptions) {
    const { mixup, cutmix, cutmixMinmax, mixupProb = 1, switchProb = 0.5, mode = 'batch' } = options;
    for (const [flag, value] of [
      ['--mixup', mixup],
      ['--cutmix', cutmix],
    ] as const) {
      if (!(value >= 0 && Number.isFinite(value))) throw new UserError(`${flag} ${value}: give 0 or more`);
    }
    for (const [flag, value] of [
      ['--mixup_prob', mixupProb],
      ['--mixup_switch_prob', switchProb],
    ] as const) {
      if (!(value >= 0 && value <= 1)) throw new UserError(`${flag} ${value}: give a probability, 0 to 1`);
    }
    this.minmax = cutmixMinmax === undefined ? undefined : this.checkMinmax(cutmixMinmax);
    this.mixup = mixup;
    // As timm: limits take the place of the distribution.
    this.cutmix = this.minmax === undefined ? cutmix : 1;
    if (this.mixup === 0 && this.cutmix === 0)
      throw new UserError('--mixup 0 and --cutmix 0: nothing is mixed');
    this.probability = mixupProb;
    this.switchProbability = switchProb;
    this.mode = mode;
  }

  private checkMinmax(limits: readonly number[]): [number, number] {
    const [least, most] = limits;
    const { size } = this.options;
    const fits = least !== undefined && most !== undefined && limits.length === 2 && least >= 0 && most <= 1;
    if (!fits || Math.floor(size * least) >= Math.floor(size * most)) {
      throw new UserError(
        `--cutmix_minmax ${limits.join(' ')}: give two shares of the side, 0 <= least < most <= 1, a pixel apart`,
      );
    }
    return [least, most];
  }

  /** Whether CutMix is used in place of mixup, where anything is mixed. */
  private drawSwitch(draws: Draws): boolean {
    if (this.mixup > 0 && this.cutmix > 0) return draws.uniform() < this.switchProbability;
    return this.cutmix > 0;
  }

  private drawBox(lambda: number, draws: Draws): readonly number[] {
    const { size } = this.options;
    if (this.minmax !== undefined) {
      const [least, most] = this.minmax.map((share) => Math.floor(size * share)) as [number, number];
      const height = least + draws.below(most - least);
      const width = least + draws.below(most - least);
      return [draws.below(size - height + 1), draws.below(size - width + 1), height, width];
    }
    // A square of that area, its centre anywhere: what lies outside is cut off.
    const side = Math.floor(size * Math.sqrt(1 - lambda));
    const [y, x] = [draws.below(size), draws.below(size)];
    const before = Math.floor(side / 2);
    const after = Math.floor((side + 1) / 2);
    const [top, height] = cut(y - before, y + after, size);
    const [left, width] = cut(x - before, x + after, size);
    return [top, left, height, width];
  }

  private drawParameters(draws: Draws): Parameters {
    if (draws.uniform() >= this.probability) return none;
    const useCutmix = this.drawSwitch(draws);
    const alpha = useCutmix ? this.cutmix : this.mixup;
    // In single precision, as a share of the blend is kept.
    const lambda = Math.fround(draws.beta(alpha, alpha));
    if (lambda === 1) return none;
    if (!useCutmix) return { weight: lambda, box: none.box, lambda };
    const box = this.drawBox(lambda, draws);
    const area = box[2]! * box[3]!;
    return { weight: 1, box, lambda: 1 - area / (this.options.size * this.options.size) };
  }

  /**
   * The parameters of a batch of `count` pictures; count must be even.
   *
   * @throws UserError for an odd count
   */
  draw(epoch: number, batch: number, count: number): Mix {
    if (count % 2 !== 0) {
      throw new UserError(
        `--batch_size ${count} with --mixup or --cutmix: pictures are mixed in pairs; give an even number`,
      );
    }
    const draws = new Draws(this.options.seed, dataStream.mixing, epoch, batch);
    const drawn = this.mode === 'batch' ? 1 : this.mode === 'pair' ? count / 2 : count;
    const parameters = Array.from({ length: drawn }, () => this.drawParameters(draws));
    const of = (i: number): Parameters => {
      if (this.mode === 'batch') return parameters[0]!;
      return this.mode === 'pair' ? parameters[Math.min(i, count - 1 - i)]! : parameters[i]!;
    };
    const boxes = new Int32Array(4 * count);
    for (let i = 0; i < count; i++) boxes.set(of(i).box, 4 * i);
    return {
      partner: Int32Array.from({ length: count }, (_, i) => count - 1 - i),
      weight: Float32Array.from({ length: count }, (_, i) => of(i).weight),
      boxes,
      lambda: Float32Array.from({ length: count }, (_, i) => of(i).lambda),
      unchanged: parameters.every(({ lambda }) => lambda === 1),
    };
  }
}

/**
 * Target distributions f32 [B, classes]: the label's class has 1 − smoothing + smoothing/classes, every other
 * smoothing/classes; with a mix, a share λ of that and 1 − λ of the partner's.
 *
 * @param labels class of each picture
 */
export function softTargets(
  labels: Int32Array,
  classes: number,
  smoothing: number,
  mix?: Pick<Mix, 'partner' | 'lambda'>,
): Float32Array {
  if (!(smoothing >= 0 && smoothing < 1))
    throw new UserError(`--smoothing ${smoothing}: give 0 or more, under 1`);
  const off = smoothing / classes;
  const targets = new Float32Array(labels.length * classes).fill(off);
  for (const [i, label] of labels.entries()) {
    if (!(label >= 0 && label < classes)) throw new RangeError(`label ${label} of ${classes} classes`);
    const share = mix === undefined ? 1 : mix.lambda[i]!;
    const own = i * classes + label;
    const other = mix === undefined ? own : i * classes + labels[mix.partner[i]!]!;
    targets[own] = off + (1 - smoothing) * share;
    targets[other] = own === other ? off + (1 - smoothing) : off + (1 - smoothing) * (1 - share);
  }
  return targets;
}
