import { isMainThread } from 'node:worker_threads';
import { loadAddon } from './find-addon.js';

const loaded = loadAddon();

/** The native core. Loading it fails with one line that says what is wrong and what to run. */
export const native = loaded.addon;

/** What was tried for it. */
export const addonAttempts = loaded.attempts;

// Libraries are taken down at the end of the process, under the work of whoever still uses them.
if (isMainThread) process.once('exit', () => native.abandonWork());
