import type { LoopOptions } from '../training/loop.js';
import { required, wants } from './flags.js';
import { checkWarmupEpochs, type RunLengthFlags } from './run-length.js';

/** Flags of every command that trains: where a run lies, how it goes on and what it keeps. */
export interface RunFlags {
  readonly output_dir: string | undefined;
  readonly log_dir: string | undefined;
  readonly epochs: number;
  readonly update_freq: number;
  readonly batch_size: number;
  readonly save_ckpt_freq: number;
  readonly save_every_steps: number | undefined;
  readonly keep_last: number | undefined;
  readonly no_auto_resume: boolean;
  readonly resume: string | undefined;
  /** first epoch of a run that does not resume; default 0 */
  readonly start_epoch?: number;
}

/** The part of a run's options that flags say alone. @throws UserError where `--output_dir` is missing */
export function runOptions(flags: RunFlags, stepsPerEpoch: number) {
  return {
    outputDir: required('output_dir', flags.output_dir),
    logDir: flags.log_dir,
    epochs: flags.epochs,
    startEpoch: flags.start_epoch ?? 0,
    stepsPerEpoch,
    updateFreq: flags.update_freq,
    batchSize: flags.batch_size,
    saveCkptFreq: flags.save_ckpt_freq,
    saveEverySteps: flags.save_every_steps,
    keepLast: flags.keep_last,
    autoResume: !flags.no_auto_resume,
    resume: flags.resume,
  } satisfies Partial<LoopOptions>;
}

/** Flags of the reference's training tools that this build takes for one value alone, or checks in each of them. */
export interface ReferenceRunFlags extends RunLengthFlags {
  readonly world_size: number;
  readonly local_rank: number;
  readonly dist_url: string;
  readonly auto_resume: boolean;
  readonly no_auto_resume: boolean;
  readonly opt_betas: readonly number[];
  readonly start_epoch: number;
}

/** @throws UserError naming the flag, for several processes, and for what makes no run */
export function checkReferenceRun(flags: ReferenceRunFlags): void {
  const alone = 'this build trains in one process';
  wants(flags.world_size === 1, `--world_size ${flags.world_size}: ${alone}; give 1`);
  wants(flags.local_rank <= 0, `--local_rank ${flags.local_rank}: ${alone}; leave it out`);
  wants(flags.dist_url === 'env://', `--dist_url ${flags.dist_url}: ${alone}; leave it out`);
  wants(
    !(flags.auto_resume && flags.no_auto_resume),
    '--auto_resume and --no_auto_resume exclude each other',
  );
  wants(flags.opt_betas.length === 2, `--opt_betas takes two numbers, not ${flags.opt_betas.length}`);
  wants(
    flags.start_epoch < flags.epochs,
    `--start_epoch ${flags.start_epoch} must be below --epochs ${flags.epochs}`,
  );
  checkWarmupEpochs(flags);
}
