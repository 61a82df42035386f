import { join } from 'node:path';
import { modelConfig } from '../../lib/models/registry.js';
import { makeColours } from '../training/small-finetune.js';
import { pretrainSmall } from '../training/small-run.js';

/** Labelled pictures and a pretrained encoder, for commands that go on from there. */
export interface PretrainedWorld {
  /** A folder with `train`, 24 pictures, and `val`, 10, of two classes. */
  readonly data: string;
  /** Folder of a pretraining run. */
  readonly run: string;
  /** Its only checkpoint. */
  readonly checkpoint: string;
}

/** Makes pictures in two colours and pretrains a small CAE on them for an epoch, in a folder. */
export async function makePretrained(folder: string): Promise<PretrainedWorld> {
  const data = join(folder, 'data');
  await makeColours(join(data, 'train'), 12);
  await makeColours(join(data, 'val'), 5);
  const config = modelConfig('cae_tiny_patch16_224_8k_vocab', {
    ...{ imageSize: 32, patchSize: 8, embedDim: 32, depth: 2, numHeads: 2, dropPath: 0.1 },
    ...{ regressorDepth: 1, decoderDepth: 1, decoderEmbedDim: 32, decoderNumHeads: 2, decoderNumClasses: 16 },
  });
  const model = { kind: 'cae', config: { ...config }, imagenetNormalization: false };
  const run = join(folder, 'pre');
  await pretrainSmall({ data: join(data, 'train'), outputDir: run, epochs: 1, options: { model } });
  return { data, run, checkpoint: join(run, 'small_checkpoint-0') };
}
