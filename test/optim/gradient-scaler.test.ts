import { describe, expect, it } from 'vitest';
import { GradientScaler } from '../../lib/optim/gradient-scaler.js';

describe('the gradient scaler', () => {
  it('starts at 65536, doubles after 2000 finite steps in a row, halves at one that is not', () => {
    const scaler = new GradientScaler({ enabled: true });
    expect(scaler.scale).toBe(65536);
    for (let i = 0; i < 1999; i++) expect(scaler.update(true)).toBe(true);
    expect(scaler.scale).toBe(65536);
    scaler.update(true);
    expect(scaler.scale).toBe(131072);
    expect(scaler.update(false)).toBe(false);
    expect(scaler.scale).toBe(65536);
    expect(scaler.update(false)).toBe(false);
    expect(scaler.scale).toBe(32768);
    expect(scaler.skipped).toBe(2);
  });

  it('counts finite steps anew after one that is not', () => {
    const scaler = new GradientScaler({ enabled: true, initScale: 8, growthInterval: 3 });
    for (const finite of [true, true, false, true, true]) scaler.update(finite);
    expect(scaler.scale).toBe(4);
    scaler.update(true);
    expect(scaler.scale).toBe(8);
  });

  it('goes on from a saved state as if it had never stopped', () => {
    const make = (): GradientScaler => new GradientScaler({ enabled: true, growthInterval: 4 });
    const outcomes = Array.from({ length: 40 }, (_, i) => i % 11 !== 7);
    const whole = make();
    let broken = make();
    outcomes.forEach((finite, i) => {
      whole.update(finite);
      broken.update(finite);
      if (i % 5 === 2) {
        const state = JSON.parse(JSON.stringify(broken.state()));
        broken = make();
        broken.load(state);
      }
      expect(broken.state()).toEqual(whole.state());
    });
  });

  it('is 1 for good where it is off', () => {
    const scaler = new GradientScaler({ enabled: false });
    expect(scaler.update(false)).toBe(true);
    for (let i = 0; i < 2001; i++) scaler.update(true);
    expect(scaler.state()).toEqual({ scale: 1, goodSteps: 0, skipped: 0 });
  });

  it.each([{ initScale: 0 }, { initScale: Number.NaN }, { growthFactor: 1 }, { backoffFactor: 1 }])(
    'refuses %j',
    (options) => {
      expect(() => new GradientScaler({ enabled: true, ...options })).toThrow(RangeError);
    },
  );
});
