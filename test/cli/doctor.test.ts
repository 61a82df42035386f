import { afterEach, describe, expect, it, vi } from 'vitest';
import { runCli } from './run-cli.js';

afterEach(() => {
  vi.unstubAllEnvs();
});

describe('cae-native doctor', () => {
  it('says which addon is used, and which were not tried', () => {
    vi.stubEnv('CAE_NATIVE_ADDON', undefined);
    const { status, stdout } = runCli('doctor');
    expect(status).toBe(0);
    expect(stdout).toMatch(/^addon {7}build\/Release\/cae_native\.node is used$/m);
    expect(stdout).toMatch(/^addon {7}@cae-native\/linux-x64-cpu was not tried: an earlier one loads$/m);
    expect(stdout).toMatch(/^driver {6}\S/m);
    expect(stdout).toMatch(/^fp32 {8}(products in pairs of sums|plain products)$/m);
    expect(stdout).toMatch(/^result {6}ready$/m);
  });
});

describe('without an addon', () => {
  const line = (name: string, reason: string) =>
    new RegExp(`^cae-native: the native addon is missing: ${name} ${reason}\\n$`);

  it('doctor prints what was looked for, and ends with the error', () => {
    vi.stubEnv('CAE_NATIVE_ADDON', '/nowhere.node');
    const { status, stdout, stderr } = runCli('doctor');
    expect(status).toBe(1);
    expect(stdout).toMatch(
      /^addon {7}CAE_NATIVE_ADDON=\/nowhere\.node there is no such file; correct or unset /m,
    );
    expect(stderr).toMatch(
      line('CAE_NATIVE_ADDON=/nowhere\\.node', 'there is no such file \\(correct or unset .*\\)'),
    );
  });

  it('a command ends with one line, and help is there', () => {
    vi.stubEnv('CAE_NATIVE_VARIANT', 'cuda12');
    const { status, stdout, stderr } = runCli('bench');
    expect(status).toBe(1);
    expect(stdout).toBe('');
    const install = 'npm install @cae-native/linux-x64-cuda12@\\S+';
    expect(stderr).toMatch(line('@cae-native/linux-x64-cuda12', `is not installed \\(${install}\\)`));
    const help = runCli('--help');
    expect(help.status).toBe(0);
    expect(help.stdout).toContain('doctor');
  });

  it('a variant that does not exist is one line, too', () => {
    vi.stubEnv('CAE_NATIVE_VARIANT', 'rocm');
    for (const command of ['doctor', 'bench']) {
      const { status, stderr } = runCli(command);
      expect(status).toBe(1);
      expect(stderr).toBe(
        'cae-native: CAE_NATIVE_VARIANT=rocm is not known; give one of cpu, cuda12, cuda13\n',
      );
    }
  });
});
