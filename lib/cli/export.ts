import type { Command } from 'commander';
import { openWeights } from '../checkpoint/weights-file.js';
import { UserError } from '../errors.js';
import { encoderEntries } from '../models/pretrained-encoder.js';
import { encoderFacts, publishedHeads } from '../models/reference-config.js';
import { classifierOfTensors } from '../models/saved-classifier.js';
import { opsetVersion, writeOnnx } from '../onnx/graph.js';
import { tableHeads, vitToOnnx } from '../onnx/vision-transformer.js';
import {
  addFlags,
  choiceFlag,
  type FlagValues,
  flagValues,
  intFlag,
  required,
  switchFlag,
  textFlag,
} from './flags.js';
import * as limits from './limits.js';
import { toldNormalization } from './told-normalization.js';

const flags = {
  onnx: textFlag(undefined, 'ONNX file to write'),
  checkpoint: textFlag(undefined, 'folder of a run or of its checkpoint, a .safetensors, or a .pth'),
  features: choiceFlag(
    ['cls', 'mean', 'tokens', 'classifier'],
    'cls',
    'what it gives: the cls token, the mean of the patches, all tokens, or the logits of a classifier',
  ),
  input_size: intFlag(undefined, "side of the pictures [pixels]; default: the checkpoint's", limits.side),
  num_heads: intFlag(
    undefined,
    "heads; default: the checkpoint's, or the published model's of its width",
    limits.width,
  ),
  imagenet_default_mean_and_std: switchFlag(
    "note ImageNet's mean and deviation in the file, not the checkpoint's",
  ),
  model_key: textFlag(
    'model|module|state_dict',
    'where a .pth holds its weights, tried in this order',
    'keys',
  ),
} as const;

/** Adds the command's flags and action. */
export function register(command: Command): void {
  addFlags(command, flags).action(async (parsed: Record<string, unknown>) => {
    await exportOnnx(flagValues(flags, parsed));
  });
}

async function exportOnnx(values: FlagValues<typeof flags>): Promise<void> {
  const path = required('onnx', values.onnx);
  using weights = await openWeights(required('checkpoint', values.checkpoint), values.model_key);
  const { source } = weights;
  const entries = encoderEntries(weights);
  const facts = encoderFacts(weights);
  const [width = 0, , patch = 0] = entries.get('patch_embed.proj.weight')?.shape ?? [];
  const heads = values.num_heads ?? tableHeads(entries) ?? facts.numHeads ?? publishedHeads(width);
  if (heads === undefined) {
    throw new UserError(
      `${source} does not show its number of heads, and no published model is ${width} wide; give --num_heads`,
    );
  }
  const rows = entries.get('pos_embed')?.shape[1];
  const stored = facts.imageSize ?? (rows === undefined ? undefined : Math.sqrt(rows - 1) * patch);
  const imageSize = required('input_size', values.input_size ?? stored);
  const flag = values.imagenet_default_mean_and_std ? 'imagenet' : undefined;
  const task = classifierOfTensors(entries)?.task;
  const { normalization, assumed } = toldNormalization(flag, facts, task, source);
  const imagenet = normalization === 'imagenet';
  const metadata = {
    features: values.features,
    input_size: String(imageSize),
    mean: imagenet ? '0.485,0.456,0.406' : '0.5,0.5,0.5',
    std: imagenet ? '0.229,0.224,0.225' : '0.5,0.5,0.5',
  };
  const model = vitToOnnx({
    ...{ entries, heads, imageSize, features: values.features, metadata, source },
    meanPooling: facts.useMeanPooling === true,
  });
  await writeOnnx(path, model);
  if (assumed !== null) process.stderr.write(`${assumed}\n`);
  const side = `${imageSize}x${imageSize}`;
  process.stdout.write(
    `wrote ${path}: ${values.features} of [batch, 3, ${side}], opset ${opsetVersion}, ${(model.byteLength / 1e6).toFixed(1)} MB\n`,
  );
}
