import { mkdirSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { beforeEach, describe, expect, it, vi } from 'vitest';
import { type AddonCandidate, addonCandidates } from '../../lib/native/addon-candidates.js';
import { cpuHasAvx512 } from '../../lib/native/cpu-features.js';
import type { DriverAnswer } from '../../lib/native/cuda-driver.js';
import {
  type AddonAttempt,
  howToGetCuda,
  loadAddon,
  tryAddons,
  whyWithoutCuda,
} from '../../lib/native/find-addon.js';
import { packagedAddon, type Variant } from '../../lib/native/packages.js';
import { temporaryFolder } from '../logging/temp-folder.js';

let root: string;
beforeEach(() => {
  root = temporaryFolder();
  write('package.json', '{"name":"cae-native","version":"1.2.3"}');
});

function write(path: string, text: string): string {
  mkdirSync(dirname(join(root, path)), { recursive: true });
  writeFileSync(join(root, path), text);
  return join(root, path);
}

/** Stands in for a binary: Node runs a file with another ending as JavaScript. */
const script = (name: string) => `module.exports = { buildInfo: () => ({ cuda: ${JSON.stringify(name)} }) };`;
const folderOf = (variant: Variant) => `node_modules/@cae-native/linux-x64-${variant}`;

/** A package whose file does not load: it is no binary. */
function install(variant: Variant, version = '1.2.3'): void {
  write(
    `${folderOf(variant)}/package.json`,
    JSON.stringify({ name: `@cae-native/linux-x64-${variant}`, version }),
  );
  write(`${folderOf(variant)}/prebuilds/linux-x64/cae-native.glibc.node`, 'no binary');
}

const driver = (answer: DriverAnswer) => vi.fn(() => answer);
const noDriver = driver({ version: 0 });

/** What each candidate says of itself: where its file is, or why not. */
function places(env: NodeJS.ProcessEnv, ask = noDriver): Record<string, string> {
  const found: Record<string, string> = {};
  for (const candidate of addonCandidates({ env, root, driver: ask })) {
    try {
      found[candidate.name] = candidate.locate().slice(root.length + 1);
    } catch (error) {
      const { message, fix } = error as Error & { fix: string };
      found[candidate.name] = `${message} (${fix})`;
    }
  }
  return found;
}

const missing = (variant: Variant) => `is not installed (npm install @cae-native/linux-x64-${variant}@1.2.3)`;
const packaged = (variant: Variant) => `${folderOf(variant)}/prebuilds/linux-x64/cae-native.glibc.node`;
const nothing = {
  'build/Release/cae_native.node': 'is not built (npm run build)',
  'build/Debug/cae_native.node': 'is not built (npm run build)',
  '@cae-native/linux-x64-cuda13': missing('cuda13'),
  '@cae-native/linux-x64-cuda12': missing('cuda12'),
  '@cae-native/linux-x64-cpu': missing('cpu'),
};

describe('where an addon is looked for', () => {
  it('a local build, the CUDA packages, the CPU package, in this order', () => {
    expect(Object.entries(places({}))).toEqual(Object.entries(nothing));
    write('build/Debug/cae_native.node', '');
    install('cpu');
    expect(places({})).toEqual({
      ...nothing,
      'build/Debug/cae_native.node': 'build/Debug/cae_native.node',
      '@cae-native/linux-x64-cpu': packaged('cpu'),
    });
  });

  it('CAE_NATIVE_ADDON alone, where it is set', () => {
    const path = write('own.node', '');
    expect(places({ CAE_NATIVE_ADDON: path, CAE_NATIVE_VARIANT: 'cpu' })).toEqual({
      [`CAE_NATIVE_ADDON=${path}`]: 'own.node',
    });
    expect(places({ CAE_NATIVE_ADDON: '/nowhere.node' })).toEqual({
      'CAE_NATIVE_ADDON=/nowhere.node': 'there is no such file (correct or unset CAE_NATIVE_ADDON)',
    });
  });

  it('the package of CAE_NATIVE_VARIANT alone, whatever the driver', () => {
    install('cuda13');
    const ask = driver({ version: 0 });
    expect(places({ CAE_NATIVE_VARIANT: 'cuda13' }, ask)).toEqual({
      '@cae-native/linux-x64-cuda13': packaged('cuda13'),
    });
    expect(places({ CAE_NATIVE_VARIANT: 'cuda12' }, ask)).toEqual({
      '@cae-native/linux-x64-cuda12': missing('cuda12'),
    });
    expect(ask).not.toHaveBeenCalled();
    expect(() => places({ CAE_NATIVE_VARIANT: 'rocm' })).toThrow(
      'CAE_NATIVE_VARIANT=rocm is not known; give one of cpu, cuda12, cuda13',
    );
  });

  it('a package of another version, or without a binary for this platform, is refused', () => {
    install('cpu', '1.2.2');
    expect(places({})['@cae-native/linux-x64-cpu']).toBe(
      'is version 1.2.2, not 1.2.3 (npm install @cae-native/linux-x64-cpu@1.2.3)',
    );
    write(`${folderOf('cpu')}/package.json`, '{"name":"@cae-native/linux-x64-cpu","version":"1.2.3"}');
    write(`${folderOf('cuda12')}/package.json`, '{"name":"@cae-native/linux-x64-cuda12","version":"1.2.3"}');
    expect(places({})['@cae-native/linux-x64-cuda12']).toMatch(
      /^No native build was found for platform=linux /,
    );
  });
});

describe('the CPU package', () => {
  const wide = 'prebuilds/linux-x64/avx512/cae-native.node';

  it('has a second addon for CPUs with AVX-512, which others leave alone', () => {
    install('cpu');
    expect(packagedAddon('cpu', root, () => true)).toBe(join(root, packaged('cpu')));
    write(`${folderOf('cpu')}/${wide}`, 'no binary');
    expect(packagedAddon('cpu', root, () => true)).toBe(join(root, folderOf('cpu'), wide));
    expect(packagedAddon('cpu', root, () => false)).toBe(join(root, packaged('cpu')));
  });

  it.each([
    ['fpu avx2 avx512f avx512dq adx avx512cd sha_ni avx512bw avx512vl avx_vnni', true],
    ['fpu avx2 avx512f avx512dq adx avx512cd sha_ni avx512bw avx_vnni', false],
    ['fpu avx2', false],
  ])('knows a CPU of flags “%s”: %j', (flags, has) => {
    const cpuinfo = write('cpuinfo', `processor\t: 0\nflags\t\t: ${flags}\nbugs\t\t: avx512vl\n`);
    expect(cpuHasAvx512(cpuinfo)).toBe(has);
  });

  it('takes a machine that does not say for one without', () => {
    expect(cpuHasAvx512(join(root, 'nowhere'))).toBe(false);
  });
});

describe('a CUDA package', () => {
  const old =
    'the NVIDIA driver is too old: it supports CUDA 12.4, this package needs 13.0 (update the driver, or npm install @cae-native/linux-x64-cuda12@1.2.3)';
  it.each([
    ['no driver', { version: 0 }, 'no NVIDIA driver was found (install one (nvidia-smi must work))', 'same'],
    [
      'a driver of CUDA 11.8',
      { version: 11080 },
      /too old: it supports CUDA 11\.8, .*13\.0 \(update the driver\)$/,
      'old',
    ],
    ['a driver of CUDA 12.4', { version: 12040 }, old, packaged('cuda12')],
    ['a driver of CUDA 13.0', { version: 13000 }, packaged('cuda13'), packaged('cuda12')],
    ['a driver of CUDA 14.1', { version: 14010 }, packaged('cuda13'), packaged('cuda12')],
    [
      'a driver that crashes',
      { failure: 'the probe of the NVIDIA driver ended with SIGSEGV' },
      'the probe of the NVIDIA driver ended with SIGSEGV (check nvidia-smi, or set CAE_NATIVE_VARIANT=cpu)',
      'same',
    ],
  ])('with %s', (_name, answer, thirteen, twelve) => {
    install('cuda13');
    install('cuda12');
    install('cpu');
    const found = places({}, driver(answer as DriverAnswer));
    expect(found['@cae-native/linux-x64-cuda13']).toMatch(thirteen);
    if (twelve === 'same') expect(found['@cae-native/linux-x64-cuda12']).toMatch(thirteen);
    else if (twelve === 'old') expect(found['@cae-native/linux-x64-cuda12']).toMatch(/needs 12\.0 \(update/);
    else expect(found['@cae-native/linux-x64-cuda12']).toBe(twelve);
    expect(found['@cae-native/linux-x64-cpu']).toBe(packaged('cpu'));
  });

  it('that is not installed asks no driver', () => {
    const ask = driver({ version: 13000 });
    install('cpu');
    places({}, ask);
    expect(ask).not.toHaveBeenCalled();
  });
});

describe('loading', () => {
  const at = (path: string, variant?: Variant): AddonCandidate => ({
    name: variant === undefined ? path : `@cae-native/linux-x64-${variant}`,
    ...(variant === undefined ? {} : { variant }),
    locate: () => join(root, path),
  });

  it('takes the first that loads, and tries none after it', () => {
    write('bad.node', 'no binary');
    write('good.cjs', script('good'));
    const { addon, attempts } = loadAddon([at('bad.node'), at('good.cjs'), at('bad.node')]);
    expect(addon.buildInfo().cuda).toBe('good');
    expect(attempts.map(({ reason, addon: found }) => [reason, found !== undefined])).toEqual([
      [expect.stringMatching(/^does not load: .*bad\.node: file too short$/), false],
      [undefined, true],
      [undefined, false],
    ]);
  });

  it.each(['', 'null', 'module.exports = 7;'])(
    'does not take a file for an addon that holds “%s”',
    (text) => {
      const env = { CAE_NATIVE_ADDON: write('some-file', text) };
      expect(() => loadAddon(addonCandidates({ env, root, driver: noDriver }))).toThrow(
        /^the native addon cannot load: CAE_NATIVE_ADDON=\S+some-file does not load: \S.* \(correct or unset CAE_NATIVE_ADDON\)$/,
      );
    },
  );

  it('says, in one line, what was tried, why it failed and what mends it', () => {
    install('cuda13');
    install('cpu', '0.9.0');
    write('build/Release/cae_native.node', 'no binary');
    const load = () => loadAddon(addonCandidates({ env: {}, root, driver: noDriver }));
    expect(load).toThrow(
      /^the native addon cannot load: build\/Release\/cae_native\.node does not load: \S+: file too short \(npm run build:native\); build\/Debug\/cae_native\.node is not built \(npm run build\); @cae-native\/linux-x64-cuda13 no NVIDIA driver was found \(install one .*\); @cae-native\/linux-x64-cuda12 is not installed \(npm install @cae-native\/linux-x64-cuda12@1\.2\.3\); @cae-native\/linux-x64-cpu is version 0\.9\.0, not 1\.2\.3 \(npm install @cae-native\/linux-x64-cpu@1\.2\.3\)$/,
    );
  });

  it('says that it is missing where nothing is there', () => {
    const load = () => loadAddon(addonCandidates({ env: {}, root, driver: noDriver }));
    expect(load).toThrow(
      /^the native addon is missing: build\/Release\/cae_native\.node is not built \(npm run build\); /,
    );
  });

  it('names the remedy for what the system lacks', () => {
    const failing = (message: string, variant?: Variant) => {
      write('failing.cjs', `throw new Error(${JSON.stringify(message)});`);
      return tryAddons([at('failing.cjs', variant)])[0]?.fix;
    };
    expect(failing('libdnnl.so.2: cannot open shared object file')).toBe('sudo apt-get install libdnnl2');
    write('failing2.cjs', "throw new Error('version `GLIBC_2.34` not found');");
    expect(tryAddons([at('failing2.cjs', 'cpu')])[0]?.fix).toMatch(
      /^npm run build, .*older than the binary$/,
    );
  });
});

describe('without CUDA', () => {
  const attempt = (variant: Variant, rest: Partial<AddonAttempt>): AddonAttempt => ({
    candidate: { name: `@cae-native/linux-x64-${variant}`, variant, locate: () => '' },
    ...rest,
  });

  it('a CUDA package that was refused says why', () => {
    const attempts = [
      attempt('cuda13', { installed: true, reason: 'no NVIDIA driver was found', fix: 'install one' }),
      attempt('cpu', { addon: {} as never }),
    ];
    expect(whyWithoutCuda(attempts)).toBe(
      'no NVIDIA driver was found (for @cae-native/linux-x64-cuda13); install one, or use --device cpu',
    );
  });

  it('nobody expects it of the CPU package alone, and who asks is told how to come by it', () => {
    const attempts = [attempt('cuda13', { installed: false }), attempt('cpu', { addon: {} as never })];
    expect(whyWithoutCuda(attempts)).toBeNull();
    expect(howToGetCuda(attempts)).toMatch(
      /^this build has no CUDA backend; use --device cpu, or .*npm install @cae-native\/linux-x64-cuda13@\d/,
    );
    const built = [{ candidate: { name: 'build', locate: () => '' }, addon: {} as never }];
    expect(howToGetCuda(built)).toMatch(/^this build has no CUDA backend; .*build with -DCAE_CUDA=ON$/);
  });
});
