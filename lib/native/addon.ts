import { loadAddon } from './find-addon.js';

/** The native core. Loading it fails with one line that says what is wrong and what to run. */
export const native = loadAddon();
