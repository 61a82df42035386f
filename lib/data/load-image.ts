import { UserError } from '../errors.js';
import { centreAugmenter } from './augmentations.js';
import type { ViewSpec } from './batch-reader.js';
import { ImageReader } from './image-reader.js';

/**
 * Reads one picture without randomness: its shorter side resized (to `shorter`, or `size`), then its centre, for
 * each view. Returns [size, size, 3] bytes a view.
 *
 * @throws UserError naming a file that cannot be read
 */
export async function loadImage(path: string, views: readonly ViewSpec[]): Promise<Uint8Array[]> {
  const outs = views.map((view) => new Uint8Array(3 * view.size * view.size));
  const reader = new ImageReader(1);
  try {
    const targets = views.map((view, v) => ({ ...view, out: outs[v]!, offset: 0 }));
    const [report] = await reader.read([{ path, ...centreAugmenter.draw(0, 0), views: targets }]);
    if (report!.error !== undefined) {
      throw new UserError(`cannot read image ${path}: ${report!.error}; give the path of a picture`);
    }
    return outs;
  } finally {
    reader.close();
  }
}
