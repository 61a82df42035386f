import { spawnSync } from 'node:child_process';
import {
  chmodSync,
  cpSync,
  existsSync,
  mkdirSync,
  readFileSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { delimiter, dirname, join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { temporaryFolder } from '../logging/temp-folder.js';

const root = join(import.meta.dirname, '../..');

/** A checkout with the real scripts, except `programs`, which are shell scripts in front of PATH or at their path. */
function checkout(programs: Record<string, string>) {
  const folder = temporaryFolder();
  cpSync(join(root, 'scripts'), join(folder, 'scripts'), { recursive: true });
  symlinkSync(join(root, 'node_modules'), join(folder, 'node_modules'));
  for (const [path, text] of Object.entries(programs)) {
    const file = path.includes('/') ? join(folder, path) : join(folder, 'bin', path);
    mkdirSync(dirname(file), { recursive: true });
    writeFileSync(file, /\.m?js$/.test(file) ? text : `#!/bin/bash\n${text}\n`);
    chmodSync(file, 0o755);
  }
  return folder;
}

function run(folder: string, env: NodeJS.ProcessEnv, script: string, ...args: string[]) {
  const path = `${join(folder, 'bin')}${delimiter}${process.env['PATH']}`;
  return spawnSync(join(folder, script), args, {
    cwd: folder,
    env: { ...process.env, PATH: path, ...env },
    encoding: 'utf8',
  });
}

describe('test.sh', () => {
  const report = '{"numPassedTests":7,"numFailedTests":0,"testResults":[]}';
  const vitest = `for a in "$@"; do case "$a" in --outputFile.json=*) echo '${report}' >"\${a#*=}";; esac; done`;
  const lastLines = (text: string) => text.trimEnd().split('\n').slice(-2);

  it.each([
    ['all is well', { npm: ':', npx: vitest }, '7 passed, 0 failed', 0],
    [
      'the linter fails: the tests run all the same',
      { npm: '[ "$2" != check ]', npx: vitest },
      '7 passed, 1 failed',
      1,
    ],
    ['the build fails', { npm: '[ "$2" != build ]', npx: vitest }, '0 passed, 1 failed', 1],
    ['the test run crashes', { npm: ':', npx: 'exit 139' }, '0 passed, 1 failed', 1],
    [
      'the emulated device fails',
      { npm: ':', npx: vitest, 'scripts/test-emulated.sh': '[ "$1" = --asan ]' },
      '7 passed, 1 failed',
      1,
    ],
    [
      'the emulated device fails under AddressSanitizer, and the CUDA build',
      {
        npm: ':',
        npx: vitest,
        'scripts/test-emulated.sh': '[ "$1" != --asan ]',
        'scripts/check-cuda-build.sh': 'exit 1',
      },
      '7 passed, 2 failed',
      1,
    ],
    [
      'the packages do not install',
      { npm: ':', npx: vitest, 'scripts/check-packages.sh': 'exit 1' },
      '7 passed, 1 failed',
      1,
    ],
  ])('ends with the counts where %s', (_case, programs, line, status) => {
    const folder = checkout({
      'scripts/install-deps.sh': '[ "$1" = --checks ]',
      'scripts/test-emulated.sh': ':',
      'scripts/check-cuda-build.sh': ':',
      'scripts/check-packages.sh': ':',
      ...programs,
    });
    const result = run(folder, {}, 'scripts/test.sh');
    const [minutes, counts] = lastLines(result.stdout);
    expect(minutes).toMatch(/^\d+\.\d minutes used$/);
    expect(counts).toBe(line);
    expect(result.status).toBe(status);
  });

  it('stops where something cannot be installed', () => {
    const folder = checkout({ 'scripts/install-deps.sh': 'exit 1', npm: 'echo reached' });
    const result = run(folder, {}, 'scripts/test.sh');
    expect(result.stdout).toBe('0 passed, 1 failed\n');
    expect(result.status).toBe(1);
  });
});

describe('quickstart.sh', () => {
  // Stands in for the command line: notes its arguments and leaves what a run leaves.
  const commandLine = `
    const fs = require('node:fs');
    const args = process.argv.slice(2);
    fs.appendFileSync('calls.jsonl', JSON.stringify(args) + '\\n');
    const out = args[args.indexOf('--output_dir') + 1];
    if (args[0] === process.env.FAIL) process.exit(3);
    if (args[0] === 'knn' || args[0] === 'linear') console.log('acc@1 ' + (args.includes('--random') ? 35 : 50));
    if (args[0] === 'knn') process.exit(0);
    if (args[0] === 'reconstruct') fs.writeFileSync(args.at(-1), 'picture');
    else {
      fs.mkdirSync(out, { recursive: true });
      fs.writeFileSync(out + '/log.txt', '{"train_loss": 5.0, "train_loss_main": 4.0, "train_mlm_acc": 0.5}\\n');
      for (const epoch of [9, 39]) fs.mkdirSync(out + '/quickstart_checkpoint-' + epoch, { recursive: true });
    }`;
  const programs = {
    'scripts/install-deps.sh': ':',
    npm: '[ "$*" = "run --silent build" ]',
    'dist/cli/main.js': commandLine,
    'scripts/token-statistics.mjs':
      'console.log(JSON.stringify({ vocabulary: 256, used: 192, top_share: 0.05, entropy: 4.5, of: process.argv.slice(2) }));',
  };
  const calls = (folder: string) =>
    readFileSync(join(folder, 'calls.jsonl'), 'utf8')
      .trimEnd()
      .split('\n')
      .map((line) => JSON.parse(line) as string[]);

  it('goes from sample data to a picture, and can be run again', () => {
    const folder = checkout(programs);
    const env = { QUICKSTART_IMAGES: '50', QUICKSTART_EPOCHS: '40', QUICKSTART_LABELLED: '20' };
    const out = join(folder, 'my run');
    const first = run(folder, env, 'scripts/quickstart.sh', 'my run');
    expect(first.stderr).toBe('');
    expect(first.status).toBe(0);
    const [tokenizer, pretrain, reconstruct] = calls(folder);
    const train = join(out, 'data-50/train');
    expect(tokenizer!.slice(0, 5)).toEqual([
      'train-tokenizer',
      '--data_path',
      train,
      '--output_dir',
      `${out}/tokenizer`,
    ]);
    expect(pretrain!.slice(0, 5)).toEqual([
      'pretrain',
      '--data_path',
      train,
      '--output_dir',
      `${out}/pretrain`,
    ]);
    expect(pretrain!.join(' ')).toContain(
      `--discrete_vae_weight_path ${out}/tokenizer --num_mask_patches 32`,
    );
    const pictures = reconstruct!.slice(1, reconstruct!.indexOf('--checkpoint'));
    expect(pictures).toHaveLength(6);
    for (const picture of pictures) expect(existsSync(picture), picture).toBe(true);
    expect(reconstruct!.slice(7)).toEqual([
      ...['--checkpoint', `${out}/pretrain/quickstart_checkpoint-39`],
      ...['--tokenizer', `${out}/tokenizer`, '-o', `${out}/reconstruction.png`],
    ]);
    expect(first.stdout).toContain(
      'CAE token loss  4.0000 -> 4.0000 (guessing: ln 256 = 5.5452; by frequency: 4.5000)',
    );
    expect(first.stdout).toContain("50.0 % of masked tokens (the most frequent token's share: 5.0 %)");
    expect(first.stdout).toContain('192 of 256 words used (75.0 %)');
    const statistics = JSON.parse(readFileSync(join(out, 'tokens.json'), 'utf8'));
    expect(statistics.of).toEqual([train, `${out}/tokenizer`]);
    expect(first.stdout).toContain(`picture         ${out}/reconstruction.png\n`);
    expect(first.stdout.match(/^\[ *\d+s\] /gm)).toHaveLength(9);

    const checkpoint = `${out}/pretrain/quickstart_checkpoint-39`;
    const probes = calls(folder).slice(3);
    expect(probes.map(([command]) => command)).toEqual(['linear', 'knn', 'linear', 'knn']);
    for (const probe of probes) expect(probe).toEqual(expect.arrayContaining([checkpoint]));
    expect(probes.map((probe) => probe.includes('--random'))).toEqual([false, false, true, true]);
    expect(probes[0]!.slice(1, 3)).toEqual(['--data_path', join(out, 'labelled-20')]);
    for (const name of ['linear', 'knn']) {
      expect(first.stdout).toContain(`${name}, pretrained`.padEnd(18).concat('  acc@1 50'));
      expect(first.stdout).toContain(`${name}, random`.padEnd(18).concat('  acc@1 35'));
    }

    const drawn = statSync(pictures[0]!).mtimeMs;
    expect(run(folder, env, 'scripts/quickstart.sh', out).status).toBe(0);
    expect(statSync(pictures[0]!).mtimeMs).toBe(drawn);
  });

  it.each(['train-tokenizer', 'pretrain', 'reconstruct', 'linear', 'knn'])(
    'stops where %s fails',
    (command) => {
      const folder = checkout(programs);
      const result = run(
        folder,
        { QUICKSTART_IMAGES: '50', QUICKSTART_LABELLED: '20', FAIL: command },
        'scripts/quickstart.sh',
      );
      expect(result.status).toBe(3);
      expect(calls(folder).at(-1)![0]).toBe(command);
      expect(result.stdout).not.toContain('Done');
    },
  );
});
