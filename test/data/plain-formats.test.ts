import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { loadImage } from '../../lib/data/load-image.js';
import { decodePlain } from '../../lib/data/plain-formats.js';
import { testPixels } from '../native/image-support.js';
import { temporaryFolder } from './support.js';

const { path: root, remove } = temporaryFolder();
afterAll(remove);

const [height, width] = [7, 5];
const pixels = testPixels(height, width);
const rgb = (y: number, x: number): [number, number, number] => {
  const at = 3 * (width * y + x);
  return [pixels[at]!, pixels[at + 1]!, pixels[at + 2]!];
};

/** A BMP file after Microsoft's description of the format, rows upwards unless `down`. */
function bmp(bits: 8 | 24 | 32, { down = false, compression = 0 } = {}): Buffer {
  const stride = Math.ceil((width * bits) / 32) * 4;
  const palette = bits === 8 ? 4 * width * height : 0;
  const start = 54 + palette;
  const file = Buffer.alloc(start + stride * height);
  file.write('BM', 0, 'latin1');
  file.writeUInt32LE(file.length, 2);
  file.writeUInt32LE(start, 10);
  file.writeUInt32LE(40, 14);
  file.writeInt32LE(width, 18);
  file.writeInt32LE(down ? -height : height, 22);
  file.writeUInt16LE(1, 26);
  file.writeUInt16LE(bits, 28);
  file.writeUInt32LE(compression, 30);
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x++) {
      const [red, green, blue] = rgb(y, x);
      const row = start + stride * (down ? y : height - 1 - y);
      if (bits === 8) {
        file[row + x] = width * y + x;
        file.set([blue, green, red, 0], 54 + 4 * (width * y + x));
      } else file.set([blue, green, red], row + (x * bits) / 8);
    }
  }
  return file;
}

const ppm = (head: string, data: Uint8Array): Buffer => Buffer.concat([Buffer.from(head), data]);

describe('decodePlain', () => {
  it.each([
    ['BMP of 24 bits', bmp(24)],
    ['BMP of 32 bits', bmp(32)],
    ['BMP of 8 bits', bmp(8)],
    ['BMP from the top down', bmp(24, { down: true })],
    ['PPM', ppm('P6\n5 7\n255\n', pixels)],
    ['PPM with a comment', ppm('P6 # of the test\n# 9 9\n5\t7 255\n', pixels)],
  ])('%s: the very pixels', (_name, file) => {
    expect(decodePlain(file)).toEqual({ height, width, pixels });
  });

  it('PGM: grey in all three channels', () => {
    const grey = Uint8Array.of(0, 7, 200, 255, 10, 20);
    expect(decodePlain(ppm('P5 3 2 255\n', grey))).toEqual({
      height: 2,
      width: 3,
      pixels: Uint8Array.from([...grey].flatMap((value) => [value, value, value])),
    });
  });

  it('leaves other formats alone', () => {
    expect(decodePlain(Buffer.from('GIF89a'))).toBeUndefined();
    expect(decodePlain(new Uint8Array())).toBeUndefined();
  });

  it.each([
    ['a BMP cut off', bmp(24).subarray(0, 100), /truncated/],
    ['a BMP cut off in its header', bmp(24).subarray(0, 40), /truncated/],
    ['a compressed BMP', bmp(8, { compression: 1 }), /8 bits and compression 1 is not read; save it as PNG/],
    ['a PPM cut off', ppm('P6 5 7 255\n', pixels.subarray(1)), /truncated/],
    ['a PPM of 16 bits', ppm('P6 5 7 65535\n', pixels), /up to 65535/],
    ['a PPM of gigabytes', ppm('P6 99999 99999 255\n', pixels), /99999x99999 pixels/],
    ['a PPM without numbers', Buffer.from('P6 wide high\n'), /header is damaged/],
  ])('refuses %s', (_name, file, message) => {
    expect(() => decodePlain(file)).toThrow(message);
  });

  it('is what loadImage reads them by, whatever their name', async () => {
    for (const [name, file] of [
      ['x.bmp', bmp(24)],
      ['x.png', ppm('P6 5 7 255\n', pixels)],
    ] as const) {
      writeFileSync(join(root, name), file);
      const [view] = await loadImage(join(root, name), [{ size: 5, filter: 'bicubic' }]);
      // The central square, unresized.
      expect([...view!]).toEqual([...pixels.subarray(3 * width, 3 * width * 6)]);
    }
    writeFileSync(join(root, 'cut.bmp'), bmp(24).subarray(0, 100));
    await expect(loadImage(join(root, 'cut.bmp'), [{ size: 5, filter: 'bicubic' }])).rejects.toThrow(
      /cannot read image .*cut\.bmp: the file is truncated/,
    );
  });
});
