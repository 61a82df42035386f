/** A decoded picture: RGB, 3 bytes a pixel, without gaps. */
export interface PlainPicture {
  readonly pixels: Uint8Array;
  readonly height: number;
  readonly width: number;
}

/** Largest picture read, as for JPEG. */
const mostPixels = 2 ** 28;

function checkSize(height: number, width: number): void {
  if (height < 1 || width < 1 || height * width > mostPixels) {
    throw new Error(`its header gives ${height}x${width} pixels; from 1 to ${mostPixels} are read`);
  }
}

function checkLength(bytes: Uint8Array, needed: number): void {
  if (bytes.length < needed) throw new Error('the file is truncated: it ends before its picture does');
}

/**
 * Decodes the formats that torchvision reads and sharp does not: BMP (8, 24 or 32 bits, uncompressed) and binary PPM
 * and PGM (8 bits). @returns undefined for any other format
 * @throws Error where the file is damaged, or of a kind that is not read
 */
export function decodePlain(bytes: Uint8Array): PlainPicture | undefined {
  if (bytes[0] === 0x42 && bytes[1] === 0x4d && bytes.length >= 30) return decodeBmp(bytes);
  if (bytes[0] === 0x50 && (bytes[1] === 0x35 || bytes[1] === 0x36)) return decodePnm(bytes);
  return undefined;
}

function decodeBmp(bytes: Uint8Array): PlainPicture {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const headerSize = view.getUint32(14, true);
  if (headerSize < 40) throw new Error('a BMP file of OS/2 is not read; save it as PNG');
  checkLength(bytes, 14 + headerSize);
  const start = view.getUint32(10, true);
  const width = view.getInt32(18, true);
  const signedHeight = view.getInt32(22, true);
  const height = Math.abs(signedHeight);
  const bits = view.getUint16(28, true);
  const compression = view.getUint32(30, true);
  checkSize(height, width);
  if (![8, 24, 32].includes(bits) || compression !== 0) {
    throw new Error(`a BMP file of ${bits} bits and compression ${compression} is not read; save it as PNG`);
  }
  const stride = Math.ceil((width * bits) / 32) * 4;
  checkLength(bytes, start + stride * height);
  const palette = 14 + headerSize;
  const pixels = new Uint8Array(3 * width * height);
  for (let y = 0; y < height; y++) {
    // Rows go upwards, unless the height is negative.
    let from = start + stride * (signedHeight > 0 ? height - 1 - y : y);
    for (let to = 3 * width * y; to < 3 * width * (y + 1); to += 3) {
      let entry = from;
      if (bits === 8) {
        entry = palette + 4 * (bytes[from] as number);
        if (entry + 4 > start) throw new Error('a pixel names no colour of its palette; the file is damaged');
      }
      pixels[to] = bytes[entry + 2] as number;
      pixels[to + 1] = bytes[entry + 1] as number;
      pixels[to + 2] = bytes[entry] as number;
      from += bits / 8;
    }
  }
  return { pixels, height, width };
}

function decodePnm(bytes: Uint8Array): PlainPicture {
  const head = Buffer.from(bytes.subarray(0, 512)).toString('latin1');
  // Magic, width, height and maximum, apart by white space and comments; one white space before the pixels.
  const gap = '(?:\\s|#[^\\n]*\\n)+';
  const match = new RegExp(`^P([56])${gap}(\\d+)${gap}(\\d+)${gap}(\\d+)\\s`).exec(head);
  if (match === null) throw new Error('its header is damaged');
  const [channels, width, height, most] = [
    match[1] === '6' ? 3 : 1,
    Number(match[2]),
    Number(match[3]),
    Number(match[4]),
  ];
  checkSize(height, width);
  if (most !== 255) throw new Error(`its pixels go up to ${most}; only 255 is read; save it as PNG`);
  checkLength(bytes, match[0].length + channels * width * height);
  const data = bytes.subarray(match[0].length, match[0].length + channels * width * height);
  if (channels === 3) return { pixels: Uint8Array.from(data), height, width };
  return {
    pixels: Uint8Array.from({ length: 3 * data.length }, (_, i) => data[Math.floor(i / 3)]!),
    height,
    width,
  };
}
