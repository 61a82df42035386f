import { defineConfig } from 'vitest/config';

export default defineConfig({
  test: {
    include: ['test/**/*.test.ts'],
    globalSetup: ['test/build-cli.ts'],
    // These need a CUDA device: vitest.cuda.config.ts runs them.
    exclude: ['test/cuda/**'],
    // The native core is one process-wide device with its own threads: a process a file, two at a time.
    pool: 'forks',
    maxWorkers: 2,
    testTimeout: 60_000,
    hookTimeout: 60_000,
  },
});
