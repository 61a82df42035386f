import { describe, expect, it } from 'vitest';
import { native } from '../../lib/native/addon.js';
import type { Handle } from '../../lib/native/bindings.js';
import { defaultDevice } from '../../lib/tensor/device.js';

/** The bits of what `draw` writes on a device. */
function bits(device: string, draw: (device: string) => Handle): Uint32Array {
  const handle = draw(device);
  const words = new Uint32Array(native.readSync(handle));
  native.release(handle);
  return words;
}

describe('random draws have the same bits on CUDA as on the CPU', () => {
  const filled = (n: number, fill: (y: Handle) => void) => (device: string) => {
    const y = native.empty([n], 'f32', device);
    fill(y);
    return y;
  };
  it.each([
    ['uniform', filled(4099, (y) => native.uniform(y, -0.3, 0.7, 12345, 3))],
    ['truncatedNormal', filled(4099, (y) => native.truncatedNormal(y, 0.02, 0.02, 12345, 4))],
    ['a wide truncatedNormal', filled(257, (y) => native.truncatedNormal(y, 1, 6, 2 ** 40, 4))],
    [
      'dropPath',
      (device: string) => {
        const step = native.fromBytes(Int32Array.of(77), [1], 'i32', device);
        return native.dropPath(257, 'f32', 0.25, 9, 1, step);
      },
    ],
  ])('%s', (_name, draw) => {
    expect(bits(defaultDevice(), draw)).toEqual(bits('cpu', draw));
  });
});
