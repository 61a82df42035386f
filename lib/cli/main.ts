#!/usr/bin/env node
import { Command, CommanderError } from 'commander';
import { machineError, UserError } from '../errors.js';
import { endureClosedOutput } from './closed-output.js';
import { normalizeFlagSpelling, usageExitCode } from './flag-spelling.js';

/** What a command's module exports: it adds its flags and its action. */
interface CommandModule {
  register(command: Command): void;
}

/** Loaded when called for: `--help` and `doctor` must work where the native addon does not. */
const commands: Readonly<Record<string, { summary: string; load(): Promise<CommandModule> }>> = {
  pretrain: {
    summary: 'pretrain a Context AutoEncoder on a folder of pictures',
    load: () => import('./pretrain.js'),
  },
  'train-tokenizer': {
    summary: 'train the discrete VAE that gives pretraining its targets',
    load: () => import('./train-tokenizer.js'),
  },
  reconstruct: {
    summary: 'draw what a pretrained model predicts for masked pictures',
    load: () => import('./reconstruct.js'),
  },
  convert: {
    summary: 'turn checkpoints into .pth, .safetensors or a run folder, and back',
    load: () => import('./convert.js'),
  },
  linear: {
    summary: 'probe a frozen encoder with a linear classifier',
    load: () => import('./linear.js'),
  },
  attentive: {
    summary: 'probe a frozen encoder with an attentive classifier',
    load: () => import('./attentive.js'),
  },
  finetune: {
    summary: 'train a classifier from a pretrained encoder',
    load: () => import('./finetune.js'),
  },
  eval: { summary: 'measure a trained classifier', load: () => import('./eval.js') },
  embed: { summary: 'write the features of pictures to a file', load: () => import('./embed.js') },
  knn: {
    summary: 'classify by the nearest neighbours among an encoder’s features',
    load: () => import('./knn.js'),
  },
  export: {
    summary: "write an encoder or classifier in another program's format: ONNX",
    load: () => import('./export.js'),
  },
  parity: {
    summary: 'compare computations with golden numbers of the reference',
    load: () => import('./parity.js'),
  },
  bench: { summary: 'time training steps on random data', load: () => import('./bench.js') },
  doctor: {
    summary: 'say what this machine offers and what is missing',
    load: () => import('./doctor.js'),
  },
};

/** The program with the named command's flags; the others are there for help alone. */
async function buildProgram(called: string | undefined): Promise<Command> {
  const program = new Command('cae-native')
    .description('Pretrain and use Context AutoEncoder (CAE) vision transformers')
    .configureOutput({ writeErr: () => undefined, outputError: () => undefined })
    .exitOverride()
    .helpCommand(false)
    .showSuggestionAfterError(true);
  for (const [name, { summary, load }] of Object.entries(commands)) {
    const command = program
      .command(name)
      .description(summary)
      .option('--verbose', 'print the stack of an error');
    if (name === called) (await load()).register(command);
  }
  return program;
}

/** Prints an error as one line. @returns the exit status */
function report(error: unknown, verbose: boolean): number {
  const say = (text: string): void => {
    process.stderr.write(`cae-native: ${text.trim().replaceAll(/\s*\n\s*/g, ' ')}\n`);
  };
  let status = 1;
  if (error instanceof CommanderError) {
    if (error.exitCode === 0) return 0;
    status = usageExitCode;
    say(
      error.code === 'commander.help'
        ? `name a command: ${Object.keys(commands).join(', ')}; cae-native --help says more`
        : error.message.replace(/^error: /, ''),
    );
  } else if (error instanceof UserError) {
    status = error.exitCode;
    say(error.message);
  } else if (machineError(error) !== null) {
    say(machineError(error) as string);
  } else {
    say(`internal error: ${error instanceof Error ? error.message : String(error)}`);
  }
  if (verbose && error instanceof Error) process.stderr.write(`${error.stack}\n`);
  return status;
}

const args = normalizeFlagSpelling(process.argv.slice(2));
const called = args.find((arg) => !arg.startsWith('-'));
endureClosedOutput(called);
try {
  const program = await buildProgram(called);
  await program.parseAsync(args, { from: 'user' });
} catch (error) {
  // Not left to the event loop: a loader or a stream may still be at work when an error ends the run.
  process.exit(report(error, args.includes('--verbose')));
}
