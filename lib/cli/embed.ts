import type { Command } from 'commander';
import { openEvalData } from '../data/classification-data.js';
import { gridSize } from '../models/cae-config.js';
import { pools } from '../models/feature-encoder.js';
import { featureFormat, writeFeatures } from '../training/feature-file.js';
import { featureFlags, openEncoder } from './encoder-command.js';
import { addFlags, choiceFlag, flagValues } from './flags.js';

const flags = {
  ...featureFlags,
  pool: choiceFlag(pools, 'cls', 'the cls token, the mean of the patch tokens, or all tokens'),
} as const;

/** Adds the command's flags and action. */
export function register(command: Command): void {
  command
    .argument('<data>', 'labelled pictures: a folder with a sub-folder for each class')
    .requiredOption('-o, --output <path>', 'file to write: .safetensors or .npy');
  addFlags(command, flags).action(async (dataPath: string, parsed: Record<string, unknown>) => {
    const values = flagValues(flags, parsed);
    const path = parsed['output'] as string;
    featureFormat(path);
    const images = openEvalData({ dataSet: values.data_set, dataPath, evalDataPath: dataPath });
    using encoder = await openEncoder(values);
    const { config } = encoder.model;
    const tokens = values.pool === 'tokens' ? [1 + gridSize(config) ** 2] : [];
    const shape = [images.length, ...tokens, config.embedDim];
    const indices = Array.from({ length: images.length }, (_, i) => i);
    const written = await writeFeatures(
      path,
      {
        shape,
        files: indices.map((i) => images.path(i)),
        labels: Int32Array.from(indices, (i) => images.label(i)),
        classes: images.classes,
        about: { ...encoder.about, pool: values.pool },
      },
      encoder.features(images, values.pool, 'embed'),
    );
    process.stdout.write(`features [${shape.join(', ')}] in ${written.join(', ')}\n`);
  });
}
