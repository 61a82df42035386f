import { UserError } from '../errors.js';
import { Draws, dataStream } from './random.js';

/** Draws which patches of a sample are masked. */
export interface MaskGenerator {
  /** Patches of a picture, N. */
  readonly patches: number;
  /** Patches every mask masks, M. */
  readonly masked: number;
  /** One byte a patch in raster order, 1 = masked; a function of (seed, epoch, index). */
  generate(epoch: number, index: number): Uint8Array;
}

export interface MaskOptions {
  readonly kind: 'block' | 'random';
  /** Patches down and across. */
  readonly grid: readonly [number, number];
  readonly seed: number;
  /** `--num_mask_patches` */
  readonly numMaskPatches: number;
  /** `--max_mask_patches_per_block`; default `numMaskPatches` */
  readonly maxMaskPatchesPerBlock?: number | undefined;
  /** `--min_mask_patches_per_block` */
  readonly minMaskPatchesPerBlock?: number | undefined;
  /** `--ratio_mask_patches`: share of the patches a random mask masks; default `numMaskPatches` of them */
  readonly ratioMaskPatches?: number | undefined;
}

/** Rectangles tried a round. */
const tries = 10;
/**
 * Rounds of ten misfits in a row after which single patches make up the number: where the limits leave no
 * rectangle at all (blocks of 16 on a 4×4 grid), trying on would never end.
 */
const patience = 100;
/** Least height over width of a block; the greatest is its inverse. */
const minAspect = 0.3;

/** Masks `count` of the patches still visible, chosen at random. */
function maskAtRandom(mask: Uint8Array, count: number, draws: Draws): void {
  const visible: number[] = [];
  for (let i = 0; i < mask.length; i++) if (mask[i] === 0) visible.push(i);
  draws.shuffle(visible, count);
  for (let i = 0; i < count; i++) mask[visible[i]!] = 1;
}

/**
 * BEiT's block-wise masks (Bao et al. 2021, algorithm 1, as CAE uses it): rectangles until the number is reached.
 */
class BlockMasks implements MaskGenerator {
  readonly patches: number;
  readonly masked: number;
  private readonly height: number;
  private readonly width: number;
  private readonly least: number;
  private readonly most: number;

  constructor(private readonly options: MaskOptions) {
    [this.height, this.width] = options.grid;
    this.patches = this.height * this.width;
    this.masked = options.numMaskPatches;
    this.least = options.minMaskPatchesPerBlock ?? 16;
    this.most = options.maxMaskPatchesPerBlock ?? options.numMaskPatches;
    if (!(this.least >= 1)) {
      throw new UserError(`--min_mask_patches_per_block ${this.least}: give 1 or more`);
    }
    const most = options.maxMaskPatchesPerBlock;
    if (most !== undefined && !(most >= this.least)) {
      throw new UserError(
        `--max_mask_patches_per_block ${most} is less than --min_mask_patches_per_block ${this.least}; raise it`,
      );
    }
  }

  generate(epoch: number, index: number): Uint8Array {
    const draws = new Draws(this.options.seed, dataStream.mask, epoch, index);
    const mask = new Uint8Array(this.patches);
    let count = 0;
    for (let misfits = 0; count < this.masked && misfits < patience; ) {
      const added = this.addBlock(mask, Math.min(this.masked - count, this.most), draws);
      misfits = added === 0 ? misfits + 1 : 0;
      count += added;
    }
    maskAtRandom(mask, this.masked - count, draws);
    return mask;
  }

  /** Masks one more rectangle that brings 1 … `most` new patches; returns how many, 0 after ten misfits. */
  private addBlock(mask: Uint8Array, most: number, draws: Draws): number {
    for (let attempt = 0; attempt < tries; attempt++) {
      // Near the end `most` is the smaller of the two, and the area lies between it and the least.
      const area = draws.between(this.least, most);
      const aspect = draws.logUniform(minAspect, 1 / minAspect);
      const height = Math.round(Math.sqrt(area * aspect));
      const width = Math.round(Math.sqrt(area / aspect));
      if (height >= this.height || width >= this.width) continue;
      const top = draws.below(this.height - height + 1);
      const left = draws.below(this.width - width + 1);
      const inside: number[] = [];
      for (let row = top; row < top + height; row++) {
        for (let column = left; column < left + width; column++) {
          const patch = row * this.width + column;
          if (mask[patch] === 0) inside.push(patch);
        }
      }
      if (inside.length === 0 || inside.length > most) continue;
      for (const patch of inside) mask[patch] = 1;
      return inside.length;
    }
    return 0;
  }
}

/** Patches chosen independently of each other. */
class RandomMasks implements MaskGenerator {
  readonly patches: number;
  readonly masked: number;

  constructor(private readonly options: MaskOptions) {
    this.patches = options.grid[0] * options.grid[1];
    const ratio = options.ratioMaskPatches;
    if (ratio !== undefined && !(ratio > 0 && ratio < 1)) {
      throw new UserError(`--ratio_mask_patches ${ratio}: give a share between 0 and 1`);
    }
    this.masked = ratio === undefined ? options.numMaskPatches : Math.floor(ratio * this.patches);
  }

  generate(epoch: number, index: number): Uint8Array {
    const mask = new Uint8Array(this.patches);
    maskAtRandom(mask, this.masked, new Draws(this.options.seed, dataStream.mask, epoch, index));
    return mask;
  }
}

/**
 * The mask generator of `--mask_generator`.
 *
 * @throws UserError where the masked patches are none, or leave none visible, a limit is out of range, the kind is
 *   unknown or the grid no whole numbers
 */
export function createMaskGenerator(options: MaskOptions): MaskGenerator {
  const { kind, grid } = options;
  if (kind !== 'block' && kind !== 'random') {
    throw new UserError(`--mask_generator ${kind} is not known; choose block, random`);
  }
  if (!grid.every((side) => Number.isInteger(side) && side >= 1)) {
    throw new UserError(`a grid of ${grid.join('x')} patches: give whole numbers of at least 1`);
  }
  const masks = kind === 'block' ? new BlockMasks(options) : new RandomMasks(options);
  const { masked, patches } = masks;
  if (!Number.isInteger(masked) || masked < 1 || masked >= patches) {
    const [height, width] = grid;
    throw new UserError(
      `${masked} masked patches (--num_mask_patches, --ratio_mask_patches): a ${height}x${width} grid has ${patches}; ` +
        `give 1 to ${patches - 1}`,
    );
  }
  return masks;
}
