import { spawnSync } from 'node:child_process';
import { chmodSync, mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { temporaryFolder } from '../logging/temp-folder.js';

const root = join(import.meta.dirname, '../..');

function prebuild(args: readonly string[], env: NodeJS.ProcessEnv = {}) {
  const { CUDACXX: _compiler, CUDAToolkit_ROOT: _toolkit, ...rest } = process.env;
  const script = join(root, 'scripts/prebuild.sh');
  const { status, stderr } = spawnSync(script, ['--out', temporaryFolder(), ...args], {
    encoding: 'utf8',
    env: { ...rest, ...env },
  });
  return { status, stderr };
}

/** A toolkit whose nvcc knows its version and nothing else. */
function toolkit(version: string): string {
  const folder = temporaryFolder();
  mkdirSync(join(folder, 'bin'));
  const nvcc = join(folder, 'bin/nvcc');
  writeFileSync(nvcc, `#!/bin/bash\necho 'Cuda compilation tools, release ${version}, V${version}.1'\n`);
  chmodSync(nvcc, 0o755);
  return folder;
}

describe('prebuild.sh', () => {
  it.each([
    ['CUDAToolkit_ROOT', ''],
    ['CUDACXX', '/bin/nvcc'],
  ])('says in one line that CUDA 12 is needed where %s is of CUDA 13', (variable, path) => {
    const folder = toolkit('13.0');
    const { status, stderr } = prebuild(['cuda12'], { [variable]: folder + path });
    expect(status).toBe(1);
    expect(stderr).toBe(
      `prebuild: cuda12 needs nvcc of CUDA 12; ${folder}/bin/nvcc is of CUDA 13.0; install that toolkit and name it: CUDACXX=/usr/local/cuda-12/bin/nvcc, or CUDAToolkit_ROOT=/usr/local/cuda-12\n`,
    );
  });

  it.each([[['rocm']], [[]], [['--arch']]])('shows its usage for %j', (args) => {
    const { status, stderr } = prebuild(args);
    expect(status).toBe(1);
    expect(stderr).toMatch(/^prebuild: .*usage: scripts\/prebuild\.sh .*\n$/);
  });
});

describe('sizes of packages', () => {
  const report = JSON.stringify([
    {
      name: '@cae-native/linux-x64-cpu',
      version: '1.0.0',
      filename: 'cae-native-linux-x64-cpu-1.0.0.tgz',
      size: 3 * 2 ** 20,
      unpackedSize: 9 * 2 ** 20,
      files: [
        { path: 'package.json', size: 100 },
        { path: 'prebuilds/linux-x64/libdnnl.so.2', size: 8 * 2 ** 20 },
      ],
    },
  ]);
  const judge = (packed: number, unpacked: number) => {
    const limits = [packed * 2 ** 20, unpacked * 2 ** 20].map(String);
    const script = join(root, 'scripts/prebuild/sizes.mjs');
    return spawnSync(process.execPath, [script, ...limits, '/out'], { input: report, encoding: 'utf8' });
  };

  it('are printed', () => {
    expect(judge(3, 9)).toMatchObject({
      status: 0,
      stderr: '',
      stdout:
        '@cae-native/linux-x64-cpu@1.0.0: 3.0 MiB packed, 9.0 MiB unpacked (libdnnl.so.2 8.0 MiB, package.json 0.0 MiB)\n/out/cae-native-linux-x64-cpu-1.0.0.tgz\n',
    });
  });

  it.each([
    [2, 9],
    [3, 8],
  ])('over %i MiB packed or %i MiB unpacked are an error', (packed, unpacked) => {
    const { status, stderr } = judge(packed, unpacked);
    expect(status).toBe(1);
    expect(stderr).toMatch(/^prebuild: @cae-native\/linux-x64-cpu is too large for the registry: .*\n$/);
  });
});
