import { join } from 'node:path';
import { UserError } from '../errors.js';
import { CifarImages } from './cifar.js';
import { ImageFolder } from './image-folder.js';
import type { ImageSet } from './image-set.js';

/** `--data_set`; CIFAR is CIFAR-100. */
export const classificationDataSets = ['IMNET', 'image_folder', 'CIFAR', 'CIFAR10'] as const;
export type ClassificationDataSet = (typeof classificationDataSets)[number];

export interface ClassificationDataOptions {
  /** `--data_set` */
  readonly dataSet: ClassificationDataSet;
  /**
   * `--data_path`: the folder with `train` and `val` (IMNET), the training pictures (image_folder), or the folder with
   * the binary files (CIFAR, CIFAR10).
   */
  readonly dataPath: string;
  /** `--eval_data_path`: the evaluation pictures of image_folder. */
  readonly evalDataPath?: string | undefined;
  /** `--nb_classes`: how many classes there must be; absent or 0: as many as there are. */
  readonly nbClasses?: number | undefined;
}

/** Both halves of a data set. */
export interface ClassificationData {
  readonly train: ImageSet;
  readonly val: ImageSet;
  /** The same in both. */
  readonly classes: readonly string[];
}

function open(options: ClassificationDataOptions, part: 'train' | 'val'): ImageSet {
  const { dataSet, dataPath, evalDataPath } = options;
  switch (dataSet) {
    case 'IMNET':
      return new ImageFolder(join(dataPath, part));
    case 'image_folder':
      if (part === 'train') return new ImageFolder(dataPath);
      if (evalDataPath === undefined) {
        throw new UserError('--data_set image_folder: give --eval_data_path, the folder to evaluate on');
      }
      return new ImageFolder(evalDataPath);
    default:
      return new CifarImages(dataPath, dataSet, part === 'train' ? 'train' : 'test');
  }
}

function describe(options: ClassificationDataOptions, part: 'train' | 'val'): string {
  const { dataSet, dataPath, evalDataPath } = options;
  if (dataSet === 'IMNET') return join(dataPath, part);
  return part === 'val' && dataSet === 'image_folder' ? evalDataPath! : dataPath;
}

function checkCount(images: ImageSet, where: string, nbClasses: number | undefined): void {
  if (nbClasses === undefined || nbClasses === 0 || images.classes.length === nbClasses) return;
  throw new UserError(
    `--nb_classes ${nbClasses}: ${where} has ${images.classes.length} classes; give --nb_classes ${images.classes.length}`,
  );
}

/** @throws UserError naming the first class that two folders do not share */
function checkSameClasses(train: ImageSet, val: ImageSet, trainName: string, valName: string): void {
  const count = Math.max(train.classes.length, val.classes.length);
  for (let i = 0; i < count; i++) {
    const [a, b] = [train.classes[i], val.classes[i]];
    if (a === b) continue;
    const quoted = (name: string | undefined): string => (name === undefined ? 'none' : `'${name}'`);
    throw new UserError(
      `the classes of ${trainName} and ${valName} differ: class ${i} is ${quoted(a)} in the one and ${quoted(b)} in the ` +
        'other; give both folders the same sub-folders',
    );
  }
}

/**
 * The training and evaluation pictures of a data set.
 *
 * @throws UserError where a folder is missing or not laid out as expected, the two halves' classes differ (naming the
 *   first that does), or there are not `nbClasses` of them
 */
export function openClassificationData(options: ClassificationDataOptions): ClassificationData {
  const train = open(options, 'train');
  const val = open(options, 'val');
  const [trainName, valName] = [describe(options, 'train'), describe(options, 'val')];
  checkSameClasses(train, val, trainName, valName);
  checkCount(train, trainName, options.nbClasses);
  return { train, val, classes: train.classes };
}

/** The evaluation pictures alone (`--eval`); throws as `openClassificationData`. */
export function openEvalData(options: ClassificationDataOptions): ImageSet {
  const val = open(options, 'val');
  checkCount(val, describe(options, 'val'), options.nbClasses);
  return val;
}
