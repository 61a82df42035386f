import type { ClassificationBatch } from '../data/classification-loader.js';
import { softTargets } from '../data/mixup.js';
import type { Classifier, Probe } from '../models/classifier.js';
import { Tensor } from '../tensor/tensor.js';
import type { FeatureBatch } from './cached-features.js';
import type { ClassificationInput } from './classification-input.js';
import type { ClassifierView } from './classify.js';

/** A classifier that sees pictures. */
export function pictureView(
  model: Classifier,
  input: ClassificationInput,
): ClassifierView<ClassificationBatch> {
  return {
    inputs(batch) {
      const { images, targets } = input.train(batch);
      return { x: images, targets };
    },
    train: (images, pass) => model.forward(images, pass, true),
    test: (batch, pass) => model.forward(input.eval(batch), pass, false),
  };
}

/**
 * A probe that sees what its frozen encoder made of the pictures before.
 * @param smoothing of the labels
 */
export function featureView(model: Probe, smoothing: number): ClassifierView<FeatureBatch> {
  const features = ({ data, shape, size }: FeatureBatch): Tensor => Tensor.from(data, [size, ...shape]);
  return {
    inputs: (batch) => ({
      x: features(batch),
      targets: Tensor.from(softTargets(batch.labels, model.classes, smoothing), [batch.size, model.classes]),
    }),
    train: (x, pass) => model.head(x, pass, true),
    test: (batch, pass) => model.head(features(batch), pass, false),
  };
}
