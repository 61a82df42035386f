/** The public API: models, optimizers, data and checkpoints for experiments in TypeScript. */
export { SafetensorsFile } from './checkpoint/safetensors-reader.js';
export { writeSafetensors } from './checkpoint/safetensors-writer.js';
export {
  type ClassificationData,
  type ClassificationDataOptions,
  openClassificationData,
} from './data/classification-data.js';
export {
  type ClassificationBatch,
  type ClassificationLoader,
  createEvalLoader,
  createFineTuneLoader,
  createProbeLoader,
  onePass,
} from './data/classification-loader.js';
export { createMaskGenerator, type MaskGenerator, type MaskOptions } from './data/masks.js';
export {
  createPretrainLoader,
  type PretrainBatch,
  type PretrainLoader,
  type PretrainLoaderOptions,
} from './data/pretrain-transform.js';
export type { BatchSampler } from './data/sampler.js';
export { UserError } from './errors.js';
export { AttentiveProbe } from './models/attentive-probe.js';
export { Cae, type CaeInput, type CaeLosses, type CaePrediction } from './models/cae.js';
export type { CaeConfig } from './models/cae-config.js';
export type { Classifier, Probe } from './models/classifier.js';
export { encoderFeatures, FeatureEncoder, type Pool } from './models/feature-encoder.js';
export { LinearProbe } from './models/linear-probe.js';
export { type EncoderLoad, loadEncoder } from './models/load-encoder.js';
export { loadPretrainedEncoder } from './models/pretrained-encoder.js';
export { createModel, modelConfig, modelNames } from './models/registry.js';
export { VisionTransformer } from './models/vision-transformer.js';
export type { VitConfig } from './models/vit-config.js';
export { classifierConfig, classifierNames, probeConfig } from './models/vit-registry.js';
export type { Pass } from './nn/block.js';
export { Module } from './nn/module.js';
export { AdamW, type AdamwOptions, type AdamwStep } from './optim/adamw.js';
export { WeightAverage } from './optim/ema.js';
export { GradientScaler, type GradientScalerOptions } from './optim/gradient-scaler.js';
export { Lars, type LarsOptions } from './optim/lars.js';
export { type LayerDecayOptions, layerDecayGroups, skippedDecay } from './optim/layer-decay.js';
export type { Optimizer, OptimizerStep, StepRates, UpdateOptions } from './optim/optimizer.js';
export { type ParameterGroup, parameterGroups } from './optim/parameter-groups.js';
export {
  type CosineSchedule,
  cosineSchedule,
  type EpochCosineSchedule,
  epochCosineSchedule,
} from './optim/schedules.js';
export { Sgd, type SgdOptions } from './optim/sgd.js';
export { chooseDevice, type DeviceChoice, defaultDevice, setDefaultDevice } from './tensor/device.js';
export { labelRanks, smoothCrossEntropy, softCrossEntropy } from './tensor/ops/class-loss.js';
export { crossEntropy } from './tensor/ops/loss.js';
export { cast } from './tensor/ops/pointwise.js';
export { Parameter } from './tensor/parameter.js';
export { keep, scope } from './tensor/scope.js';
export { noGrad, withTape } from './tensor/tape.js';
export { type Device, type Dtype, readAll, Tensor } from './tensor/tensor.js';
export { type KnnAccuracy, type KnnOptions, knnAccuracies, type LabelledFeatures } from './training/knn.js';
export { patchIds } from './training/patch-ids.js';
export { Scores } from './training/scores.js';
