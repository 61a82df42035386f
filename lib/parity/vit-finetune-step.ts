import type { SafetensorsFile } from '../checkpoint/safetensors-reader.js';
import { VisionTransformer } from '../models/vision-transformer.js';
import type { VitConfig } from '../models/vit-config.js';
import { AdamW } from '../optim/adamw.js';
import { layerDecayGroups } from '../optim/layer-decay.js';
import type { ParameterGroup } from '../optim/parameter-groups.js';
import { softCrossEntropy } from '../tensor/ops/class-loss.js';
import { scope } from '../tensor/scope.js';
import { withTape } from '../tensor/tape.js';
import { Tensor } from '../tensor/tensor.js';
import { fixtureParameters } from './cae-step.js';
import { fixtureConfig } from './fixture-config.js';
import type { Computed, ParityOptions } from './types.js';

interface StepConfig {
  expect_groups: Record<string, { decay: boolean; lr_scale: number }>;
  layer_decay: number;
  model: {
    depth: number;
    embed_dim: number;
    img_size: number;
    init_scale: number;
    layer_scale_init_value: number;
    mlp_ratio: number;
    num_classes: number;
    num_heads: number;
    patch_size: number;
    rel_pos_bias: boolean;
    sin_pos_emb: boolean;
    use_mean_pooling: boolean;
  };
  optim: {
    betas: [number, number];
    clip_grad: number;
    eps: number;
    lr: number[];
    weight_decay: number[];
  };
}

function vitConfig({ model }: StepConfig): VitConfig {
  return {
    imageSize: model.img_size,
    patchSize: model.patch_size,
    embedDim: model.embed_dim,
    depth: model.depth,
    numHeads: model.num_heads,
    mlpRatio: model.mlp_ratio,
    layerScaleInitValue: model.layer_scale_init_value,
    dropPath: 0,
    numClasses: model.num_classes,
    sinPosEmb: model.sin_pos_emb,
    relPosBias: model.rel_pos_bias,
    sharedRelPosBias: false,
    useMeanPooling: model.use_mean_pooling,
    initScale: model.init_scale,
  };
}

/** @throws Error naming a parameter whose scale or decay differs, or that only one side has */
export function checkGroups(
  groups: readonly ParameterGroup[],
  wanted: Readonly<Record<string, { decay: boolean; lr_scale: number }>>,
): void {
  const left = new Map(Object.entries(wanted));
  for (const { name, lrScale, decay } of groups) {
    const of = left.get(name);
    if (of === undefined) throw new Error(`the fixture has no group for ${name}`);
    // Python's power and this one's may differ in the last place.
    if (Math.abs(lrScale / of.lr_scale - 1) > 1e-14 || decay !== of.decay) {
      throw new Error(
        `${name}: learning rate × ${lrScale}, decay ${decay}; the fixture has × ${of.lr_scale}, ${of.decay}`,
      );
    }
    left.delete(name);
  }
  if (left.size > 0) throw new Error(`there is no group for ${[...left.keys()].join(', ')}`);
}

/** A fine-tuning step: logits, soft-target loss, gradients, then AdamW steps with layer-wise learning rates. */
export async function runVitFinetuneStep(
  file: SafetensorsFile,
  { device, dtype }: ParityOptions,
): Promise<Map<string, Computed>> {
  const config = fixtureConfig<StepConfig>(file, ['expect_groups', 'layer_decay', 'model', 'optim']);
  const model = new VisionTransformer(vitConfig(config));
  const { missing, unexpected } = model.loadStateDict(fixtureParameters(file));
  const odd = [...missing, ...unexpected];
  if (odd.length > 0) throw new Error(`the fixture and the model differ in ${odd.join(', ')}`);
  const groups = layerDecayGroups(model.namedParameters(), {
    depth: config.model.depth,
    layerDecay: config.layer_decay,
  });
  checkGroups(groups, config.expect_groups);

  const images = Tensor.from(file.readFloat32('input.images'), file.info('input.images').shape, device);
  const targetShape = file.info('input.soft_targets').shape;
  const targets = Tensor.from(file.readFloat32('input.soft_targets'), targetShape, device);
  const computed = new Map<string, Computed>();
  const put = (name: string, tensor: Tensor): void => {
    computed.set(name, { data: tensor.dataSync(), shape: tensor.shape });
  };
  const index = model.stateDict().get('blocks.0.attn.relative_position_index');
  if (index !== undefined) put('relative_position_index', index);
  const optimizer = new AdamW(groups, config.optim);
  const losses: number[] = [];
  const norms: number[] = [];
  config.optim.lr.forEach((lr, step) => {
    scope(() => {
      withTape((tape) => {
        const logits = model.forward(images, { dtype, dropPath: null }, true);
        const loss = softCrossEntropy(logits, targets);
        losses.push(loss.item());
        if (step === 0) {
          put('logits', logits);
          put('loss', loss);
        }
        tape.backward(loss);
      });
      for (const [name, parameter] of model.namedParameters()) {
        if (step === 0 && parameter.hasGrad && parameter.grad !== null) put(`grad.${name}`, parameter.grad);
      }
      const weightDecay = config.optim.weight_decay[step] ?? 0;
      norms.push(optimizer.update({ lr, weightDecay, clip: config.optim.clip_grad }).item());
    });
  });
  for (const [name, parameter] of model.namedParameters()) put(`param_after.${name}`, parameter);
  computed.set('loss_per_step', { data: Float64Array.from(losses), shape: [losses.length] });
  computed.set('grad_norm', { data: Float64Array.from(norms), shape: [norms.length] });
  for (const tensor of [images, targets]) tensor.release();
  optimizer.dispose();
  model.dispose();
  return computed;
}
