import type { ParityRun } from './types.js';

/** How each kind of fixture is run; loaded when met. */
export const parityKinds: Readonly<Record<string, () => Promise<ParityRun>>> = {
  'cae-step': async () => (await import('./cae-step.js')).runCaeStep,
  'vit-finetune-step': async () => (await import('./vit-finetune-step.js')).runVitFinetuneStep,
  'linear-probe-steps': async () => (await import('./probe-steps.js')).runLinearProbeSteps,
  'attentive-probe-steps': async () => (await import('./probe-steps.js')).runAttentiveProbeSteps,
  'dalle-dvae': async () => (await import('./dalle-dvae.js')).runDalleDvae,
  'discrete-vae': async () => (await import('./discrete-vae.js')).runDiscreteVae,
  'pillow-resized-crop': async () => (await import('./pillow-resized-crop.js')).runPillowResizedCrop,
  'cosine-schedules': async () => (await import('./cosine-schedules.js')).runCosineSchedules,
};
