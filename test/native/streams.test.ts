import { spawnSync } from 'node:child_process';
import { Worker } from 'node:worker_threads';
import { describe, expect, it } from 'vitest';
import { addonAttempts, native } from '../../lib/native/addon.js';
import { crossEntropy } from '../../lib/tensor/ops/loss.js';
import { add } from '../../lib/tensor/ops/pointwise.js';
import { Tensor } from '../../lib/tensor/tensor.js';

const addon = addonAttempts.find((attempt) => attempt.addon !== undefined)?.candidate.locate() ?? '';
const outside = /label 9 of row 1 is outside 5 classes/;

/** The loss of a label that is no class, which fails when its turn comes. */
function failing(): Tensor {
  return crossEntropy(Tensor.zeros([2, 5]), Tensor.from(Int32Array.of(0, 9), [2])).loss;
}

// Queues a second's work and reads behind it; `native`, without the library.
const reads = `
  const a = native.empty([1024, 1024], 'f32', 'cpu');
  native.uniform(a, 0, 1, 1, 1);
  for (let i = 0; i < 20; i++) native.linear(a, a, null);
  for (let i = 0; i < 4; i++) native.read([a]).then(() => {});`;

describe('what a failed op leaves', () => {
  it('every read queued before the error is told is told of it, and what depends on it does not run', async () => {
    const sum = Tensor.from(Float32Array.of(1), [1]);
    const loss = failing();
    const first = loss.data().catch((error: Error) => error.message);
    native.write(sum.handle, Float32Array.of(2));
    const second = sum.data().catch((error: Error) => error.message);
    expect(await first).toMatch(outside);
    expect(await second).toMatch(outside);
    expect(await sum.data()).toEqual(Float32Array.of(1));
    expect(await add(sum, sum).data()).toEqual(Float32Array.of(2));
  });

  it('is not told to another thread, nor taken from its own', async () => {
    const worker = new Worker(
      `const { parentPort, workerData } = require('node:worker_threads');
       const native = require(workerData);
       parentPort.on('message', () => {
         const sum = native.fromBytes(Float32Array.of(3), [1], 'f32', 'cpu');
         parentPort.postMessage(new Float32Array(native.readSync(sum))[0]);
       });`,
      { eval: true, workerData: addon },
    );
    try {
      const loss = failing();
      worker.postMessage('read');
      expect(await new Promise((resolve) => worker.once('message', resolve))).toBe(3);
      expect(() => loss.dataSync()).toThrow(outside);
    } finally {
      await worker.terminate();
    }
  });
});

describe('reads under way when their environment ends', () => {
  const run = (script: string) =>
    spawnSync(process.execPath, ['-e', script, addon], { encoding: 'utf8', timeout: 60_000 });

  it('in a worker that is terminated', () => {
    const { status, stdout, stderr } = run(`
      const { Worker } = require('node:worker_threads');
      const script = \`const { parentPort, workerData } = require('node:worker_threads');
        const native = require(workerData);${reads}
        parentPort.postMessage('queued'); setInterval(() => {}, 1000);\`;
      (async () => {
        for (let i = 0; i < 3; i++) {
          const worker = new Worker(script, { eval: true, workerData: process.argv[1] });
          await new Promise((resolve) => worker.once('message', resolve));
          await worker.terminate();
        }
        require(process.argv[1]).synchronize();
        console.log('survived');
      })();`);
    expect({ status, stdout, stderr }).toEqual({ status: 0, stdout: 'survived\n', stderr: '' });
  });

  it('in a process that exits', () => {
    const { status, stdout, stderr } = run(`
      const native = require(process.argv[1]);
      process.once('exit', () => native.abandonWork());
      process.once('exit', () => {
        try { native.readSync(native.empty([1], 'f32', 'cpu')); } catch (error) { console.log(error.message); }
      });${reads}
      process.exit(3);`);
    const message = '[stream] the process is ending\n';
    expect({ status, stdout, stderr }).toEqual({ status: 3, stdout: message, stderr: '' });
  });
});
