import { UserError } from '../errors.js';
import type { KnnOptions, LabelledFeatures } from './knn.js';

/** Refuses what nearest neighbours make no accuracy of. @throws UserError naming what is wrong */
export function checkKnn({ train, test, classes, neighbours, temperature }: KnnOptions): void {
  if (!Number.isInteger(classes) || classes < 1) {
    throw new UserError(`${classes} classes: give a whole number of at least 1`);
  }
  if (!(temperature > 0 && Number.isFinite(temperature))) {
    throw new UserError(`temperature ${temperature}: give a number above 0`);
  }
  for (const k of neighbours) {
    if (!Number.isInteger(k) || k < 1) {
      throw new UserError(`${k} neighbours: give whole numbers of at least 1`);
    }
  }
  checkFeatures('training', train, classes);
  checkFeatures('test', test, classes);
  if (train.width !== test.width) {
    throw new UserError(`training features are ${train.width} wide and test features ${test.width}`);
  }
}

function checkFeatures(name: string, { features, labels, width }: LabelledFeatures, classes: number): void {
  if (labels.length === 0) throw new UserError(`there are no ${name} pictures`);
  if (!Number.isInteger(width) || width < 1) {
    throw new UserError(`${name} features of width ${width}: give a whole number of at least 1`);
  }
  if (features.length !== labels.length * width) {
    throw new UserError(
      `${features.length} ${name} features are not ${width} for each of ${labels.length} labels`,
    );
  }
  const label = labels.find((value) => !Number.isInteger(value) || value < 0 || value >= classes);
  if (label !== undefined) throw new UserError(`${name} label ${label} is none of the ${classes} classes`);
  const at = features.findIndex((value) => !Number.isFinite(value));
  if (at >= 0) {
    throw new UserError(`the features of ${name} picture ${Math.floor(at / width)} are not finite`);
  }
}
