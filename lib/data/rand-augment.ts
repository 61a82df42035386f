import { UserError } from '../errors.js';
import type { AffineFilter, Colour, ImageOperation } from '../native/image.js';
import type { Draws } from './random.js';

/** The magnitude that is an operation's full strength, and the greatest one unless `mmax` says otherwise. */
const fullMagnitude = 10;

/** What an operation needs beside its magnitude. */
interface Surroundings {
  readonly draws: Draws;
  /** Filter of the operations that move pixels; drawn for each where it is `random`. */
  readonly filter: AffineFilter | 'random';
  readonly fill: Colour;
}

/** Makes an operation of a share of the full strength (0 … 1, more with `mmax`). */
type Make = (strength: number, around: Surroundings) => ImageOperation;

const eitherSign = (value: number, draws: Draws): number => (draws.uniform() < 0.5 ? -value : value);

function moving(kind: 'rotate' | 'shearX' | 'shearY' | 'translateX' | 'translateY', most: number): Make {
  return (strength, { draws, filter, fill }) => ({
    kind,
    value: eitherSign(strength * most, draws),
    filter: filter === 'random' ? (draws.uniform() < 0.5 ? 'bilinear' : 'bicubic') : filter,
    fill,
  });
}

type Enhanced = 'brightness' | 'contrast' | 'saturation' | 'sharpness';

/** From 0.1 up to 1.9 as the magnitude grows. */
const enhanced =
  (kind: Enhanced): Make =>
  (strength) => ({ kind, value: strength * 1.8 + 0.1 });

/** Away from 1, up or down, as the magnitude grows. */
const enhancedIncreasing =
  (kind: Enhanced): Make =>
  (strength, { draws }) => ({ kind, value: Math.max(0.1, 1 + eitherSign(strength * 0.9, draws)) });

const keptBits = (strength: number): number => Math.floor(strength * 4);
const solarizedFrom = (strength: number): number => Math.min(256, Math.floor(strength * 256));

/** timm's operations and how they grow with the magnitude. */
const operations = {
  AutoContrast: () => ({ kind: 'autoContrast' }),
  Equalize: () => ({ kind: 'equalize' }),
  Invert: () => ({ kind: 'invert' }),
  Rotate: moving('rotate', 30),
  Posterize: (strength) => ({ kind: 'posterize', value: Math.min(8, keptBits(strength)) }),
  PosterizeIncreasing: (strength) => ({ kind: 'posterize', value: Math.max(0, 4 - keptBits(strength)) }),
  Solarize: (strength) => ({ kind: 'solarize', value: solarizedFrom(strength) }),
  SolarizeIncreasing: (strength) => ({ kind: 'solarize', value: 256 - solarizedFrom(strength) }),
  SolarizeAdd: (strength) => ({ kind: 'solarizeAdd', value: Math.min(128, Math.floor(strength * 110)) }),
  Color: enhanced('saturation'),
  ColorIncreasing: enhancedIncreasing('saturation'),
  Contrast: enhanced('contrast'),
  ContrastIncreasing: enhancedIncreasing('contrast'),
  Brightness: enhanced('brightness'),
  BrightnessIncreasing: enhancedIncreasing('brightness'),
  Sharpness: enhanced('sharpness'),
  SharpnessIncreasing: enhancedIncreasing('sharpness'),
  ShearX: moving('shearX', 0.3),
  ShearY: moving('shearY', 0.3),
  TranslateXRel: moving('translateX', 0.45),
  TranslateYRel: moving('translateY', 0.45),
} satisfies Record<string, Make>;

export type RandAugmentName = keyof typeof operations;

const plainNames: readonly RandAugmentName[] = [
  'AutoContrast',
  'Equalize',
  'Invert',
  'Rotate',
  'Posterize',
  'Solarize',
  'SolarizeAdd',
  'Color',
  'Contrast',
  'Brightness',
  'Sharpness',
  'ShearX',
  'ShearY',
  'TranslateXRel',
  'TranslateYRel',
];

/** The names of the list whose operations all grow stronger with the magnitude (`inc1`). */
export const increasingNames: readonly RandAugmentName[] = plainNames.map((name) =>
  `${name}Increasing` in operations ? (`${name}Increasing` as RandAugmentName) : name,
);

/** timm's weights of the geometric operations before the others (`tweights`, formerly `w0`). */
const weights: Readonly<Partial<Record<RandAugmentName, number>>> = {
  Rotate: 3,
  ShearX: 2,
  ShearY: 2,
  TranslateXRel: 1,
  TranslateYRel: 1,
  ColorIncreasing: 0.25,
  SharpnessIncreasing: 0.25,
  AutoContrast: 0.25,
  SolarizeIncreasing: 0.05,
  SolarizeAdd: 0.05,
  ContrastIncreasing: 0.05,
  BrightnessIncreasing: 0.05,
  Equalize: 0.05,
  PosterizeIncreasing: 0.05,
  Invert: 0.05,
};

export interface RandAugmentPolicy {
  /** Mean magnitude (`m`), on a scale of 10. */
  readonly magnitude: number;
  /** Its standard deviation (`mstd`); infinite: uniform from 0 to `magnitude`. */
  readonly deviation: number;
  /** Greatest magnitude (`mmax`). */
  readonly most: number;
  /** Operations chosen a picture (`n`). */
  readonly layers: number;
  /** Probability of each chosen one being done (`p`). */
  readonly probability: number;
  readonly names: readonly RandAugmentName[];
  /** One a name: then a picture's choices differ. Absent: each choice is uniform, and may repeat. */
  readonly weights?: readonly number[];
}

/**
 * Reads timm's spelling of a RandAugment policy, such as `rand-m9-mstd0.5-inc1`: sections `m` (magnitude, default 10),
 * `mstd` (its deviation, over 100: uniform from 0), `mmax` (greatest, default 10), `n` (operations a picture, default 2),
 * `p` (probability of each, default 0.5), `inc` (1: the operations that grow with the magnitude), and `tweights` or `w0`
 * (timm's weights).
 *
 * @throws UserError naming the section that is not understood
 */
export function parseRandAugment(text: string): RandAugmentPolicy {
  const [first, ...sections] = text.split('-');
  const refuse = (what: string): never => {
    throw new UserError(`--aa ${text}: ${what}; give a RandAugment policy such as rand-m9-mstd0.5-inc1`);
  };
  if (first !== 'rand') refuse(`the policy '${first}' is not known`);
  const values = new Map<string, number>();
  let weighted = false;
  for (const section of sections) {
    if (section === 'tweights' || section === 'w0') {
      weighted = true;
      continue;
    }
    const [, key, digits] =
      /^(m|mstd|mmax|n|p|inc)(\d+(?:\.\d+)?)$/.exec(section) ?? refuse(`section '${section}'`);
    const whole = key !== 'mstd' && key !== 'p';
    if (whole && !/^\d+$/.test(digits!)) refuse(`'${section}' is not a whole number`);
    values.set(key!, Number(digits));
  }
  const probability = values.get('p') ?? 0.5;
  if (probability > 1) refuse(`the probability p is over 1`);
  const deviation = values.get('mstd') ?? 0;
  const names = weighted
    ? (Object.keys(weights) as RandAugmentName[])
    : (values.get('inc') ?? 0) === 0
      ? plainNames
      : increasingNames;
  const layers = values.get('n') ?? 2;
  if (weighted && layers > names.length) refuse(`n is over ${names.length}`);
  return {
    magnitude: values.get('m') ?? fullMagnitude,
    deviation: deviation > 100 ? Number.POSITIVE_INFINITY : deviation,
    // As timm: an upper bound of 0 is none.
    most: values.get('mmax') || fullMagnitude,
    layers,
    probability,
    names,
    ...(weighted ? { weights: names.map((name) => weights[name]!) } : {}),
  };
}

function drawMagnitude({ magnitude, deviation, most }: RandAugmentPolicy, draws: Draws): number {
  let drawn = magnitude;
  if (deviation === Number.POSITIVE_INFINITY) drawn = draws.between(0, magnitude);
  else if (deviation > 0) drawn = draws.normal(magnitude, deviation);
  return Math.max(0, Math.min(drawn, most));
}

function drawNames({ names, weights, layers }: RandAugmentPolicy, draws: Draws): RandAugmentName[] {
  if (weights === undefined) return Array.from({ length: layers }, () => names[draws.below(names.length)]!);
  const left = [...weights];
  return Array.from({ length: layers }, () => {
    let target = draws.uniform() * left.reduce((sum, weight) => sum + weight, 0);
    let i = left.findIndex((weight) => {
      target -= weight;
      return target < 0;
    });
    // Rounding may leave a little over: then it is the last one that is left.
    if (i < 0) i = left.findLastIndex((weight) => weight > 0);
    left[i] = 0;
    return names[i]!;
  });
}

/** An operation that was drawn, and the name timm has for it. */
export interface DrawnOperation {
  readonly name: RandAugmentName;
  readonly operation: ImageOperation;
}

/**
 * The operations of one picture: RandAugment (Cubuk et al. 2020) as timm does it. Which, whether and how strongly is
 * drawn anew for each layer.
 *
 * @param filter of rotation, shear and translation; `random`: bilinear or bicubic, drawn for each
 * @param fill colour that those uncover
 */
export function drawRandAugment(
  policy: RandAugmentPolicy,
  filter: AffineFilter | 'random',
  fill: Colour,
  draws: Draws,
): DrawnOperation[] {
  const around: Surroundings = { draws, filter, fill };
  const drawn: DrawnOperation[] = [];
  for (const name of drawNames(policy, draws)) {
    if (policy.probability < 1 && draws.uniform() >= policy.probability) continue;
    const make: Make = operations[name];
    drawn.push({ name, operation: make(drawMagnitude(policy, draws) / fullMagnitude, around) });
  }
  return drawn;
}
