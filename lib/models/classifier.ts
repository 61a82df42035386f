import type { Pass } from '../nn/block.js';
import type { Module } from '../nn/module.js';
import type { Tensor } from '../tensor/tensor.js';

/** A model that tells classes of pictures. */
export interface Classifier extends Module {
  readonly classes: number;
  /**
   * @param images [B, 3, H, W], normalised
   * @param training whether stochastic depth acts, and batch normalisation sees the batch
   * @returns f32 logits [B, classes]
   */
  forward(images: Tensor, pass: Pass, training: boolean): Tensor;
}

/** A classifier whose encoder is frozen: what it sees of a picture can be computed once and kept. */
export interface Probe extends Classifier {
  /** What the frozen encoder gives the head, f32, without gradient: [B, C], or all tokens [B, T, C]. */
  features(images: Tensor, pass: Pass): Tensor;
  /** @returns f32 logits [B, classes] */
  head(features: Tensor, pass: Pass, training: boolean): Tensor;
}
