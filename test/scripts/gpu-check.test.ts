import { spawnSync } from 'node:child_process';
import { chmodSync, copyFileSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { temporaryFolder } from '../logging/temp-folder.js';

const root = join(import.meta.dirname, '../..');

function run(command: string[], env: NodeJS.ProcessEnv = process.env, cwd = root) {
  const [program = '', ...args] = command;
  const { status, stdout, stderr } = spawnSync(program, args, { cwd, env, encoding: 'utf8' });
  return { status, stdout, stderr };
}

describe('check-cuda-build.sh without nvcc', () => {
  const without = (ci?: string) => {
    const folder = temporaryFolder();
    mkdirSync(join(folder, 'scripts'));
    copyFileSync(join(root, 'scripts/check-cuda-build.sh'), join(folder, 'scripts/check-cuda-build.sh'));
    const env = {
      PATH: '/usr/bin:/bin',
      CUDACXX: join(folder, 'nvcc'),
      ...(ci === undefined ? {} : { CI: ci }),
    };
    return run(['/bin/bash', 'scripts/check-cuda-build.sh'], env, folder);
  };

  it('says that it leaves the build out', () => {
    expect(without()).toMatchObject({
      status: 0,
      stdout: expect.stringMatching(/^check-cuda-build: left out: .*\n$/),
    });
  });

  it('fails on CI', () => {
    expect(without('true')).toMatchObject({
      status: 1,
      stderr: expect.stringMatching(/^check-cuda-build: nvcc is missing; install the CUDA toolkit .*\n$/),
    });
  });
});

describe('idle.mjs', () => {
  const trace = (rows: string[]) => {
    const path = join(temporaryFolder(), 'trace.csv');
    const head = 'Processing [step.sqlite]...\n\nStart (ns),Duration (ns),CorrId,Strm,Name';
    writeFileSync(path, `${head}\n${rows.join('\n')}\n`);
    return run([process.execPath, 'scripts/gpu-check/idle.mjs', path]);
  };
  const update = (start: number) => `${start},100,1,7,"void adamw_kernel<float, 4>(a, b)"`;

  it('counts what no kernel or copy covers, from the third update on', () => {
    // Two steps of 1000 ns after the third update: one full, one with 300 ns of overlap and 200 ns of nothing.
    const rows = [
      ...[0, 200, 900].map(update),
      '1000,900,1,7,gemm',
      update(1900),
      '2000,500,1,7,gemm',
      '2200,500,1,8,copy',
      update(2900),
    ];
    const { status, stdout } = trace(rows);
    expect(status).toBe(0);
    expect(JSON.parse(stdout)).toEqual({
      idle_share: expect.closeTo(0.1, 12),
      longest_gap_us: 0.2,
      steps: 2,
      step_ms: 0.001,
    });
  });

  it('refuses a trace of too few steps', () => {
    const { status, stderr } = trace([0, 200, 900].map(update));
    expect(status).toBe(1);
    expect(stderr).toBe('idle: 3 weight updates in the trace; at least four steps are needed\n');
  });
});

describe('report.mjs', () => {
  it('merges the checks of all runs, one out of memory and one left out among them', () => {
    const out = temporaryFolder();
    mkdirSync(join(out, 'checks'));
    const check = (name: string, result: string, reason: string, data?: object) => {
      writeFileSync(
        join(out, 'checks', `${name}.json`),
        JSON.stringify({ name, result, seconds: 3, reason }),
      );
      if (data !== undefined) writeFileSync(join(out, 'checks', `${name}.data`), `${JSON.stringify(data)}\n`);
    };
    const native = { images_per_s: 2560, step_s: 0.1, peak_mib: 9000 };
    check('idle', 'left out', 'nsys is missing');
    check('tests', 'failed', '', undefined);
    const kernel = { name: 'gelu', sizes: [2, 3], calls: 4, seconds: 2e-3, predicted: 1e-3, reached: 0.5 };
    const rates = { copy_gb_per_s: 4000, product_tflops: 700 };
    check('kernels-base', 'passed', '', { model: 'base', batch: 256, ...rates, kernels: [kernel] });
    check('step-base-256-none-best', 'passed', '', {
      speedup: 1.25,
      peak_ratio: 0.5,
      form: 'best',
      native,
      torch: { images_per_s: 2048, step_s: 0.125, peak_mib: 18000 },
    });
    check('step-large-512-dall-e-reference', 'passed', '', {
      form: 'reference',
      native,
      out_of_memory: { torch: 'out of memory: CUDA out of memory.' },
    });
    expect(run([process.execPath, 'scripts/gpu-check/report.mjs', out, 'Some GPU'])).toMatchObject({
      status: 0,
      stderr: '',
    });
    const text = readFileSync(join(out, 'results.md'), 'utf8');
    expect(text).toContain('| idle | left out: nsys is missing | 3 |');
    expect(text).toContain('| tests | failed | 3 |');
    // 28.16 TFLOP in 0.1 s of 700 TFLOP/s.
    expect(text).toContain(
      '| base | 256 | none | best | 2560.0 | 2048.0 | 1.250 | 9000 | 18000 | 0.500 | 40.2 |',
    );
    expect(text).toContain(
      '| large | 512 | dall-e | reference | 2560.0 | out of memory | - | 9000 | out of memory | - | - |',
    );
    expect(text).toContain('| gelu | 2 x 3 | 4 | 2.0000 | 1.0000 | 0.50 |');
    const results = JSON.parse(readFileSync(join(out, 'results.json'), 'utf8'));
    expect(results.device).toBe('Some GPU');
    expect(results.checks).toHaveLength(5);
  });
});

describe('gpu-check.sh', () => {
  it('keeps the results of parts that ran before', () => {
    const [out, bin] = [temporaryFolder(), temporaryFolder()];
    writeFileSync(join(bin, 'nvidia-smi'), '#!/bin/sh\necho "Made up, 580.00, 9.0"\n');
    chmodSync(join(bin, 'nvidia-smi'), 0o755);
    mkdirSync(join(out, 'checks'));
    writeFileSync(
      join(out, 'checks/build.json'),
      '{"name":"build","result":"passed","seconds":9,"reason":""}',
    );
    const env = {
      ...process.env,
      PATH: `${bin}:/usr/bin:/bin:${join(process.execPath, '..')}`,
      CAE_NATIVE_ADDON: '/none',
    };
    const { status, stdout } = run(['/bin/bash', 'scripts/gpu-check.sh', out, 'idle', 'nonsense'], env);
    expect(status).toBe(1);
    expect(stdout).toMatch(/^device: Made up, 580\.00, 9\.0\nidle +left out +0 s +nsys is missing\n/);
    const { checks } = JSON.parse(readFileSync(join(out, 'results.json'), 'utf8'));
    expect(checks.map(({ name }: { name: string }) => name)).toEqual(['build', 'idle']);
  });
});
