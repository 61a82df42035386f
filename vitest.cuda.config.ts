import { defineConfig } from 'vitest/config';

/** The tests of ops, layers and models on a CUDA device, emulated or real: scripts/test-emulated.sh. */
export default defineConfig({
  test: {
    include: [
      'test/cuda/**/*.test.ts',
      // Without the finite differences through attention, the plain convolutions and the statistics of draws: minutes on an emulated device,
      // and test/cuda holds the same kernels against the CPU's.
      'test/native/{ops,classify-ops,augment}.test.ts',
      'test/tensor/{checkpoint,gradients,memory,parameter,residual-norm}.test.ts',
      'test/nn/*.test.ts',
      'test/optim/{adamw,gradient-scaler,momentum}.test.ts',
      'test/parity/*.test.ts',
    ],
    globalSetup: ['test/build-cli.ts'],
    setupFiles: ['test/cuda/use-cuda.ts'],
    pool: 'forks',
    maxWorkers: 2,
    testTimeout: 300_000,
  },
});
