import { existsSync, readdirSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import {
  type CheckpointManifest,
  readManifest,
  stateFileName,
  verifyCheckpoint,
} from '../checkpoint/checkpoint-state.js';
import { fileError } from '../checkpoint/file-errors.js';
import { digestFile } from '../checkpoint/file-sink.js';
import { listCheckpoints } from '../checkpoint/run-folder.js';
import { UserError } from '../errors.js';

const weightsName = 'model.safetensors';
/** What can be an experiment's name; folders that begin with a dot are what killed saves left. */
const checkpointOf = /^([\w+=,@%-][\w.+=,@%-]{0,199})_checkpoint-[\w.-]+$/;
/** How many checkpoints that were passed over an error speaks of. */
const maxReasons = 3;

/**
 * The weights of a tokenizer's folder: of the folder itself where it is a checkpoint, else of the newest valid
 * checkpoint of train-tokenizer in it, under whatever experiment's name and beside whatever other runs.
 *
 * @returns path of the safetensors file, checked against the checksum where one was saved
 * @throws UserError where there is none, saying what was passed over and why, or where the folder cannot be read
 */
export async function tokenizerWeightsIn(folder: string): Promise<string> {
  const direct = join(folder, weightsName);
  if (existsSync(direct)) {
    await verifyWeights(direct);
    return direct;
  }
  const passedOver: string[] = [];
  const tokenizers: { folder: string; manifest: CheckpointManifest }[] = [];
  for (const name of experimentsIn(folder)) {
    for (const { folder: found, manifest, problem } of listCheckpoints(folder, name)) {
      if (problem !== undefined) passedOver.push(problem);
      else if (manifest !== undefined && isTokenizer(manifest)) tokenizers.push({ folder: found, manifest });
    }
  }
  tokenizers.sort(
    (a, b) => b.manifest.globalStep - a.manifest.globalStep || b.manifest.epoch - a.manifest.epoch,
  );
  for (const { folder: found } of tokenizers) {
    try {
      await verifyCheckpoint(found);
      return join(found, weightsName);
    } catch (error) {
      if (!(error instanceof UserError)) throw error;
      passedOver.push(error.message);
    }
  }
  const more = passedOver.length > maxReasons ? `; and ${passedOver.length - maxReasons} more` : '';
  const reasons =
    passedOver.length === 0 ? '' : `; passed over: ${passedOver.slice(0, maxReasons).join('; ')}${more}`;
  throw new UserError(
    `${folder} holds no tokenizer: no model.safetensors and no valid checkpoint of train-tokenizer; give its --output_dir${reasons}`,
  );
}

/**
 * Checks the weights of a checkpoint's folder against the state.json beside them; without one there is nothing to
 * check against.
 *
 * @throws UserError where they differ, or state.json cannot be used
 */
export async function verifyWeights(path: string): Promise<void> {
  const folder = dirname(path);
  if (basename(path) !== weightsName || !existsSync(join(folder, stateFileName))) return;
  const saved = readManifest(folder).files[weightsName];
  if (saved !== undefined && (await digestFile(path)).sha256 !== saved.sha256) {
    throw new UserError(`${path} does not match its checksum; use another checkpoint`);
  }
}

function isTokenizer({ state }: CheckpointManifest): boolean {
  return (state['model'] as { kind?: unknown } | undefined)?.kind === 'discrete-vae';
}

function experimentsIn(folder: string): Set<string> {
  try {
    return new Set(readdirSync(folder).flatMap((name) => checkpointOf.exec(name)?.[1] ?? []));
  } catch (error) {
    throw fileError('list', folder, error);
  }
}
