import { expect, it } from 'vitest';
import { runCliWith } from '../cli/run-cli.js';
import { fixture } from '../fixtures.js';

// A CPU without AVX-512, as far as oneDNN can tell: it has no bf16 there, which is widened to f32.
it.each(['cae_step', 'dalle_dvae', 'discrete_vae', 'finetune_step'])(
  '%s in bf16 is right where oneDNN has none',
  (name) => {
    const { status, stdout, stderr } = runCliWith(
      { ONEDNN_MAX_CPU_ISA: 'AVX2' },
      ...['parity', fixture(`${name}.safetensors`), '--precision', 'bf16'],
    );
    expect(stderr).not.toContain('error');
    expect(stdout).toContain('ok ');
    expect(stdout).not.toContain('FAIL');
    expect(status).toBe(0);
  },
);
