/**
 * The bytes in front of a NumPy array file (`.npy`, format 1.0; numpy.lib.format): magic, version, length, and a
 * Python dict of dtype, order and shape, padded so that the data begins at a multiple of 64.
 * @param descr NumPy's name of the dtype: `<f4`, `<i4`
 */
export function npyHeader(descr: string, shape: readonly number[]): Uint8Array {
  const tuple = shape.length === 1 ? `(${shape[0]},)` : `(${shape.join(', ')})`;
  const dict = `{'descr': '${descr}', 'fortran_order': False, 'shape': ${tuple}, }`;
  const fixed = 10; // magic, version, and the length's two bytes
  const length = Math.ceil((fixed + dict.length + 1) / 64) * 64 - fixed;
  const bytes = new Uint8Array(fixed + length).fill(0x20);
  bytes.set([0x93, ...Buffer.from('NUMPY'), 1, 0, length & 255, length >> 8]);
  bytes.set(Buffer.from(dict, 'latin1'), fixed);
  bytes[bytes.length - 1] = 0x0a;
  return bytes;
}
