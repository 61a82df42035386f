import { extname } from 'node:path';
import type { Command } from 'commander';
import { exportSafetensors, exportTorch, writeTensors } from '../checkpoint/export-checkpoint.js';
import { describing, modelDescription } from '../checkpoint/run-description.js';
import { toTimm } from '../checkpoint/timm-names.js';
import { type TorchStorages, writeTorchArchive } from '../checkpoint/torch-writer.js';
import { openWeights, type Weights } from '../checkpoint/weights-file.js';
import { oneLine } from '../errors.js';
import { encoderTensors } from '../models/pretrained-encoder.js';
import { importCheckpoint } from '../training/import-checkpoint.js';
import { checkTarget } from './convert-target.js';
import { addFlags, choiceFlag, type FlagValues, flagValues, intFlag, textFlag, usageError } from './flags.js';
import * as limits from './limits.js';

const flags = {
  to: choiceFlag(
    ['reference', 'timm'],
    'reference',
    "names of the tensors; timm: an encoder's, for its VisionTransformer",
  ),
  model_key: textFlag(
    'model|module|state_dict',
    'where a .pth holds its weights, tried in this order',
    'keys',
  ),
  model: textFlag(undefined, 'published model, for a run of a .pth whose args do not name it', 'name'),
  num_heads: intFlag(undefined, 'heads of the encoder, which tensors do not show', limits.width),
  decoder_num_heads: intFlag(undefined, 'heads of regressor and decoder', limits.width),
} as const;

const torchEndings = ['.pth', '.pt', '.bin', '.ckpt'];

/** Adds the command's flags and action. */
export function register(command: Command): void {
  command
    .argument(
      '<in>',
      "a .pth (either of PyTorch's layouts), a .safetensors, or the folder of a run's checkpoint",
    )
    .argument('<out>', 'a .pth, a .safetensors, or a folder for a checkpoint; the ending decides');
  addFlags(command, flags).action(async (from: string, to: string, parsed: Record<string, unknown>) => {
    await convert(from, to, flagValues(flags, parsed));
  });
}

async function convert(from: string, to: string, values: FlagValues<typeof flags>): Promise<void> {
  const ending = extname(to);
  const isTorch = torchEndings.includes(ending);
  if (!isTorch && ending !== '.safetensors' && /^\.[a-z]+$/i.test(ending)) {
    throw usageError(`${to}: the ending ${ending} is not known; use .pth, .safetensors, or a folder's name`);
  }
  using weights = await openWeights(from, values.model_key);
  checkTarget(weights, from, to, !isTorch && ending !== '.safetensors');
  let written = to;
  let notes: readonly string[] = [];
  if (values.to === 'timm') await writeTimm(weights, to, isTorch);
  else if (isTorch) notes = await exportTorch(weights, to);
  else if (ending === '.safetensors') notes = await exportSafetensors(weights, to);
  else {
    ({ folder: written, notes } = await importCheckpoint(weights, to, {
      model: values.model,
      numHeads: values.num_heads,
      decoderNumHeads: values.decoder_num_heads,
    }));
  }
  process.stdout.write(`wrote ${written}\n`);
  for (const note of notes) process.stdout.write(`${oneLine(note)}\n`);
}

/** timm reads tensors alone, from either kind of file; safetensors have room for what a run says of its model. */
async function writeTimm(weights: Weights, to: string, isTorch: boolean): Promise<void> {
  if (!isTorch && extname(to) !== '.safetensors') {
    throw usageError(`--to timm writes a file; give ${to} the ending .pth or .safetensors`);
  }
  const renamed = toTimm(encoderTensors(weights.tensors), weights.source);
  if (isTorch) await writeTorchArchive(to, (storages: TorchStorages) => storages.stateDict(renamed));
  else {
    const model = modelDescription(weights);
    await writeTensors(to, renamed, { format: 'pt', ...(model === undefined ? {} : describing(model)) });
  }
}
