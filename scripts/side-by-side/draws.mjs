#!/usr/bin/env node
// Writes what this package's augmentations draw as JSON, a list of numbers a quantity. Needs the built package.
//
//   node scripts/side-by-side/draws.mjs PICTURES CROPS > draws.json
import * as mixup from '../../dist/data/mixup.js';
import * as randAugment from '../../dist/data/rand-augment.js';
import * as random from '../../dist/data/random.js';
import * as randomErasing from '../../dist/data/random-erasing.js';
import * as trainAugmenter from '../../dist/data/train-augmenter.js';
import * as image from '../../dist/native/image.js';
import { drawQuantities } from './quantities.mjs';

const [pictures, crops] = process.argv.slice(2).map(Number);
if (!(pictures > 0 && crops > 0)) {
  console.error('usage: draws.mjs PICTURES CROPS');
  process.exit(2);
}
const modules = { mixup, randAugment, random, randomErasing, trainAugmenter, image };
console.log(JSON.stringify(Object.fromEntries(await drawQuantities(modules, pictures, crops))));
