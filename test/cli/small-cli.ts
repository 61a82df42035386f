import { type ChildProcess, spawn } from 'node:child_process';
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { makePictures } from '../training/small-run.js';
import { cliPath, runCli } from './run-cli.js';

/** A data set of a few pictures and a tokenizer trained on it for a step or two, for runs of the command line. */
export interface SmallWorld {
  readonly data: string;
  readonly tokenizer: string;
  /** Flags of a small pretraining run on them; a flag given again behind them wins. */
  flags(outputDir: string): string[];
}

/** Entries of the small tokenizer. */
export const smallVocabulary = 16;

/** Command line of the small tokenizer's training; a flag given again behind it wins. */
export function smallTokenizer(data: string, outputDir: string): string[] {
  return [
    ...['train-tokenizer', '--data_path', data, '--output_dir', outputDir, '--image_size', '32'],
    ...['--num_tokens', String(smallVocabulary), '--dvae_num_layers', '3', '--num_resnet_blocks', '1'],
    ...['--hidden_dim', '8', '--codebook_dim', '8', '--epochs', '1', '--batch_size', '8'],
  ];
}

/** Makes a small world in a folder. */
export async function makeSmallWorld(folder: string, perClass = 8): Promise<SmallWorld> {
  mkdirSync(folder, { recursive: true });
  const data = await makePictures(join(folder, 'data'), perClass);
  const tokenizer = join(folder, 'tokenizer');
  const { status, stderr } = runCli(...smallTokenizer(data, tokenizer));
  if (status !== 0) throw new Error(`train-tokenizer failed: ${stderr}`);
  return {
    data,
    tokenizer,
    flags: (outputDir) => [
      ...['--data_path', data, '--output_dir', outputDir, '--exp_name', 'small'],
      ...['--discrete_vae_type', 'customized', '--discrete_vae_weight_path', tokenizer],
      ...['--model', 'cae_tiny_patch16_224_8k_vocab', '--input_size', '32', '--patch_size', '8'],
      ...['--second_input_size', '32', '--embed_dim', '32', '--depth', '2', '--num_heads', '2'],
      ...['--regressor_depth', '1', '--decoder_depth', '1', '--decoder_embed_dim', '32'],
      ...['--decoder_num_heads', '2', '--decoder_num_classes', String(smallVocabulary)],
      ...['--num_mask_patches', '8', '--min_mask_patches_per_block', '2', '--batch_size', '4'],
      ...['--drop_path', '0.1', '--warmup_epochs', '0', '--num_workers', '2', '--threads', '1'],
    ],
  };
}

/** Starts a run and leaves it running. */
export function startCli(...args: string[]): ChildProcess {
  return spawn(process.execPath, [cliPath, ...args], { stdio: ['ignore', 'pipe', 'pipe'] });
}
