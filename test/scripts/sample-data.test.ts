import { execFile, execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import sharp from 'sharp';
import { describe, expect, it } from 'vitest';
import { temporaryFolder } from '../logging/temp-folder.js';

const script = join(import.meta.dirname, '../../scripts/sample-data.mjs');
const classes = 'checker circle cross ring sphere square star stripes triangle waves'.split(' ');

async function draw(folder: string, ...options: string[]): Promise<Map<string, string>> {
  await promisify(execFile)(process.execPath, [script, folder, ...options]);
  return digests(folder);
}

/** SHA-256 of every JPEG file by its path below `folder`. */
function digests(folder: string): Map<string, string> {
  const paths = readdirSync(folder, { recursive: true, encoding: 'utf8' });
  const jpegs = paths.filter((path) => path.endsWith('.jpg')).sort();
  return new Map(
    jpegs.map((path) => [
      path,
      createHash('sha256')
        .update(readFileSync(join(folder, path)))
        .digest('hex'),
    ]),
  );
}

function failure(...args: string[]): string {
  try {
    execFileSync(process.execPath, [script, ...args], { encoding: 'utf8', stdio: 'pipe' });
  } catch (error) {
    return (error as { stderr: string }).stderr;
  }
  throw new Error(`sample-data ${args.join(' ')} succeeded`);
}

describe('sample data', () => {
  it('draws ten classes of different JPEG pictures, a fifth for validation', async () => {
    const folder = join(temporaryFolder(), 'data');
    const files = await draw(folder, '--images', '100');
    expect(readdirSync(join(folder, 'train')).sort()).toEqual(classes);
    expect(readdirSync(join(folder, 'val')).sort()).toEqual(classes);
    expect([...files.keys()].filter((path) => path.startsWith('train'))).toHaveLength(80);
    expect([...files.keys()].filter((path) => path.startsWith('val'))).toHaveLength(20);
    expect(new Set(files.values()).size).toBe(100);

    for (const path of files.keys()) {
      const bytes = readFileSync(join(folder, path));
      expect([...bytes.subarray(0, 3)]).toEqual([0xff, 0xd8, 0xff]);
      const { data, info } = await sharp(bytes, { failOn: 'warning' })
        .raw()
        .toBuffer({ resolveWithObject: true });
      expect(info.channels).toBe(3);
      for (const side of [info.width, info.height]) {
        expect(side).toBeGreaterThanOrEqual(96);
        expect(side).toBeLessThanOrEqual(200);
      }
      // Structure larger than a 16-pixel patch: the blocks' means differ clearly.
      const spread = blockSpread(data, info.width, info.height);
      expect(spread, path).toBeGreaterThan(8);
    }
  });

  it('makes each picture a function of seed, class and number', async () => {
    const folder = temporaryFolder();
    const [few, again, more, otherSeed, otherSize] = await Promise.all([
      draw(join(folder, 'few'), '--images', '20'),
      draw(join(folder, 'again'), '--images', '20'),
      draw(join(folder, 'more'), '--images', '30'),
      draw(join(folder, 'seed'), '--images', '20', '--seed', '7'),
      draw(join(folder, 'size'), '--images', '20', '--size', '64x48'),
    ]);
    expect(again).toEqual(few);
    expect(more.size).toBe(30);
    for (const [path, digest] of few) {
      expect(more.get(path)).toBe(digest);
      expect(otherSeed.get(path)).not.toBe(digest);
    }
    for (const path of otherSize.keys()) {
      expect(await sharp(join(folder, 'size', path)).metadata()).toMatchObject({ width: 64, height: 48 });
    }
  });

  it('refuses what it cannot do in one line, leaving nothing behind', () => {
    const folder = temporaryFolder();
    const out = join(folder, 'data');
    expect(failure(out, '--images', '3')).toMatch(/^sample-data: --images 3: .*10 to .*\n$/);
    expect(failure(out, '--size', '200..96')).toMatch(/^sample-data: --size 200\.\.96: .*LOW\.\.HIGH.*\n$/);
    expect(failure(out, '--size', '1e3')).toMatch(/^sample-data: --size .*\n$/);
    expect(failure(out, '--colour')).toMatch(/^sample-data: .*--colour.*\n$/);
    expect(failure()).toMatch(/^sample-data: .*folder.*\n$/);
    expect(existsSync(out)).toBe(false);
    expect(failure(folder.slice(0, folder.lastIndexOf('/')), '--images', '10')).toMatch(/is not empty/);
    expect(readdirSync(folder)).toEqual([]);
  });
});

/** Standard deviation, over 16 × 16 blocks, of the blocks' mean brightness. */
function blockSpread(pixels: Buffer, width: number, height: number): number {
  const means: number[] = [];
  for (let top = 0; top + 16 <= height; top += 16) {
    for (let left = 0; left + 16 <= width; left += 16) {
      let sum = 0;
      for (let y = top; y < top + 16; y++) {
        for (let x = left; x < left + 16; x++) {
          const at = (y * width + x) * 3;
          sum += pixels[at]! + pixels[at + 1]! + pixels[at + 2]!;
        }
      }
      means.push(sum / (3 * 256));
    }
  }
  const mean = means.reduce((a, b) => a + b) / means.length;
  return Math.sqrt(means.reduce((a, b) => a + (b - mean) ** 2, 0) / means.length);
}
