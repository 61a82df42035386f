import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { beforeAll, describe, expect, it } from 'vitest';
import { native } from '../../lib/native/addon.js';
import buildCli from '../build-cli.js';
import { cliPath } from '../cli/run-cli.js';
import { temporaryFolder } from '../logging/temp-folder.js';

const emulated = native.buildInfo().cuda === 'emulated';
const addon =
  process.env['CAE_NATIVE_ADDON'] ?? join(import.meta.dirname, '../../build/Release/cae_native.node');

/** Runs a script on a machine that the emulator makes up. @returns the message of the error it ends with, or '' */
function onMachine(settings: Record<string, string>, script: string): string {
  const { CAE_CUDA_LIBS: _libs, ...env } = process.env;
  const text = `const native = require(${JSON.stringify(addon)});
    const zeros = (shape, dtype = 'f32') => native.fromBytes(new Uint8Array(shape.reduce((a, b) => a * b, 4)), shape, dtype, 'cuda');
    try { ${script} } catch (error) { process.stdout.write(error.message); }`;
  const { stdout, stderr, status } = spawnSync(process.execPath, ['-e', text], {
    encoding: 'utf8',
    env: { ...env, ...settings },
  });
  expect(stderr).toBe('');
  expect(status).toBe(0);
  return stdout;
}

/** A shared library made of C. */
function library(folder: string, name: string, source: string): void {
  const { status, stderr } = spawnSync(
    'g++',
    ['-shared', '-fPIC', '-x', 'c', '-', '-o', join(folder, name)],
    {
      input: source,
      encoding: 'utf8',
    },
  );
  if (status !== 0) throw new Error(stderr);
}

// A real device cannot be made to lack its driver, kernels or libraries.
describe.runIf(emulated)('a machine that lacks something is told so in one line', () => {
  const open = "native.synchronize('cuda')";
  it.each([
    [
      'a driver',
      { CAE_EMULATED_DRIVER: '0' },
      /^\[device\] no NVIDIA driver was found; install one \(nvidia-smi must work\), or use --device cpu$/,
    ],
    [
      'a new enough driver',
      { CAE_EMULATED_DRIVER: '12040' },
      /^\[device\] the NVIDIA driver is too old: it supports CUDA 12\.4, this build needs 13\.0; update the driver, take a build for CUDA 12, or use --device cpu$/,
    ],
    [
      'a device',
      { CAE_EMULATED_DEVICES: '0' },
      /^\[device\] no CUDA device was found; check nvidia-smi and CUDA_VISIBLE_DEVICES, or use --device cpu$/,
    ],
    [
      'kernels for its architecture',
      { CAE_EMULATED_CAPABILITY: '120' },
      /^\[device\] an emulated device has compute capability 12\.0, and this build has kernels for 90; build with -DCAE_CUDA_ARCH=120, or use --device cpu$/,
    ],
    [
      'a new enough architecture',
      { CAE_EMULATED_CAPABILITY: '75' },
      /^\[device\] an emulated device has compute capability 7\.5, and .*; 8\.0 \(Ampere\) or newer is needed, or use --device cpu$/,
    ],
  ])('%s', (_what, settings, message) => {
    expect(onMachine(settings, open)).toMatch(message);
  });

  it('the device that was asked for', () => {
    const seventh = "native.synchronize('cuda:7')";
    expect(onMachine({}, seventh)).toBe('[device] cuda:7 is not there: 1 device was found, cuda:0');
    expect(onMachine({ CAE_EMULATED_DEVICES: '4' }, seventh)).toBe(
      '[device] cuda:7 is not there: 4 devices were found, cuda:0 to cuda:3',
    );
  });

  it('says which CUDA its driver supports', () => {
    const say = 'process.stdout.write(String(native.cudaDriver()))';
    expect(onMachine({}, say)).toBe('13000');
    expect(onMachine({ CAE_EMULATED_DRIVER: '12040' }, say)).toBe('12040');
  });
});

describe.runIf(emulated)('libraries', () => {
  const multiply = "native.linear(zeros([2, 4]), zeros([3, 4]), null); native.synchronize('cuda')";
  const convolve =
    "native.conv2d(zeros([1, 4, 4, 2]), zeros([2, 2, 1, 1]), null, 1, 0, false); native.synchronize('cuda')";
  const libraries = { CAE_EMULATED_LIBRARIES: '1' };

  it('that are missing are named, and where they were looked for', () => {
    expect(onMachine(libraries, multiply)).toMatch(
      /^\[device\] libcublasLt\.so\.13 was not found in CAE_CUDA_LIBS \(not set\), on the system's library path or in \/usr\/local\/cuda\/lib64; run scripts\/fetch-cuda-libs\.sh DIR and set CAE_CUDA_LIBS=DIR, /,
    );
    expect(onMachine({ ...libraries, CAE_CUDA_LIBS: '/nowhere' }, convolve)).toMatch(
      /^\[device\] libcudnn\.so\.9 was not found in CAE_CUDA_LIBS \(\/nowhere\), /,
    );
  });

  it('that do not load, or lack a function, say why', () => {
    const folder = temporaryFolder();
    library(folder, 'libcublasLt.so.13', 'void other(void) {}');
    library(folder, 'libcudnn.so.9', 'void missing(void); void call(void) { missing(); }');
    const settings = { ...libraries, CAE_CUDA_LIBS: folder };
    expect(onMachine(settings, multiply)).toMatch(
      /^\[device\] libcublasLt\.so\.13 has no cublasLtMatmul: it is too old; run /,
    );
    expect(onMachine(settings, convolve)).toMatch(
      /^\[device\] libcudnn\.so\.9 does not load: .*undefined symbol: missing; run /,
    );
  });

  it.each([
    [91000, 'cuDNN 9.10.0 is known to compute attention wrongly'],
    [91001, 'cuDNN 9.10.1 is known to compute attention wrongly'],
    [8907, 'cuDNN 8.9.7 is too old: 9 is needed'],
    [91002, ''],
    [92400, ''],
  ])('cuDNN of version %i', (version, message) => {
    const folder = temporaryFolder();
    library(folder, 'libcudnn.so.9', `unsigned long cudnnGetVersion(void) { return ${version}; }`);
    // In a folder of the wheels, too.
    const said = onMachine({ ...libraries, CAE_CUDA_LIBS: `/nowhere:${folder}` }, convolve);
    expect(said.startsWith(message === '' ? '' : `[device] ${message}; run `)).toBe(true);
    expect(said === '').toBe(message === '');
  });
});

describe.runIf(emulated)('a device whose memory is used up', () => {
  it('gives the figures, what holds most of it, and what to lower', () => {
    const script = `const x = zeros([1024, 1024]);
      const kept = Array.from({ length: 5 }, () => native.gelu(x));
      native.empty([100, 1024, 1024], 'bf16', 'cuda');`;
    expect(onMachine({ CAE_EMULATED_MEMORY: '128' }, script)).toMatch(
      /^\[allocate\] cuda:0 is out of memory: 200\.0 MiB wanted for \[100,1024,1024\] bf16 of empty, 24\.0 MiB in use by 6 tensors, 32\.0 MiB held, 96\.0 MiB of the device's 128\.0 MiB free; most of it: 5 x 4\.0 MiB \(\[1024,1024\] f32 of gelu\), 1 x 4\.0 MiB \(\[1024,1024\] f32\); lower --batch_size \(and raise --update_freq in its place\), --input_size or the model, or add --activation_checkpointing$/,
    );
  });

  it('is usable again when some of it is given back', () => {
    const script = `const big = native.empty([64, 1024, 1024], 'u8', 'cuda');
      let failed = 0;
      try { native.empty([65, 1024, 1024], 'u8', 'cuda'); } catch { failed += 1; }
      native.release(big);
      native.empty([65, 1024, 1024], 'u8', 'cuda');
      process.stdout.write(String(failed));`;
    expect(onMachine({ CAE_EMULATED_MEMORY: '100' }, script)).toBe('1');
  });
});

describe.runIf(emulated)('the command line', () => {
  beforeAll(buildCli);

  /** Starts a step on a made-up machine; it must fail in one line. */
  function refused(settings: Record<string, string>, exit: number, ...more: string[]): string {
    const { CAE_CUDA_LIBS: _libs, ...env } = process.env;
    const flags = [
      '--device',
      'cuda',
      '--model',
      'cae_tiny_patch16_224_8k_vocab',
      '--batch',
      '8',
      '--steps',
      '1',
    ];
    const { status, stderr } = spawnSync(process.execPath, [cliPath, 'bench', ...flags, ...more], {
      encoding: 'utf8',
      env: { ...env, CAE_NATIVE_ADDON: addon, ...settings },
    });
    const lines = stderr
      .trimEnd()
      .split('\n')
      .filter((line) => !line.startsWith('device: '));
    expect(lines).toHaveLength(1);
    expect(status).toBe(exit);
    return lines[0] as string;
  }

  it('says in one line that memory is used up, and by what', () => {
    expect(refused({ CAE_EMULATED_MEMORY: '64' }, 1)).toMatch(
      /^cae-native: cuda:0 is out of memory: \S+ MiB wanted for \[.* MiB held, \S+ MiB of the device's 64\.0 MiB free; most of it: .* MiB \(\[.*; lower --batch_size /,
    );
  });

  it('says in one line that a library is missing', () => {
    expect(refused({ CAE_EMULATED_LIBRARIES: '1' }, 1, '--tokenizer', 'dall-e')).toMatch(
      /^cae-native: libcudnn\.so\.9 was not found in CAE_CUDA_LIBS \(not set\), /,
    );
  });

  it('says in one line that the driver is too old', () => {
    expect(refused({ CAE_EMULATED_DRIVER: '12040' }, 2)).toMatch(
      /^cae-native: --device cuda: the NVIDIA driver is too old: it supports CUDA 12\.4, this build needs 13\.0; /,
    );
  });
});
