import { hsl, palette } from './colour.mjs';
import { fractalNoise, latticeNoise, mix, smoothStep } from './random.mjs';
import { blend, mixed, seedOf } from './shading.mjs';

/** Cloth with stripes, its folds catching the light. */
export function stripes(random, width, height) {
  const side = Math.min(width, height);
  const { ground, object } = palette(random);
  const angle = random.uniform(0, Math.PI);
  const cos = Math.cos(angle);
  const sin = Math.sin(angle);
  const period = side / random.uniform(3.2, 6.5);
  const share = random.uniform(0.35, 0.62);
  const phase = random.uniform();
  const seed = seedOf(random);
  const sway = random.uniform(0.15, 0.45);
  const fold = random.uniform(0.14, 0.3);
  return (x, y, out) => {
    const u = (x * cos + y * sin) / period;
    const v = (y * cos - x * sin) / side;
    const folds = latticeNoise(seed, v * 2.5 + 40, u * 0.25 + 40);
    const band = u + phase + sway * folds;
    const within = band - Math.floor(band);
    const inStripe = within < share;
    const colour = inStripe ? object[Math.abs(Math.floor(band)) % 2] : ground[0];
    const weave = 0.03 * latticeNoise(seed + 9, x * 0.7, y * 0.7);
    const round = inStripe ? Math.sin((within / share) * Math.PI) : 0.5;
    const shade = 0.85 + fold * folds + 0.18 * round + weave;
    for (let c = 0; c < 3; c++) out[c] = colour[c] * shade;
  };
}

/** A checkered floor seen at a slant, fading into the sky's haze. */
export function checker(random, width, height) {
  const { ground, object } = palette(random);
  const pale = hsl(random.uniform(0, 360), random.uniform(0.05, 0.25), random.uniform(0.82, 0.95));
  const horizon = height * random.uniform(-0.5, 0.28);
  const turn = random.uniform(0, Math.PI / 2);
  const cos = Math.cos(turn);
  const sin = Math.sin(turn);
  const tiles = random.uniform(2.6, 4.4);
  const offset = random.uniform(0, 8);
  const seed = seedOf(random);
  const glow = random.uniform(0.2, 0.8) * width;
  return (x, y, out) => {
    const below = (y - horizon) / (height - horizon);
    if (below <= 0.02) {
      const t = Math.max(0, y / Math.max(1, horizon));
      for (let c = 0; c < 3; c++) out[c] = mix(ground[1][c], pale[c], 0.25 + 0.65 * t);
      return;
    }
    const depth = 1 / below;
    const fx = ((x - width / 2) / Math.min(width, height)) * depth * tiles;
    const fz = depth * tiles * 1.1;
    const u = fx * cos - fz * sin + offset;
    const v = fx * sin + fz * cos + offset;
    const odd = (Math.floor(u) + Math.floor(v)) & 1;
    const colour = odd ? object[0] : pale;
    const marble = fractalNoise(seed, u * 1.3 + 60, v * 1.3 + 60);
    const light = 1.05 - 0.5 * Math.abs((x - glow) / width);
    for (let c = 0; c < 3; c++) out[c] = colour[c] * (light + 0.12 * marble);
    blend(out, mixed(ground[1], pale, 0.9), 1 - smoothStep(0.04, 0.42, below));
  };
}

/** Water: crossing swells lit from the side, deep in the troughs and bright on the crests. */
export function waves(random, width, height) {
  const side = Math.min(width, height);
  const hue = random.uniform(150, 265);
  const deep = hsl(hue, random.uniform(0.55, 0.85), random.uniform(0.16, 0.28));
  const crest = hsl(hue - random.uniform(5, 40), random.uniform(0.4, 0.7), random.uniform(0.55, 0.72));
  const sun = hsl(random.uniform(20, 60), 0.9, 0.85);
  const heading = random.uniform(0, 2 * Math.PI);
  const swells = [0, 1, 2].map((i) => {
    const angle = heading + random.uniform(-0.5, 0.5) * (i + 0.3);
    const frequency = ((2 * Math.PI) / side) * random.uniform(1.8, 2.8) * (1 + i * 0.9);
    const amplitude = 1 / (1 + i * 1.1);
    return {
      x: Math.cos(angle) * frequency,
      y: Math.sin(angle) * frequency,
      amplitude,
      phase: random.uniform(0, 7),
    };
  });
  const seed = seedOf(random);
  const light = heading + random.uniform(-0.6, 0.6);
  const lx = Math.cos(light);
  const ly = Math.sin(light);
  return (x, y, out) => {
    const drift = 1.2 * fractalNoise(seed, (x / side) * 2 + 30, (y / side) * 2 + 30);
    let level = 0;
    let slope = 0;
    for (const swell of swells) {
      const phase = x * swell.x + y * swell.y + swell.phase + drift;
      level += swell.amplitude * Math.sin(phase);
      slope += (swell.amplitude * Math.cos(phase) * (swell.x * lx + swell.y * ly) * side) / 20;
    }
    const t = smoothStep(-1.5, 1.7, level);
    const shade = 1 + 0.35 * slope;
    for (let c = 0; c < 3; c++) out[c] = mix(deep[c], crest[c], t) * shade;
    blend(out, sun, 0.75 * smoothStep(0.75, 1.5, slope + 0.35 * level));
  };
}
