import { extname } from 'node:path';
import { writeFileWhole } from '../checkpoint/file-sink.js';
import { npyHeader } from '../checkpoint/npy-header.js';
import { checkOutputFile } from '../checkpoint/output-check.js';
import { formatHeader } from '../checkpoint/safetensors-header.js';
import { UserError } from '../errors.js';

/** Features of a data set to be written, and what they are of. */
export interface FeatureTable {
  /** Of all features: [pictures, …]. */
  readonly shape: readonly number[];
  /** A path for each picture. */
  readonly files: readonly string[];
  /** A class for each picture. */
  readonly labels: Int32Array;
  /** Names of the classes; a label is an index into them. */
  readonly classes: readonly string[];
  /** What the features are: model, checkpoint, pool, layer, … */
  readonly about: Readonly<Record<string, string>>;
}

/** How a table is written: by the ending of the file's name. */
export type FeatureFormat = 'safetensors' | 'npy';

/** @throws UserError for an ending that names no format */
export function featureFormat(path: string): FeatureFormat {
  const ending = extname(path);
  if (ending === '.safetensors') return 'safetensors';
  if (ending === '.npy') return 'npy';
  throw new UserError(`--output ${path}: features are written as .safetensors or .npy; choose one of these`);
}

/**
 * Writes features as they come, a batch in memory at a time. As `.safetensors`: `features` f32 and `labels` i32, with
 * file names and classes as JSON in the metadata. As `.npy`: the features, and beside them `<name>.labels.npy` and
 * `<name>.files.txt`, a file name a line.
 * @param batches rows of features, in order, together all of the table's
 * @returns the files written
 * @throws UserError for what the system refuses, before the first batch where it can be told; then no file is left
 */
export async function writeFeatures(
  path: string,
  table: FeatureTable,
  batches: AsyncIterable<Float32Array>,
): Promise<string[]> {
  const written = filesOf(path);
  for (const file of written) checkOutputFile(file);
  await (featureFormat(path) === 'npy' ? writeNpy : writeSafetensors)(path, table, batches);
  return written;
}

/** The files a table is written to, the features' first. */
function filesOf(path: string): string[] {
  if (featureFormat(path) !== 'npy') return [path];
  const stem = path.slice(0, -extname(path).length);
  return [path, `${stem}.labels.npy`, `${stem}.files.txt`];
}

const bytesOf = (array: Float32Array | Int32Array): Uint8Array =>
  new Uint8Array(array.buffer, array.byteOffset, array.byteLength);

async function writeSafetensors(
  path: string,
  { shape, files, labels, classes, about }: FeatureTable,
  batches: AsyncIterable<Float32Array>,
): Promise<void> {
  const byteLength = 4 * shape.reduce((product, extent) => product * extent, 1);
  const header = formatHeader(
    path,
    [
      { name: 'features', dtype: 'F32', shape, byteLength },
      { name: 'labels', dtype: 'I32', shape: [labels.length], byteLength: labels.byteLength },
    ],
    { ...about, files: JSON.stringify(files), classes: JSON.stringify(classes) },
  );
  await writeFileWhole(path, async (sink) => {
    await sink.write(header);
    for await (const rows of batches) await sink.write(bytesOf(rows));
    await sink.write(bytesOf(labels));
  });
}

async function writeNpy(
  path: string,
  { shape, files, labels }: FeatureTable,
  batches: AsyncIterable<Float32Array>,
): Promise<void> {
  const [, labelPath, namePath] = filesOf(path) as [string, string, string];
  // One within the other: none of the three gets its name before the features, which come last, are whole.
  await writeFileWhole(labelPath, async (labelSink) => {
    await labelSink.write(npyHeader('<i4', [labels.length]));
    await labelSink.write(bytesOf(labels));
    await writeFileWhole(namePath, async (nameSink) => {
      await nameSink.write(Buffer.from(`${files.join('\n')}\n`));
      await writeFileWhole(path, async (sink) => {
        await sink.write(npyHeader('<f4', shape));
        for await (const rows of batches) await sink.write(bytesOf(rows));
      });
    });
  });
}
