/** The public API: models, optimizers, data and checkpoints for experiments in TypeScript. */
export { SafetensorsFile } from './checkpoint/safetensors-reader.js';
export { writeSafetensors } from './checkpoint/safetensors-writer.js';
export { createMaskGenerator, type MaskGenerator, type MaskOptions } from './data/masks.js';
export {
  createPretrainLoader,
  type PretrainBatch,
  type PretrainLoader,
  type PretrainLoaderOptions,
} from './data/pretrain-transform.js';
export type { BatchSampler } from './data/sampler.js';
export { UserError } from './errors.js';
export { Cae, type CaeInput, type CaeLosses, type CaePrediction } from './models/cae.js';
export type { CaeConfig } from './models/cae-config.js';
export { createModel, modelConfig, modelNames } from './models/registry.js';
export type { Pass } from './nn/block.js';
export { Module } from './nn/module.js';
export { AdamW, type AdamwOptions, type AdamwStep } from './optim/adamw.js';
export { type ParameterGroup, parameterGroups } from './optim/parameter-groups.js';
export { type CosineSchedule, cosineSchedule } from './optim/schedules.js';
export { chooseDevice, type DeviceChoice, defaultDevice, setDefaultDevice } from './tensor/device.js';
export { Parameter } from './tensor/parameter.js';
export { keep, scope } from './tensor/scope.js';
export { noGrad, withTape } from './tensor/tape.js';
export { type Device, type Dtype, readAll, Tensor } from './tensor/tensor.js';
export { patchIds } from './training/patch-ids.js';
