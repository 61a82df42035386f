import { Random } from './random.mjs';
import { scenes } from './scenes.mjs';

/** The classes' names, sorted: an image folder numbers its classes so. */
export const classNames = Object.keys(scenes).sort();

/** Four points a pixel, on a turned grid: edges near the axes, the common ones, get four levels rather than two. */
const subPixels = [
  [0.375, 0.125],
  [0.875, 0.375],
  [0.125, 0.625],
  [0.625, 0.875],
];

/**
 * Draws one picture: its pixels are a function of the arguments alone.
 *
 * @param {object} picture
 * @param {number} picture.seed
 * @param {string} picture.className one of `classNames`
 * @param {number} picture.index its number within the class
 * @param {[low: number, high: number]} picture.widths range its width is drawn from, in pixels
 * @param {[low: number, high: number]} picture.heights
 * @returns {{ width: number, height: number, pixels: Uint8Array }} pixels row by row, RGB
 */
export function drawPicture({ seed, className, index, widths, heights }) {
  // Sizes come from a stream of their own: the same scene is drawn at whatever size is asked for.
  const sizes = new Random(seed, classNames.indexOf(className), index, 1);
  const width = sizes.integer(...widths);
  const height = sizes.integer(...heights);
  const random = new Random(seed, classNames.indexOf(className), index, 0);
  const shade = scenes[className](random, width, height);
  const pixels = new Uint8Array(width * height * 3);
  const colour = new Float64Array(3);
  for (let row = 0, at = 0; row < height; row++) {
    for (let column = 0; column < width; column++, at += 3) {
      let red = 0;
      let green = 0;
      let blue = 0;
      for (const [dx, dy] of subPixels) {
        shade(column + dx, row + dy, colour);
        red += clamp(colour[0]);
        green += clamp(colour[1]);
        blue += clamp(colour[2]);
      }
      pixels[at] = Math.round((red * 255) / subPixels.length);
      pixels[at + 1] = Math.round((green * 255) / subPixels.length);
      pixels[at + 2] = Math.round((blue * 255) / subPixels.length);
    }
  }
  return { width, height, pixels };
}

const clamp = (value) => Math.min(1, Math.max(0, value));
