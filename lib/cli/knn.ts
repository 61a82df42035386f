import type { Command } from 'commander';
import { openClassificationData } from '../data/classification-data.js';
import type { ImageSet } from '../data/image-set.js';
import type { Pool } from '../models/feature-encoder.js';
import { knnAccuracies, type LabelledFeatures } from '../training/knn.js';
import { dataFlags } from './classify-flags.js';
import { featureFlags, type OpenEncoder, openEncoder } from './encoder-command.js';
import { addFlags, choiceFlag, flagValues, numberFlag, numbersFlag, usageError } from './flags.js';

const flags = {
  ...featureFlags,
  data_set: choiceFlag(
    ['IMNET', 'image_folder', 'CIFAR', 'CIFAR10'],
    'IMNET',
    'layout of DATA: IMNET is a folder with train and val',
  ),
  eval_data_path: dataFlags.eval_data_path,
  nb_classes: dataFlags.nb_classes,
  pool: choiceFlag(['cls', 'mean'], 'cls', 'the cls token, or the mean of the patch tokens'),
  nb_knn: numbersFlag([10, 20, 100, 200], 'how many neighbours vote; at most all training pictures', {
    min: 1,
  }),
  temperature: numberFlag(0.07, 'of the votes: their weight is exp(cosine/temperature)', { above: 0 }),
} as const;

/** Adds the command's flags and action: a line for each number of neighbours. */
export function register(command: Command): void {
  command.argument(
    '<data>',
    'labelled pictures: a folder with train and val, which have a sub-folder for each class',
  );
  addFlags(command, flags).action(async (dataPath: string, parsed: Record<string, unknown>) => {
    const values = flagValues(flags, parsed);
    if (!values.nb_knn.every(Number.isInteger)) throw usageError('--nb_knn takes whole numbers');
    const { data_set: dataSet, eval_data_path: evalDataPath, nb_classes: nbClasses } = values;
    const { train, val, classes } = openClassificationData({ dataSet, dataPath, evalDataPath, nbClasses });
    using encoder = await openEncoder(values);
    const results = knnAccuracies({
      train: await collect(encoder, train, values.pool),
      test: await collect(encoder, val, values.pool),
      classes: classes.length,
      neighbours: values.nb_knn,
      temperature: values.temperature,
    });
    for (const { k, acc1, acc5 } of results) {
      process.stdout.write(
        `k ${k}  acc@1 ${acc1.toFixed(2)}  acc@5 ${acc5.toFixed(2)}  (${val.length} pictures)\n`,
      );
    }
  });
}

/** Features of all pictures, in memory. */
async function collect(encoder: OpenEncoder, images: ImageSet, pool: Pool): Promise<LabelledFeatures> {
  const width = encoder.model.config.embedDim;
  const features = new Float32Array(images.length * width);
  let at = 0;
  for await (const rows of encoder.features(images, pool, 'features')) {
    features.set(rows, at);
    at += rows.length;
  }
  return { features, labels: Int32Array.from({ length: images.length }, (_, i) => images.label(i)), width };
}
