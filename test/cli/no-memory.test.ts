import { spawnSync } from 'node:child_process';
import { expect, it } from 'vitest';
import { machineError } from '../../lib/errors.js';
import { addonAttempts } from '../../lib/native/addon.js';

const addon = addonAttempts.find((attempt) => attempt.addon !== undefined)?.candidate.locate() ?? '';

/** Attention of one query to 64 MiB of keys, of which the op packs a copy, in a process that may grow by 16 MiB. */
const script = `
  const { execFileSync } = require('node:child_process');
  const { readFileSync } = require('node:fs');
  const native = require(process.argv[1]);
  native.setThreads(1); // more would want stacks of their own
  const [query, keys, values] = [1, 262_144, 262_144].map((rows) => native.empty([1, rows, 64], 'f32', 'cpu'));
  for (const tensor of [query, keys, values]) native.uniform(tensor, 0, 1, 1, 1);
  native.readSync(query);
  const held = 1024 * Number(/VmSize:\\s+(\\d+)/.exec(readFileSync('/proc/self/status', 'utf8'))[1]);
  execFileSync('prlimit', ['--pid', String(process.pid), '--as=' + (held + 2 ** 24)]);
  const [out] = native.crossAttention(query, keys, values, 1, 0.1);
  native.read([out]).then(() => console.log('computed'), (error) => console.log(error.message));`;

it('an op whose working memory is not to be had says so, and what to lower', () => {
  const { stdout, stderr } = spawnSync(process.execPath, ['-e', script, addon], { encoding: 'utf8' });
  expect(stderr).toBe('');
  expect(machineError(new Error(stdout.trim()))).toMatch(
    /^there is not enough memory for the buffers of \w*attention\w*; lower --batch_size .*, --input_size or the model$/i,
  );
});

it('a buffer of JavaScript that is not to be had is no error of ours', () => {
  let refused: unknown;
  try {
    new ArrayBuffer(2 ** 52);
  } catch (error) {
    refused = error;
  }
  expect(machineError(refused)).toMatch(/^not enough memory for a buffer; lower --batch_size/);
  expect(machineError(new RangeError('another'))).toBeNull();
});
