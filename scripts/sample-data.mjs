#!/usr/bin/env node
/**
 * Draws a sample data set: real JPEG files of ten classes in the image-folder layout, a fifth of them for
 * validation. Every picture is a function of (seed, class, number): asking for more images adds files and changes
 * none.
 */
import { existsSync, readdirSync } from 'node:fs';
import { mkdir, rename, rm, writeFile } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { parseArgs } from 'node:util';
import sharp from 'sharp';
import { classNames, drawPicture } from './sample-data/picture.mjs';

const usage = `usage: node scripts/sample-data.mjs OUT [--images 400] [--size 96..200 | 160x120 | 96..200x96..160] [--seed 0]

Writes OUT/train/<class>/NNN.jpg and OUT/val/<class>/NNN.jpg (four to one).
  --images N  pictures in all, spread evenly over ${classNames.length} classes
  --size      width x height in pixels, each a number or a range LOW..HIGH drawn per picture
  --seed S    a different set of pictures for each S`;

/** Every fifth picture of a class is kept for validation, whatever their number. */
const isValidation = (index) => index % 5 === 4;

class UsageError extends Error {}

function wholeNumber(name, text, low, high) {
  const value = Number(text);
  if (!/^\d+$/.test(text) || value < low || value > high) {
    throw new UsageError(`--${name} ${text}: give a whole number from ${low} to ${high}`);
  }
  return value;
}

/** `160x120`, `96..200`, `96..200x96..160` → ranges of width and height. */
function parseSize(text) {
  const sides = text.split('x').map((side) => {
    const ends = side.split('..').map((end) => wholeNumber('size', end, 16, 4096));
    if (ends.length > 2 || ends[0] > ends.at(-1)) {
      throw new UsageError(`--size ${text}: a range is written LOW..HIGH`);
    }
    return [ends[0], ends.at(-1)];
  });
  if (sides.length > 2) throw new UsageError(`--size ${text}: give WIDTHxHEIGHT, or one range for both`);
  return { widths: sides[0], heights: sides.at(-1) };
}

function parseArguments() {
  let parsed;
  try {
    parsed = parseArgs({
      allowPositionals: true,
      options: {
        images: { type: 'string', default: '400' },
        size: { type: 'string', default: '96..200' },
        seed: { type: 'string', default: '0' },
        help: { type: 'boolean', short: 'h', default: false },
      },
    });
  } catch (error) {
    throw new UsageError(error.message);
  }
  const { values, positionals } = parsed;
  if (values.help) return undefined;
  if (positionals.length !== 1) throw new UsageError('give one folder to write to');
  return {
    out: resolve(positionals[0]),
    images: wholeNumber('images', values.images, classNames.length, 1_000_000),
    seed: wholeNumber('seed', values.seed, 0, 2 ** 32 - 1),
    ...parseSize(values.size),
  };
}

async function drawAll({ out, images, seed, widths, heights }) {
  if (existsSync(out) && readdirSync(out).length > 0) {
    throw new UsageError(`${out} is not empty: name a new folder, or remove it first`);
  }
  // Drawn aside and renamed: a data set that exists is complete.
  const partial = `${out}.partial-${process.pid}`;
  const counts = { train: 0, val: 0 };
  try {
    for (const [label, className] of classNames.entries()) {
      for (const split of ['train', 'val']) await mkdir(join(partial, split, className), { recursive: true });
      const share = Math.floor(images / classNames.length) + (label < images % classNames.length ? 1 : 0);
      for (let index = 0; index < share; index++) {
        const { width, height, pixels } = drawPicture({ seed, className, index, widths, heights });
        const jpeg = await sharp(pixels, { raw: { width, height, channels: 3 } })
          .jpeg({ quality: 90 })
          .toBuffer();
        const split = isValidation(index) ? 'val' : 'train';
        const name = `${String(index).padStart(3, '0')}.jpg`;
        await writeFile(join(partial, split, className, name), jpeg);
        counts[split]++;
      }
    }
    await rename(partial, out);
  } catch (error) {
    await rm(partial, { recursive: true, force: true });
    throw error;
  }
  return counts;
}

try {
  const options = parseArguments();
  if (options === undefined) console.log(usage);
  else {
    const { train, val } = await drawAll(options);
    console.log(
      `${options.out}: ${train} training and ${val} validation images of ${classNames.length} classes`,
    );
  }
} catch (error) {
  const hint = error instanceof UsageError ? ' (--help shows the options)' : '';
  console.error(`sample-data: ${error.message}${hint}`);
  process.exitCode = 1;
}
