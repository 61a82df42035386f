import type { ClassifierTask } from '../models/saved-classifier.js';
import type { engineFlags, trainingFlags } from './classify-flags.js';
import { type FlagValues, required, wants } from './flags.js';
import { checkReferenceRun } from './run-flags.js';

/** Values of the flags of a tool that trains classifiers. */
export type ClassifyFlags = FlagValues<typeof trainingFlags> & FlagValues<ReturnType<typeof engineFlags>>;

/**
 * Refuses what this build does not do, and flags that exclude each other, rather than ignoring them.
 * @throws UserError naming the flag
 */
export function checkClassifyFlags(task: ClassifierTask, flags: ClassifyFlags): void {
  const both = (a: keyof ClassifyFlags, b: keyof ClassifyFlags): void =>
    wants(!(flags[a] === true && flags[b] === true), `--${a} and --${b} exclude each other`);
  required('data_path', flags.data_path);
  required('output_dir', flags.output_dir);
  both('save_ckpt', 'no_save_ckpt');
  both('use_cls', 'use_mean_pooling');
  both('rel_pos_bias', 'disable_rel_pos_bias');
  both('sin_pos_emb', 'disable_sin_pos_emb');
  checkReferenceRun(flags);
  wants(!flags.dist_on_itp, '--dist_on_itp: this build trains in one process; leave it out');
  wants(!flags.enable_deepspeed, '--enable_deepspeed is not part of this build; leave it out');
  wants(flags.drop === 0, `--drop ${flags.drop}: this build has no dropout; give 0, or use --drop_path`);
  wants(flags.attn_drop_rate === 0, `--attn_drop_rate ${flags.attn_drop_rate}: this build has none; give 0`);
  wants(
    !flags.abs_pos_emb,
    '--abs_pos_emb: this build has sine-cosine and relative positions; use --sin_pos_emb or --rel_pos_bias',
  );
  wants(
    flags.data_set !== 'IMNET100',
    '--data_set IMNET100 is not part of this build; make folders of its classes and use IMNET',
  );
  wants(
    !(flags.enable_linear_eval && task === 'finetune'),
    '--enable_linear_eval: fine-tuning trains all weights; use cae-native linear or attentive',
  );
  wants(
    flags.cutmix_minmax.length === 0 || flags.cutmix_minmax.length === 2,
    `--cutmix_minmax takes two numbers, not ${flags.cutmix_minmax.length}`,
  );
  wants(
    task === 'finetune' || flags.batch_size >= 2,
    '--batch_size 1: batch normalisation needs two pictures; give 2 or more',
  );
  wants(
    !(flags.random && flags.finetune === undefined && flags.model === undefined),
    '--random: give the --model, or a checkpoint with --finetune, whose sizes it has',
  );
  wants(
    !(flags.cache_features && task === 'finetune'),
    '--cache_features: fine-tuning changes the encoder with every step; it is for the probes',
  );
  const mixes = flags.mixup > 0 || flags.cutmix > 0 || flags.cutmix_minmax.length > 0;
  wants(
    !mixes || flags.batch_size % 2 === 0,
    `--batch_size ${flags.batch_size} with --mixup or --cutmix: pictures are mixed in pairs; give an even number`,
  );
  const augmented = mixes || flags.reprob > 0 || policyOf(flags) !== '';
  wants(
    !(flags.cache_features && (augmented || (task === 'attentive' && flags.color_jitter > 0))),
    '--cache_features sees each picture as evaluation does: leave out --mixup, --cutmix, --reprob, --aa, --color_jitter',
  );
  wants(
    !(flags.layer_decay < 1 && task !== 'finetune'),
    `--layer_decay ${flags.layer_decay}: the encoder is frozen; leave it out`,
  );
}

/** The RandAugment policy; empty for none. */
export function policyOf({ aa }: Pick<ClassifyFlags, 'aa'>): string {
  return aa === 'none' ? '' : aa;
}
