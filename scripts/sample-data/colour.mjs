/** @typedef {[red: number, green: number, blue: number]} Colour  0 … 1 each; beyond is cut when written */

/** Hue in degrees (any), saturation and lightness 0 … 1. @returns {Colour} */
export function hsl(hue, saturation, lightness) {
  const chroma = saturation * Math.min(lightness, 1 - lightness);
  const channel = (n) => {
    const k = (((n + hue / 30) % 12) + 12) % 12;
    return lightness - chroma * Math.max(-1, Math.min(k - 3, 9 - k, 1));
  };
  return [channel(0), channel(8), channel(4)];
}

/** Colours of one picture: a calm background pair and a strong pair far from it in hue. */
export function palette(random) {
  const hue = random.uniform(0, 360);
  const dark = random.chance(0.4);
  const ground = (shift) =>
    hsl(
      hue + shift * random.uniform(10, 50),
      random.uniform(0.12, 0.5),
      dark ? random.uniform(0.14, 0.36) : random.uniform(0.55, 0.86),
    );
  const objectHue = hue + random.uniform(70, 290);
  const object = (shift) =>
    hsl(
      objectHue + shift * random.uniform(8, 45),
      random.uniform(0.6, 0.95),
      dark ? random.uniform(0.5, 0.68) : random.uniform(0.3, 0.5),
    );
  return { ground: [ground(0), ground(1)], object: [object(0), object(1)] };
}
