import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import sharp from 'sharp';
import { afterAll, describe, expect, it } from 'vitest';
import { loadImage } from '../../lib/data/load-image.js';
import { UserError } from '../../lib/errors.js';
import { nativeImages } from '../../lib/native/image.js';
import { testPicture, testPixels } from '../native/image-support.js';
import { temporaryFolder } from './support.js';

const { path: root, remove } = temporaryFolder();
afterAll(remove);

async function only(path: string, size: number, shorter?: number): Promise<Buffer> {
  const view = { size, filter: 'bicubic' as const, ...(shorter === undefined ? {} : { shorter }) };
  const [pixels] = await loadImage(path, [view]);
  return Buffer.from(pixels!);
}

describe('loadImage', () => {
  it.each(['png', 'webp', 'tiff', 'gif'] as const)(
    'reads %s through sharp: the very pixels',
    async (format) => {
      const path = join(root, `picture.${format}`);
      if (format === 'gif') {
        const flat = sharp({ create: { width: 20, height: 20, channels: 3, background: '#ff8000' } });
        await flat.gif().toFile(path);
        expect([...(await only(path, 20)).subarray(0, 3)]).toEqual([255, 128, 0]);
        return;
      }
      const picture = testPicture(20, 20);
      await (format === 'webp'
        ? picture.webp({ lossless: true })
        : picture.toFormat(format, { compression: 'none' })
      ).toFile(path);
      expect((await only(path, 20)).equals(Buffer.from(testPixels(20, 20)))).toBe(true);
    },
  );

  it('drops transparency, keeping the colour below it', async () => {
    const path = join(root, 'clear.png');
    const background = { r: 10, g: 200, b: 30, alpha: 0.5 };
    await sharp({ create: { width: 4, height: 4, channels: 4, background } })
      .png()
      .toFile(path);
    expect([...(await only(path, 4)).subarray(0, 3)]).toEqual([10, 200, 30]);
  });

  it('spreads grey over three channels, and reduces 16 bits to 8', async () => {
    const grey = join(root, 'grey.png');
    await testPicture(8, 8).toColourspace('b-w').png().toFile(grey);
    const pixels = await only(grey, 8);
    for (let i = 0; i < pixels.length; i += 3) expect(pixels[i + 1]).toBe(pixels[i]);
    const deep = join(root, 'deep.png');
    await testPicture(8, 8).toColourspace('rgb16').png().toFile(deep);
    const error = (await only(deep, 8)).map((value, i) => Math.abs(value - testPixels(8, 8)[i]!));
    expect(Math.max(...error)).toBeLessThanOrEqual(1);
  });

  it('goes by a file’s content, not by its name', async () => {
    const path = join(root, 'really-png.jpg');
    await testPicture(12, 12).png().toFile(path);
    expect((await only(path, 12)).equals(Buffer.from(testPixels(12, 12)))).toBe(true);
  });

  it('resizes the shorter side, then keeps the centre', async () => {
    const path = join(root, 'wide.png');
    const [height, width] = [30, 47];
    await testPicture(height, width).png().toFile(path);
    // 47/30 of 20 is 31 (rounded down); the same rows of the whole picture squeezed to 20×31 have these columns.
    const out = await only(path, 16, 20);
    const flat = await sharp(testPixels(height, width), { raw: { width, height, channels: 3 } })
      .resize(31, 20, { fit: 'fill', kernel: 'cubic' })
      .extract({ top: 2, left: 8, width: 16, height: 16 })
      .raw()
      .toBuffer();
    const error = out.reduce((sum, value, i) => sum + Math.abs(value - flat[i]!), 0) / out.length;
    const shifted =
      out.reduce((sum, value, i) => sum + Math.abs(value - (flat[i + 3] ?? value)), 0) / out.length;
    // Another library's cubic filter: alike, but for its rounding and its edges.
    expect(error).toBeLessThan(4);
    expect(shifted).toBeGreaterThan(3 * error);
  });

  it('is a square’s plain resize', async () => {
    const path = join(root, 'square.png');
    await testPicture(40, 40).png().toFile(path);
    const [large, small] = await loadImage(path, [
      { size: 24, filter: 'bicubic' },
      { size: 12, filter: 'lanczos' },
    ]);
    const pixels = testPixels(40, 40);
    const plain = (size: number, filter: 'bicubic' | 'lanczos') =>
      Buffer.from(nativeImages.imageResizedCrop(pixels, 40, 40, [0, 0, 40, 40], size, filter));
    expect(plain(24, 'bicubic').equals(Buffer.from(large!))).toBe(true);
    expect(plain(12, 'lanczos').equals(Buffer.from(small!))).toBe(true);
  });

  it('names a file it cannot read, in one line', async () => {
    const text = join(root, 'notes.png');
    writeFileSync(text, 'text');
    const cut = join(root, 'cut.png');
    const png = await testPicture(60, 60).png().toBuffer();
    writeFileSync(cut, png.subarray(0, png.length >> 1));
    for (const path of [text, cut, join(root, 'missing.jpg')]) {
      const error = await only(path, 8).catch((e: unknown) => e as Error);
      expect(error).toBeInstanceOf(UserError);
      expect((error as Error).message).toMatch(
        new RegExp(`^cannot read image ${path}: [^\\n]+; give the path`),
      );
    }
  });
});
