import { spawnSync } from 'node:child_process';
import { chmodSync, copyFileSync, mkdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { temporaryFolder } from '../logging/temp-folder.js';

const root = join(import.meta.dirname, '../..');

/** A checkout that holds `scripts/<script>` and these files. */
function checkout(script: string, files: Record<string, string> = {}): string {
  const folder = temporaryFolder();
  for (const [path, text] of Object.entries(files)) {
    mkdirSync(dirname(join(folder, path)), { recursive: true });
    writeFileSync(join(folder, path), text);
  }
  mkdirSync(join(folder, 'scripts'), { recursive: true });
  copyFileSync(join(root, 'scripts', script), join(folder, 'scripts', script));
  return folder;
}

function run(folder: string, command: string[], env: NodeJS.ProcessEnv = process.env) {
  const [program = '', ...args] = command;
  const { status, stdout, stderr } = spawnSync(program, args, { cwd: folder, env, encoding: 'utf8' });
  return { status, stdout, stderr };
}

describe('install-deps.sh', () => {
  const bash = '/bin/bash';
  const lock =
    '{"packages":{"":{},"node_modules/a":{"version":"1.0.0"},"node_modules/b":{"version":"2.0.0","optional":true}}}';
  const installed = '{"packages":{"node_modules/a":{"version":"1.0.0"}}}';

  /** A machine with these programs only: a text is a shell script, true the real program. */
  function machine(programs: Record<string, string | true>, files: Record<string, string> = {}) {
    const folder = checkout('install-deps.sh', {
      'package-lock.json': lock,
      'node_modules/.package-lock.json': installed,
      ...files,
    });
    const bin = join(folder, 'bin');
    mkdirSync(bin);
    const all = { dirname: true, grep: true, node: true, ...programs } as const;
    for (const [name, text] of Object.entries(all)) {
      const path = join(bin, name);
      if (text === true) {
        const real = name === 'node' ? process.execPath : run('/', ['which', name]).stdout.trim();
        symlinkSync(real, path);
      } else {
        writeFileSync(path, `#!${bash}\n${text}\n`);
        chmodSync(path, 0o755);
      }
    }
    const result = run(folder, [bash, 'scripts/install-deps.sh'], { PATH: bin, LOG: join(folder, 'log') });
    let log = '';
    try {
      log = readFileSync(join(folder, 'log'), 'utf8');
    } catch {
      // Nothing was called that writes it.
    }
    return { ...result, log };
  }

  const compiler = (status: number, version = '12.2.0') =>
    `case "$*" in *-E*) exit ${status};; *-dumpfullversion*) echo ${version};; *) echo "g++ ${version}";; esac`;
  const complete = { npm: 'echo npm "$@" >>"$LOG"', 'g++': compiler(0), cmake: ':', make: ':' };

  it('does nothing where all is there', () => {
    expect(machine(complete)).toEqual({ status: 0, stdout: '', stderr: '', log: '' });
  });

  it('runs npm ci where the installed packages differ from the lock file', () => {
    const stale = { 'node_modules/.package-lock.json': installed.replace('1.0.0', '0.9.0') };
    expect(machine(complete, stale)).toMatchObject({
      status: 0,
      log: 'npm ci --ignore-scripts --no-audit --no-fund\n',
    });
  });

  it('asks for a newer Node', () => {
    const old = 'case "$1" in --version) echo v18.19.0;; *) exit 1;; esac';
    const { status, stderr } = machine({ ...complete, node: old });
    expect(status).toBe(1);
    expect(stderr).toMatch(
      /^install-deps: node v18\.19\.0 is too old; install Node\.js 20\.17 or newer .*\n$/,
    );
  });

  it('asks for a newer compiler', () => {
    const { status, stderr } = machine({ ...complete, 'g++': compiler(0, '10.2.1') });
    expect(status).toBe(1);
    expect(stderr).toMatch(/^install-deps: g\+\+ 10\.2\.1 is too old for C\+\+20; .*CXX=g\+\+-12\n$/);
  });

  it('names the exact command in one line where it may not install', () => {
    const user = { ...complete, 'g++': compiler(1), id: 'echo 1000', 'apt-get': 'echo "$@" >>"$LOG"' };
    const { status, stderr, log } = machine(user);
    expect(status).toBe(1);
    expect(stderr).toMatch(
      /^install-deps: missing: .*sudo apt-get update && sudo apt-get install -y --no-install-recommends libdnnl-dev libjpeg\S+ .*\n$/,
    );
    expect(log).toBe('');
  });

  it('installs through sudo what is missing, then looks again', () => {
    const user = {
      ...complete,
      cmake: undefined,
      'g++': 'case "$*" in *-E*) [ -f "$LOG" ];; *-dump*) echo 12.2.0;; esac',
      id: 'echo 1000',
      sudo: 'if [ "$1" = -n ]; then shift; fi; "$@"',
      true: 'exit 0',
      // The package manager "installs" cmake beside itself.
      'apt-get': `echo "$@" >>"$LOG"; printf '#!${bash}\\n' >"\${0%/*}/cmake"; /bin/chmod +x "\${0%/*}/cmake"`,
    };
    const { cmake: _absent, ...programs } = user;
    const { status, log, stderr } = machine(programs);
    expect(stderr).toMatch(/^install-deps: installing cmake libdnnl-dev libjpeg\S+\n$/);
    expect(log).toMatch(
      /^update -qq\ninstall -y --no-install-recommends cmake libdnnl-dev libjpeg\S+ -qq\n$/,
    );
    expect(status).toBe(0);
  });

  it('says so where a package manager did not help', () => {
    const user = { ...complete, 'g++': compiler(1), id: 'echo 0', 'apt-get': '[ "$1" = update ]' };
    const { status, stderr } = machine(user);
    expect(status).toBe(1);
    expect(stderr).toMatch(
      /install-deps: apt-get install failed; missing: libdnnl-dev .*sudo apt-get install/,
    );
  });
});

describe('check-cpp.sh', () => {
  const good = '#include "a.h"\n\nint twice(int x) {\n  return 2 * x;\n}\n';
  const database = (folder: string) =>
    JSON.stringify([{ directory: folder, file: 'native/a.cc', command: `g++ -std=c++20 -c native/a.cc` }]);
  const sources = {
    '.clang-format': readFileSync(join(root, '.clang-format'), 'utf8'),
    '.clang-tidy': readFileSync(join(root, '.clang-tidy'), 'utf8'),
    'native/a.h': '#pragma once\n\nint twice(int x);\n',
    'native/a.cc': good,
  };
  function prepared(files: Record<string, string> = {}) {
    const folder = checkout('check-cpp.sh', { ...sources, ...files });
    mkdirSync(join(folder, 'build'));
    writeFileSync(join(folder, 'build/compile_commands.json'), database(folder));
    return folder;
  }
  const check = (folder: string, ...args: string[]) => run(folder, ['bash', 'scripts/check-cpp.sh', ...args]);

  it('passes clean files', () => {
    const { status, stdout } = check(prepared());
    expect(stdout).toContain('clang-tidy: 1 files are clean');
    expect(status).toBe(0);
  });

  it('finds bad formatting, and mends it with --fix', () => {
    const folder = prepared({ 'native/a.cc': good.replace('2 * x', '2*x') });
    const { status, stderr } = check(folder);
    expect(status).toBe(1);
    expect(stderr).toMatch(
      /^check-cpp: native\/a\.cc: formatting differs\ncheck-cpp: 1 files are not formatted; .*--fix\n$/,
    );
    expect(check(folder, '--fix').status).toBe(0);
    expect(readFileSync(join(folder, 'native/a.cc'), 'utf8')).toBe(good);
  });

  it('finds what clang-tidy finds, and prints it', () => {
    const bug = '#include "a.h"\n\nint twice(int x) {\n  int* none = nullptr;\n  return *none + x;\n}\n';
    const { status, stdout } = check(prepared({ 'native/a.cc': bug }));
    expect(status).toBe(1);
    expect(stdout).toContain('core.NullDereference');
  });

  it('names files that the build leaves out', () => {
    const { status, stdout } = check(prepared({ 'native/other.cc': good }));
    expect(stdout).toContain('native/other.cc is no part of this build');
    expect(status).toBe(0);
  });

  it('fails without a build rather than skipping', () => {
    const { status, stderr } = check(checkout('check-cpp.sh', sources));
    expect(status).toBe(1);
    expect(stderr).toBe('check-cpp: clang-tidy needs build/compile_commands.json; run npm run build first\n');
  });
});

describe('test-counts.mjs', () => {
  const report = (passed: number, failed: number, brokenFiles = 0) =>
    JSON.stringify({
      numPassedTests: passed,
      numFailedTests: failed,
      testResults: [
        {
          status: failed > 0 ? 'failed' : 'passed',
          assertionResults: Array(failed).fill({ status: 'failed' }),
        },
        ...Array(brokenFiles).fill({ status: 'failed', assertionResults: [] }),
      ],
    });
  const cases: ReadonlyArray<readonly [string, string | undefined, string[], string, number]> = [
    ['all passed', report(12, 0), ['0', '0'], '12 passed, 0 failed', 0],
    ['some failed', report(12, 3), ['1', '0'], '12 passed, 3 failed', 1],
    ['a file that cannot load', report(5, 0, 1), ['1', '0'], '5 passed, 1 failed', 1],
    ['a linter that failed', report(5, 0), ['0', '1'], '5 passed, 1 failed', 1],
    ['an error outside the tests', report(5, 0), ['1', '0'], '5 passed, 1 failed', 1],
    ['no report', undefined, ['0', '1'], '0 passed, 1 failed', 1],
    ['no report and a broken run', undefined, ['134', '0'], '0 passed, 1 failed', 1],
  ];
  it.each(cases)('counts %s', (_name, text, statuses, line, exit) => {
    const folder = temporaryFolder();
    if (text !== undefined) writeFileSync(join(folder, 'report.json'), text);
    const script = join(root, 'scripts/test-counts.mjs');
    const result = run(folder, [process.execPath, script, 'report.json', ...statuses]);
    expect(result).toEqual({ status: exit, stdout: `${line}\n`, stderr: '' });
  });
});

describe('quickstart-summary.mjs', () => {
  it('reads both logs and the statistics of the tokens', () => {
    const line = (loss: number, accuracy: number) =>
      `{"train_loss": ${loss}, "train_loss_main": ${loss}, "train_mlm_acc": ${accuracy}, "epoch": 0}\n`;
    const folder = temporaryFolder();
    for (const name of ['tokenizer', 'pretrain']) mkdirSync(join(folder, name));
    writeFileSync(join(folder, 'tokenizer/log.txt'), line(0.25, 0) + line(0.01, 0));
    writeFileSync(join(folder, 'pretrain/log.txt'), line(5.5, 0.01) + line(4, 0.1) + line(3.25, 0.345));
    const tokens = '{"vocabulary": 256, "used": 192, "top_share": 0.05, "entropy": 4.5}';
    writeFileSync(join(folder, 'tokens.json'), tokens);
    const { status, stdout } = run(folder, [
      process.execPath,
      join(root, 'scripts/quickstart-summary.mjs'),
      folder,
    ]);
    expect(status).toBe(0);
    expect(stdout).toContain('tokenizer loss  0.2500 -> 0.0100');
    expect(stdout).toContain('192 of 256 words used (75.0 %)');
    expect(stdout).toContain(
      'CAE token loss  5.5000 -> 3.2500 (guessing: ln 256 = 5.5452; by frequency: 4.5000)',
    );
    expect(stdout).toContain("1.0 % -> 34.5 % of masked tokens (the most frequent token's share: 5.0 %)");
  });
});
