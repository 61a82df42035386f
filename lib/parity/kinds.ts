import type { ParityRun } from './types.js';

/** How each kind of fixture is run; loaded when met. */
export const parityKinds: Readonly<Record<string, () => Promise<ParityRun>>> = {
  'cae-step': async () => (await import('./cae-step.js')).runCaeStep,
  'pillow-resized-crop': async () => (await import('./pillow-resized-crop.js')).runPillowResizedCrop,
  'cosine-schedules': async () => (await import('./cosine-schedules.js')).runCosineSchedules,
};
