import { defineConfig } from 'vitest/config';

/** The tests of ops, layers and models on a CUDA device, emulated or real: scripts/test-emulated.sh. */
export default defineConfig({
  test: {
    include: [
      'test/cuda/**/*.test.ts',
      'test/native/{ops,vision,conv}.test.ts',
      'test/tensor/*.test.ts',
      'test/nn/*.test.ts',
      'test/optim/adamw.test.ts',
      'test/parity/*.test.ts',
    ],
    setupFiles: ['test/cuda/use-cuda.ts'],
    pool: 'forks',
    maxWorkers: 2,
    testTimeout: 300_000,
  },
});
