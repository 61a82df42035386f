/** What is drawn with: the modules of lib/data and lib/native/image, wherever they were built. */
export interface Modules {
  readonly randAugment: typeof import('../../lib/data/rand-augment.js');
  readonly trainAugmenter: typeof import('../../lib/data/train-augmenter.js');
  readonly randomErasing: typeof import('../../lib/data/random-erasing.js');
  readonly mixup: typeof import('../../lib/data/mixup.js');
  readonly random: typeof import('../../lib/data/random.js');
  readonly image: typeof import('../../lib/native/image.js');
}

/** Numbers of each quantity, as timm_statistics.py names them. */
export function drawQuantities(
  modules: Modules,
  pictures: number,
  crops: number,
): Promise<Map<string, number[]>>;
