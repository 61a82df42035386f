import type { SafetensorsFile } from '../checkpoint/safetensors-reader.js';
import { Cae } from '../models/cae.js';
import type { CaeConfig } from '../models/cae-config.js';
import { native } from '../native/addon.js';
import type { StateEntry } from '../nn/module.js';
import { AdamW } from '../optim/adamw.js';
import { parameterGroups } from '../optim/parameter-groups.js';
import { scope } from '../tensor/scope.js';
import { withTape } from '../tensor/tape.js';
import { type NumberArray, Tensor } from '../tensor/tensor.js';
import { patchIds } from '../training/patch-ids.js';
import { fixtureConfig } from './fixture-config.js';
import type { Computed, ParityOptions } from './types.js';

interface StepConfig {
  align_loss_weight: number;
  batch: number;
  num_masked: number;
  model: Record<string, number>;
  optim: {
    betas: [number, number];
    clip_grad: number;
    eps: number;
    lr: number[];
    weight_decay: number[];
  };
}

function caeConfig({ model, align_loss_weight: alignLossWeight }: StepConfig): CaeConfig {
  const number = (name: string): number => {
    const value = model[name];
    if (value === undefined) throw new Error(`the fixture's config has no model.${name}`);
    return value;
  };
  return {
    imageSize: number('img_size'),
    patchSize: number('patch_size'),
    embedDim: number('embed_dim'),
    depth: number('depth'),
    numHeads: number('num_heads'),
    mlpRatio: number('mlp_ratio'),
    layerScaleInitValue: number('layer_scale_init_value'),
    dropPath: 0,
    regressorDepth: number('regressor_depth'),
    decoderDepth: number('decoder_depth'),
    decoderEmbedDim: number('decoder_embed_dim'),
    decoderNumHeads: number('decoder_num_heads'),
    decoderNumClasses: number('decoder_num_classes'),
    decoderLayerScaleInitValue: number('decoder_layer_scale_init_value'),
    alignLossWeight,
  };
}

/** Parameters of a fixture, for `loadStateDict`. */
export function fixtureParameters(file: SafetensorsFile): Map<string, StateEntry> {
  const prefix = 'param.';
  return new Map(
    file
      .names()
      .filter((name) => name.startsWith(prefix))
      .map((name) => [
        name.slice(prefix.length),
        { shape: file.info(name).shape, data: file.readFloat32(name) },
      ]),
  );
}

/** A CAE pretraining step: forward, gradients, then as many AdamW steps as there are learning rates. */
export async function runCaeStep(
  file: SafetensorsFile,
  { device, dtype }: ParityOptions,
): Promise<Map<string, Computed>> {
  const config = fixtureConfig<StepConfig>(file, ['batch', 'model', 'num_masked', 'optim']);
  const model = new Cae(caeConfig(config));
  const { missing, unexpected } = model.loadStateDict(fixtureParameters(file));
  const odd = [...missing, ...unexpected.filter((name) => !name.endsWith('pos_embed'))];
  if (odd.length > 0) throw new Error(`the fixture and the model differ in ${odd.join(', ')}`);

  const ids = patchIds(file.read('input.mask'), config.batch, config.num_masked);
  const images = Tensor.from(file.readFloat32('input.images'), file.info('input.images').shape, device);
  const visible = Tensor.from(ids.visible, [config.batch, ids.visible.length / config.batch], device);
  const masked = Tensor.from(ids.masked, [config.batch, config.num_masked], device);
  const labels = Tensor.from(file.readInt32('input.labels'), file.info('input.labels').shape, device);
  const pass = { dtype, dropPath: null };

  const computed = new Map<string, Computed>();
  const put = (name: string, tensor: Tensor): void => {
    computed.set(name, { data: readable(tensor), shape: tensor.shape });
  };
  const optimizer = new AdamW(parameterGroups(model.namedParameters()), config.optim);
  const losses: number[] = [];
  const norms: number[] = [];
  config.optim.lr.forEach((lr, step) => {
    scope(() => {
      withTape((tape) => {
        const prediction = model.predict({ images, visible, masked }, pass);
        const out = model.losses(prediction, labels, false);
        losses.push(out.loss.item());
        if (step === 0) {
          put('logits', prediction.logits);
          put('latent_predict', prediction.latentPredict);
          put('latent_target', prediction.latentTarget);
          put('loss_main', out.lossMain);
          put('loss_align', out.lossAlign);
        }
        tape.backward(out.loss);
      });
      if (step === 0) {
        for (const [name, parameter] of model.namedParameters()) {
          if (parameter.hasGrad && parameter.grad !== null) put(`grad.${name}`, parameter.grad);
        }
      }
      norms.push(
        optimizer
          .update({
            lr,
            weightDecay: config.optim.weight_decay[step] ?? 0,
            clip: config.optim.clip_grad,
          })
          .item(),
      );
    });
  });
  for (const [name, parameter] of model.namedParameters()) {
    if (parameter.requiresGrad) put(`param_after.${name}`, parameter);
  }
  computed.set('loss_per_step', { data: Float64Array.from(losses), shape: [losses.length] });
  computed.set('grad_norm', { data: Float64Array.from(norms), shape: [norms.length] });
  for (const tensor of [images, visible, masked, labels]) tensor.release();
  optimizer.dispose();
  model.dispose();
  return computed;
}

/** Values as numbers: bf16 and f16 ones are widened. */
function readable(tensor: Tensor): NumberArray {
  if (tensor.dtype !== 'bf16' && tensor.dtype !== 'f16') return tensor.dataSync();
  return scope(() => new Tensor(native.cast(tensor.handle, 'f32')).dataSync());
}
