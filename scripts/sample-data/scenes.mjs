import { palette } from './colour.mjs';
import { fractalNoise, latticeNoise, mix, smoothStep } from './random.mjs';
import { scale, seedOf } from './shading.mjs';
import { shapes } from './shapes.mjs';
import { checker, stripes, waves } from './textures.mjs';

/**
 * @typedef {(x: number, y: number, out: Float64Array) => void} Shader
 *   colour (0 … 1) at a point of the picture, in pixels, into `out`
 */

/** Light from a random side, above the picture's plane; unit length, z towards the viewer, y downwards. */
function drawLight(random) {
  const angle = random.uniform(0, 2 * Math.PI);
  const height = random.uniform(0.55, 0.8);
  const flat = Math.sqrt(1 - height * height);
  return [flat * Math.cos(angle), flat * Math.sin(angle), height];
}

/** A wall: gradient of two colours with plaster, brushed metal or blotches, brighter towards the light. */
function drawGround(random, width, height, [first, second], light) {
  const side = Math.min(width, height);
  const angle = random.uniform(0, 2 * Math.PI);
  const cos = Math.cos(angle) / side;
  const sin = Math.sin(angle) / side;
  const seed = seedOf(random);
  const grain = random.uniform(0.05, 0.12);
  const [along, across] = random.pick([
    [4, 4],
    [1.2, 14],
    [2, 2],
  ]);
  const falloff = random.uniform(0.15, 0.35);
  return (x, y, out) => {
    const dx = x - width / 2;
    const dy = y - height / 2;
    const u = dx * cos + dy * sin;
    const v = dy * cos - dx * sin;
    const noise = fractalNoise(seed, u * along + 100, v * across + 100);
    const t = smoothStep(-0.75, 0.75, u + 0.25 * noise);
    const shade = 1 + grain * 2 * noise + (falloff * (dx * light[0] + dy * light[1])) / side;
    for (let c = 0; c < 3; c++) out[c] = mix(first[c], second[c], t) * shade;
  };
}

/** A solid piece of the shape, with bevelled edges, a two-colour glaze and a soft shadow on the ground. */
function drawPiece(random, distance, centre, radius, [first, second], light) {
  const angle = random.uniform(0, 2 * Math.PI);
  const cos = Math.cos(angle) / radius;
  const sin = Math.sin(angle) / radius;
  const bevel = random.uniform(0.12, 0.3);
  const lift = random.uniform(0.12, 0.24);
  const seed = seedOf(random);
  const gloss = random.uniform(0.15, 0.5);
  const at = (x, y) => distance(x * cos + y * sin, y * cos - x * sin);
  const step = 0.02 * radius;
  return (px, py, out) => {
    const x = px - centre[0];
    const y = py - centre[1];
    const reach = Math.max(Math.abs(x), Math.abs(y)) / radius;
    if (reach > 1.7) return;
    const d = at(x, y);
    if (d >= 0) {
      const shadow = at(x + light[0] * lift * radius, y + light[1] * lift * radius);
      scale(out, 1 - 0.55 * (1 - smoothStep(-0.12, 0.16, shadow)));
      return;
    }
    const tilt = 1 - smoothStep(0, bevel, -d);
    let nx = 0;
    let ny = 0;
    if (tilt > 0) {
      nx = ((at(x + step, y) - d) / step) * radius * tilt;
      ny = ((at(x, y + step) - d) / step) * radius * tilt;
    }
    const length = Math.sqrt(nx * nx + ny * ny + 1);
    const facing = (nx * light[0] + ny * light[1] + light[2]) / length;
    const glaze = smoothStep(-0.9, 0.9, (x * light[1] - y * light[0]) / radius);
    const noise = 0.08 * latticeNoise(seed, (x / radius) * 3 + 50, (y / radius) * 3 + 50);
    const shade = 0.35 + 0.8 * Math.max(0, facing) + noise;
    const shine = gloss * Math.max(0, facing - 0.9) * 10 * tilt;
    for (let c = 0; c < 3; c++) out[c] = mix(first[c], second[c], glaze) * shade + shine * 0.6;
  };
}

/** One large piece on a wall; now and then a small second one of its kind in a corner. */
function shapeScene(distance) {
  return (random, width, height) => {
    const side = Math.min(width, height);
    const colours = palette(random);
    const light = drawLight(random);
    const layers = [drawGround(random, width, height, colours.ground, light)];
    const radius = side * random.uniform(0.27, 0.4);
    const place = (size, r) =>
      random.uniform(Math.min(r * 1.05, size / 2), Math.max(size - r * 1.05, size / 2));
    const centre = [place(width, radius), place(height, radius)];
    if (random.chance(0.35)) {
      const small = side * random.uniform(0.12, 0.17);
      const corner = [
        centre[0] < width / 2 ? width - small * 1.25 : small * 1.25,
        centre[1] < height / 2 ? height - small * 1.25 : small * 1.25,
      ];
      layers.push(drawPiece(random, distance, corner, small, [...colours.object].reverse(), light));
    }
    layers.push(drawPiece(random, distance, centre, radius, colours.object, light));
    return (x, y, out) => {
      for (const layer of layers) layer(x, y, out);
    };
  };
}

/** A glossy ball, plain or banded, on a table before a wall. */
function sphere(random, width, height) {
  const side = Math.min(width, height);
  const { ground, object } = palette(random);
  const light = drawLight(random);
  light[1] = -Math.abs(light[1]);
  const radius = side * random.uniform(0.27, 0.38);
  const cx = random.uniform(radius * 1.05, width - radius * 1.05);
  const cy = random.uniform(radius * 1.05, height - radius * 1.25);
  const edge = cy + radius * random.uniform(-0.3, 0.5);
  const wall = drawGround(random, width, height, ground, light);
  const table = drawGround(random, width, height, [ground[1], object[1]], light);
  const bands = random.chance(0.5) ? random.uniform(2.2, 4) : 0;
  const tilt = random.uniform(0, Math.PI);
  const shine = random.uniform(12, 40);
  return (x, y, out) => {
    const dx = (x - cx) / radius;
    const dy = (y - cy) / radius;
    const rest = 1 - dx * dx - dy * dy;
    if (rest <= 0) {
      if (y < edge) wall(x, y, out);
      else {
        table(x, y, out);
        scale(out, 0.8);
      }
      // The shadow lies on the table, drawn out away from the light.
      const sx = (dx + light[0] * 0.7) / 1.25;
      const sy = (dy - 0.95) / 0.3;
      if (y >= edge) scale(out, 1 - 0.6 * (1 - smoothStep(0.4, 1.15, Math.hypot(sx, sy))));
      return;
    }
    const dz = Math.sqrt(rest);
    const facing = Math.max(0, dx * light[0] + dy * light[1] + dz * light[2]);
    const latitude = (dx * Math.cos(tilt) + dy * Math.sin(tilt)) * 0.85 + dz * 0.5;
    const colour = bands > 0 && Math.sin(latitude * bands * Math.PI) > 0 ? object[1] : object[0];
    // Phong: the viewer's direction is +z, so only the mirrored light's z counts.
    const mirror = Math.max(0, 2 * facing * dz - light[2]) ** shine;
    const bounce = 0.12 * Math.max(0, dy);
    for (let c = 0; c < 3; c++)
      out[c] = colour[c] * (0.18 + 1.0 * facing) + ground[1][c] * bounce + 0.75 * mirror;
  };
}

/**
 * What each class draws: `(random, width, height)` gives the shader of one picture.
 *
 * @type {Record<string, (random: import('./random.mjs').Random, width: number, height: number) => Shader>}
 */
export const scenes = {
  checker,
  circle: shapeScene(shapes.circle),
  cross: shapeScene(shapes.cross),
  ring: shapeScene(shapes.ring),
  sphere,
  square: shapeScene(shapes.square),
  star: shapeScene(shapes.star),
  stripes,
  triangle: shapeScene(shapes.triangle),
  waves,
};
