import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Sharp } from 'sharp';
import { afterAll, describe, expect, it } from 'vitest';
import { type ImageJob, type JitterStep, nativeImages, randomCropDraws } from '../../lib/native/image.js';
import { squareCrop, testPicture, testPixels, testRandom } from './image-support.js';

const folder = mkdtempSync(join(tmpdir(), 'cae-image-'));
afterAll(() => rmSync(folder, { recursive: true }));

async function write(name: string, picture: Sharp): Promise<string> {
  const path = join(folder, name);
  await picture.toFile(path);
  return path;
}

/** Contrast looks at the whole picture, so it makes the core decode all of it; factor 1 changes nothing. */
const wholeDecode: JitterStep[] = [{ kind: 'contrast', factor: 1 }];

const kinds: [string, (p: Sharp) => Sharp][] = [
  ['4:2:0', (p) => p.jpeg({ quality: 88 })],
  ['4:4:4', (p) => p.jpeg({ quality: 88, chromaSubsampling: '4:4:4' })],
  ['progressive 4:2:0', (p) => p.jpeg({ quality: 88, progressive: true })],
  ['progressive 4:4:4', (p) => p.jpeg({ quality: 88, progressive: true, chromaSubsampling: '4:4:4' })],
  ['grey', (p) => p.toColourspace('b-w').jpeg({ quality: 88 })],
  ['CMYK', (p) => p.toColourspace('cmyk').jpeg({ quality: 88 })],
];

describe('a JPEG decoded only inside the crop', () => {
  it.each(kinds)('equals the full decode: %s', async (name, encode) => {
    const random = testRandom(7);
    for (const [height, width] of [
      [61, 97],
      [130, 17],
      [48, 64],
      [5, 5],
      [1, 1],
      [150, 203],
    ] as const) {
      const path = await write(
        `${name.replace(/\W/g, '')}-${height}x${width}.jpg`,
        encode(testPicture(height, width)),
      );
      for (let i = 0; i < 25; i++) {
        const side = 1 + Math.floor(random() * Math.min(height, width));
        const top = Math.floor(random() * (height - side + 1));
        const left = Math.floor(random() * (width - side + 1));
        const mirrored = i % 2 === 1;
        const part = await squareCrop({ path }, [top, left, side], { mirrored });
        const whole = await squareCrop({ path }, [top, left, side], { mirrored, jitter: wholeDecode });
        expect(part.report).toMatchObject({ outcome: 'done', height, width, crop: [top, left, side, side] });
        expect(Buffer.from(part.pixels).equals(Buffer.from(whole.pixels)), `${top},${left},${side}`).toBe(
          true,
        );
      }
    }
  });

  it('is close to the picture that was encoded', async () => {
    const path = await write(
      'close.jpg',
      testPicture(64, 64).jpeg({ quality: 100, chromaSubsampling: '4:4:4' }),
    );
    const { pixels } = await squareCrop({ path }, [0, 0, 64]);
    const original = testPixels(64, 64);
    const error = pixels.reduce((sum, value, i) => sum + Math.abs(value - original[i]!), 0) / pixels.length;
    expect(error).toBeLessThan(1.5);
  });

  it('gives grey in all three channels', async () => {
    const path = await write('grey.jpg', testPicture(32, 32).toColourspace('b-w').jpeg());
    const { pixels } = await squareCrop({ path }, [3, 5, 20]);
    for (let i = 0; i < pixels.length; i += 3) {
      expect(pixels[i + 1]).toBe(pixels[i]);
      expect(pixels[i + 2]).toBe(pixels[i]);
    }
  });

  it('ignores the EXIF orientation', async () => {
    const plain = await write('upright.jpg', testPicture(40, 60).jpeg());
    const turned = await write('turned.jpg', testPicture(40, 60).withMetadata({ orientation: 6 }).jpeg());
    const a = await squareCrop({ path: plain }, [0, 20, 40]);
    const b = await squareCrop({ path: turned }, [0, 20, 40]);
    expect(b.report).toMatchObject({ height: 40, width: 60 });
    expect(Buffer.from(b.pixels).equals(Buffer.from(a.pixels))).toBe(true);
  });
});

describe('mirroring', () => {
  it('comes before the crop', async () => {
    const pixels = testPixels(10, 16);
    const { pixels: out } = await squareCrop({ pixels, height: 10, width: 16 }, [2, 3, 6], {
      mirrored: true,
    });
    for (let y = 0; y < 6; y++) {
      for (let x = 0; x < 6; x++) {
        const from = 3 * ((y + 2) * 16 + (15 - (x + 3)));
        expect([...out.subarray(3 * (6 * y + x), 3 * (6 * y + x) + 3)]).toEqual([
          ...pixels.subarray(from, from + 3),
        ]);
      }
    }
  });
});

describe('colour jitter', () => {
  const f = Math.fround;
  const grey = (r: number, g: number, b: number) => (r * 19595 + g * 38470 + b * 7471 + 0x8000) >>> 16;
  /** Pillow's Image.blend of two 8-bit values, in single precision. */
  const blend = (from: number, to: number, factor: number) =>
    Math.trunc(Math.max(0, Math.min(255, f(from + f(f(factor) * (to - from))))));
  const apply = (pixels: number[], { kind, factor }: JitterStep): number[] => {
    const greys = Array.from({ length: pixels.length / 3 }, (_, i) =>
      grey(pixels[3 * i]!, pixels[3 * i + 1]!, pixels[3 * i + 2]!),
    );
    const mean = Math.trunc(greys.reduce((a, b) => a + b, 0) / greys.length + 0.5);
    const from = {
      brightness: () => 0,
      contrast: () => mean,
      saturation: (i: number) => greys[Math.floor(i / 3)]!,
    };
    return pixels.map((value, i) => blend(from[kind](i), value, factor));
  };

  it('is ImageEnhance of Pillow, step by step in the order given', async () => {
    const random = testRandom(3);
    const kinds = ['brightness', 'contrast', 'saturation'] as const;
    for (let i = 0; i < 30; i++) {
      const side = 3 + i;
      const pixels = testPixels(side, side, i);
      const jitter = [0, 1, 2].map((k) => ({ kind: kinds[(k + i) % 3]!, factor: random() * 2 }));
      const { pixels: out } = await squareCrop({ pixels, height: side, width: side }, [0, 0, side], {
        jitter,
      });
      expect([...out]).toEqual(jitter.reduce(apply, [...pixels]));
    }
  });

  it('takes the contrast from the whole picture, not from the crop', async () => {
    const pixels = testPixels(20, 20);
    const jitter: JitterStep[] = [{ kind: 'contrast', factor: 0.5 }];
    const whole = await squareCrop({ pixels, height: 20, width: 20 }, [0, 0, 20], { jitter });
    const corner = await squareCrop({ pixels, height: 20, width: 20 }, [0, 0, 1], { jitter });
    expect([...corner.pixels]).toEqual([...whole.pixels.subarray(0, 3)]);
  });
});

describe('the centre of a picture resized', () => {
  it('costs what the crop costs, however long the picture is', async () => {
    const [height, width, size] = [60_000, 1, 32];
    const pixels = new Uint8Array(3 * height * width).fill(77);
    const out = new Uint8Array(3 * size * size);
    const pool = nativeImages.imagePool(1);
    const before = process.memoryUsage.rss();
    const [report] = await nativeImages.imageDecodeBatch(pool, [
      {
        ...{ pixels, height, width, crop: { kind: 'centre' }, mirrored: false, jitter: [] },
        views: [{ out, offset: 0, size, shorter: 480, filter: 'lanczos' }],
      },
    ]);
    nativeImages.imagePoolClose(pool);
    expect(report).toMatchObject({ outcome: 'done' });
    expect(out.every((value) => value === 77)).toBe(true);
    // The whole height, 28.8 million rows, would have taken gigabytes of weights.
    expect(process.memoryUsage.rss() - before).toBeLessThan(2 ** 27);
  });
});

/** A JPEG file with something done to it in the middle of its pixels' data. */
function damaged(change: (bytes: Buffer, middle: number) => Uint8Array): () => Promise<Uint8Array> {
  return async () => {
    const bytes = await testPicture(90, 120).jpeg().toBuffer();
    const start = bytes.indexOf(Buffer.from([0xff, 0xda]));
    return change(bytes, start + ((bytes.length - start) >> 1));
  };
}

const cut = (bytes: Buffer, from: number, to: number): Buffer =>
  Buffer.concat([bytes.subarray(0, from), bytes.subarray(to)]);
const insert = (bytes: Buffer, at: number): Buffer =>
  Buffer.concat([bytes.subarray(0, at), Buffer.from([0xff, 0xd0]), bytes.subarray(at)]);

describe('files that cannot be read', () => {
  it('fails for a JPEG cut off anywhere, also below the crop', async () => {
    for (const progressive of [false, true]) {
      const bytes = await testPicture(90, 120).jpeg({ progressive }).toBuffer();
      for (const keep of [bytes.length - 2, bytes.length - 40, bytes.length >> 1, 30, 4]) {
        const path = join(folder, 'cut.jpg');
        writeFileSync(path, bytes.subarray(0, keep));
        const { report } = await squareCrop({ path }, [0, 0, 1]);
        expect(report.outcome, `${keep} of ${bytes.length} bytes`).toBe('failed');
        expect(report.message).toMatch(/truncated/);
      }
    }
  });

  // What Pillow does: it raises where the file ends early, and shows what it can where the data are wrong.
  it.each([
    ['random bytes in the middle', 'done', damaged((bytes, middle) => bytes.fill(0x5a, middle, middle + 60))],
    ['zeros in the middle', 'done', damaged((bytes, middle) => bytes.fill(0, middle, middle + 60))],
    ['a part that is missing', 'done', damaged((bytes, middle) => cut(bytes, middle, middle + 60))],
    [
      'a second half that is missing',
      'done',
      damaged((bytes, middle) => cut(bytes, middle, bytes.length - 2)),
    ],
    ['a restart marker where none belongs', 'done', damaged((bytes, middle) => insert(bytes, middle))],
    ['no end', 'failed', damaged((bytes) => bytes.subarray(0, bytes.length - 2))],
    ['no end, and no second half', 'failed', damaged((bytes, middle) => bytes.subarray(0, middle))],
  ] as const)('takes a JPEG with %s as Pillow does: %s', async (_what, outcome, file) => {
    const path = join(folder, 'damage.jpg');
    writeFileSync(path, await file());
    const { pixels, report } = await squareCrop({ path }, [0, 0, 90]);
    expect(report.outcome).toBe(outcome);
    if (outcome === 'failed') expect(report.message).toMatch(/truncated/);
    else expect(new Set(pixels).size).toBeGreaterThan(20);
  });

  it('fails with the decoder’s words for a damaged header', async () => {
    const bytes = await testPicture(20, 20).jpeg().toBuffer();
    const frame = bytes.indexOf(Buffer.from([0xff, 0xc0]));
    bytes[frame + 4] = 13; // bits a sample
    const path = join(folder, 'damaged.jpg');
    writeFileSync(path, bytes);
    const { report } = await squareCrop({ path }, [0, 0, 1]);
    expect(report).toMatchObject({ outcome: 'failed', message: expect.stringMatching(/precision 13/) });
  });

  it('refuses a header that promises gigabytes', async () => {
    const bytes = await testPicture(20, 20).jpeg().toBuffer();
    const frame = bytes.indexOf(Buffer.from([0xff, 0xc0]));
    bytes.fill(0xff, frame + 5, frame + 9);
    bytes[frame + 5] = 0xf0;
    bytes[frame + 7] = 0xf0;
    const path = join(folder, 'huge.jpg');
    writeFileSync(path, bytes);
    const { report } = await squareCrop({ path }, [0, 0, 1]);
    expect(report).toMatchObject({
      outcome: 'failed',
      message: expect.stringMatching(/more than the 178956970/),
    });
  });

  it('refuses a header that promises more than its few bytes can hold', async () => {
    const bytes = await testPicture(20, 20).jpeg().toBuffer();
    const frame = bytes.indexOf(Buffer.from([0xff, 0xc0]));
    bytes.writeUInt16BE(12_000, frame + 5);
    bytes.writeUInt16BE(12_000, frame + 7);
    const path = join(folder, 'hollow.jpg');
    writeFileSync(path, bytes);
    const { report } = await squareCrop({ path }, [0, 0, 1]);
    expect(report).toMatchObject({
      outcome: 'failed',
      message: expect.stringMatching(/bytes are too few for 12000x12000 pixels; the file is damaged/),
    });
  });

  it('tells other formats, missing and empty files apart', async () => {
    const text = join(folder, 'text.jpg');
    writeFileSync(text, 'this is no picture\n');
    expect((await squareCrop({ path: text }, [0, 0, 1])).report.outcome).toBe('other-format');
    const empty = join(folder, 'empty.jpg');
    writeFileSync(empty, '');
    expect((await squareCrop({ path: empty }, [0, 0, 1])).report.message).toMatch(/empty/);
    const missing = join(folder, 'missing.jpg');
    expect((await squareCrop({ path: missing }, [0, 0, 1])).report.message).toMatch(/No such file/);
    expect((await squareCrop({ path: folder }, [0, 0, 1])).report.message).toMatch(/not a regular file/);
    const pipe = join(folder, 'pipe.jpg'); // without a writer: not waited for
    execFileSync('mkfifo', [pipe]);
    expect((await squareCrop({ path: pipe }, [0, 0, 1])).report.message).toMatch(/not a regular file/);
  });

  it('fails a job whose crop lies outside, without failing its batch', async () => {
    const pixels = testPixels(4, 4);
    const out = new Uint8Array(6);
    const job = (top: number, offset: number): ImageJob => ({
      pixels,
      height: 4,
      width: 4,
      crop: [top, 0, 1, 1],
      mirrored: false,
      jitter: [],
      views: [{ out, offset, size: 1, filter: 'box' }],
    });
    const pool = nativeImages.imagePool(2);
    const reports = await nativeImages.imageDecodeBatch(pool, [job(4, 0), job(1, 3)]);
    nativeImages.imagePoolClose(pool);
    expect(reports.map((report) => report.outcome)).toEqual(['failed', 'done']);
    expect([...out]).toEqual([0, 0, 0, ...pixels.subarray(12, 15)]);
  });
});

describe('a random crop', () => {
  const rule = { kind: 'random', minScale: 0.08, maxScale: 1 } as const;
  const cropOf = async (height: number, width: number, draws: Float64Array) => {
    const pool = nativeImages.imagePool(1);
    const [report] = await nativeImages.imageDecodeBatch(pool, [
      {
        pixels: new Uint8Array(3 * height * width),
        height,
        width,
        crop: { ...rule, draws },
        mirrored: false,
        jitter: [],
        views: [{ out: new Uint8Array(12), offset: 0, size: 2, filter: 'box' }],
      },
    ]);
    nativeImages.imagePoolClose(pool);
    return report!.crop;
  };

  it('follows torchvision’s rule', async () => {
    const random = testRandom(11);
    let fallbacks = 0;
    for (let i = 0; i < 200; i++) {
      const height = 20 + Math.floor(random() * 80);
      const width = i % 10 === 0 ? 4 * height : 20 + Math.floor(random() * 80);
      const draws = Float64Array.from({ length: randomCropDraws }, random);
      let expected: number[] | undefined;
      for (let t = 0; t < 10 && expected === undefined; t++) {
        const area = height * width * (0.08 + 0.92 * draws[2 * t]!);
        const ratio = Math.exp(Math.log(3 / 4) + (Math.log(4 / 3) - Math.log(3 / 4)) * draws[2 * t + 1]!);
        const w = Math.round(Math.sqrt(area * ratio));
        const h = Math.round(Math.sqrt(area / ratio));
        if (w > width || h > height) continue;
        expected = [
          Math.floor(draws[20]! * (height - h + 1)),
          Math.floor(draws[21]! * (width - w + 1)),
          h,
          w,
        ];
      }
      if (expected === undefined) fallbacks++;
      else expect(await cropOf(height, width, draws)).toEqual(expected);
    }
    expect(fallbacks).toBeLessThan(100);
  });

  it('falls back to the largest central crop of an allowed shape', async () => {
    const whole = new Float64Array(randomCropDraws).fill(0.999);
    expect(await cropOf(100, 300, whole)).toEqual([0, 83, 100, 133]);
    expect(await cropOf(300, 99, whole)).toEqual([84, 0, 132, 99]);
  });

  it('refuses draws that are none', async () => {
    await expect(cropOf(10, 10, new Float64Array(21))).rejects.toThrow(/21 numbers, not 22/);
    await expect(cropOf(10, 10, new Float64Array(22).fill(1))).rejects.toThrow(/\[0, 1\)/);
  });
});

describe('the pool', () => {
  it('rejects the batches left when it closes, and takes no more', async () => {
    const pool = nativeImages.imagePool(1);
    const pixels = testPixels(300, 300);
    const out = new Uint8Array(3 * 200 * 200);
    const job: ImageJob = {
      pixels,
      height: 300,
      width: 300,
      crop: { kind: 'centre' },
      mirrored: false,
      jitter: [],
      views: [{ out, offset: 0, size: 200, filter: 'lanczos' }],
    };
    const batch = nativeImages.imageDecodeBatch(pool, new Array<ImageJob>(200).fill(job));
    nativeImages.imagePoolClose(pool);
    nativeImages.imagePoolClose(pool);
    await expect(batch).rejects.toThrow(/pool was closed/);
    expect(() => nativeImages.imageDecodeBatch(pool, [job])).toThrow(/pool was closed/);
  });

  it('checks every array’s size before it writes', () => {
    const pool = nativeImages.imagePool(1);
    const job: ImageJob = {
      pixels: testPixels(4, 4),
      height: 4,
      width: 4,
      crop: { kind: 'centre' },
      mirrored: false,
      jitter: [],
      views: [{ out: new Uint8Array(12), offset: 1, size: 2, filter: 'box' }],
    };
    expect(() => nativeImages.imageDecodeBatch(pool, [job])).toThrow(/does not fit into 12 bytes/);
    nativeImages.imagePoolClose(pool);
    expect(() => nativeImages.imagePool(0)).toThrow(/0 threads/);
  });
});
