import { existsSync, mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { cudaDriver, findDriver, versionText } from '../../lib/native/cuda-driver.js';
import { temporaryFolder } from '../logging/temp-folder.js';

let folder: string;
beforeEach(() => {
  folder = temporaryFolder();
  vi.stubEnv('CAE_CUDA_DRIVER', undefined);
});
afterEach(() => {
  vi.unstubAllEnvs();
});

/** A machine with a driver's library, whatever is in it. */
function withDriver() {
  writeFileSync(join(folder, 'libcuda.so.1'), '');
  return { libraryPath: '', folders: [folder], cache: '/nowhere' };
}

/** Stands in for an addon: JavaScript in place of a binary, since the probe only requires it. */
function addon(text: string): string {
  const path = join(folder, 'addon.cjs');
  writeFileSync(path, text);
  return path;
}

describe('the NVIDIA driver', () => {
  it('is found where the loader would find it, and nowhere else', () => {
    const none = { libraryPath: '', folders: [], cache: '/nowhere' };
    expect(findDriver(none)).toBeUndefined();
    mkdirSync(join(folder, 'lib'));
    const library = join(folder, 'lib', 'libcuda.so.1');
    const cache = join(folder, 'ld.so.cache');
    writeFileSync(
      cache,
      `glibc-ld.so.cache1.1\0libcuda.so.1\0${library}\0libother.so.1\0/lib/libother.so.1\0`,
    );
    // In the cache, and gone from the disk.
    expect(findDriver({ ...none, cache })).toBeUndefined();
    writeFileSync(library, '');
    expect(findDriver({ ...none, cache })).toBe(library);
    expect(findDriver({ ...none, folders: ['/nowhere', join(folder, 'lib')] })).toBe(library);
    expect(findDriver({ ...none, libraryPath: `:/nowhere:${join(folder, 'lib')}` })).toBe(library);
  });

  it('versions are written as CUDA writes them', () => {
    expect([13000, 12080, 11_040].map(versionText)).toEqual(['13.0', '12.8', '11.4']);
  });
});

describe('the probe', () => {
  it('starts nothing where there is no driver', () => {
    const mark = join(folder, 'started');
    const path = addon(`require('node:fs').writeFileSync(${JSON.stringify(mark)}, '')`);
    expect(cudaDriver(path, { libraryPath: '', folders: [], cache: '/nowhere' })).toEqual({ version: 0 });
    expect(existsSync(mark)).toBe(false);
  });

  it('asks once, and worker threads and child processes inherit the answer', () => {
    const machine = withDriver();
    const path = addon('exports.cudaDriver = () => 12040;');
    expect(cudaDriver(path, machine)).toEqual({ version: 12040 });
    expect(process.env['CAE_CUDA_DRIVER']).toBe('12040');
    expect(cudaDriver('/nowhere.node', machine)).toEqual({ version: 12040 });
  });

  it.each([
    [
      'crashes',
      "process.kill(process.pid, 'SIGSEGV')",
      /^the probe of the NVIDIA driver ended with SIGSEGV$/,
    ],
    ['hangs', 'for (;;);', /^the NVIDIA driver did not answer within 0\.5 s$/],
    ['does not load', "throw new Error('libfoo.so.1: cannot open')", /^libfoo\.so\.1: cannot open$/],
    ['ends with a status', 'process.exit(3)', /^the probe ended with status 3$/],
  ])('one that %s takes nobody along, and is not remembered', (_what, text, failure) => {
    const timeoutMs = text.startsWith('for') ? 500 : 10_000;
    expect(cudaDriver(addon(text), { ...withDriver(), timeoutMs }).failure).toMatch(failure);
    expect(process.env['CAE_CUDA_DRIVER']).toBeUndefined();
  });

  it('loads no code that NODE_OPTIONS would', () => {
    vi.stubEnv('NODE_OPTIONS', '--require=/nowhere.cjs');
    const path = addon('exports.cudaDriver = () => 13000;');
    expect(cudaDriver(path, withDriver())).toEqual({ version: 13000 });
  });
});
