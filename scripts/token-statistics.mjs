#!/usr/bin/env node
/**
 * Counts the tokens that the quickstart's pretraining learns to predict: those at masked places of an epoch's crops.
 * Prints one JSON line: the vocabulary, how many of its words occur, how often the most frequent one does (what a
 * predictor gets right that always names it), and the tokens' entropy [nats] (the loss of one that knows how often each
 * occurs).
 * usage: node scripts/token-statistics.mjs DATA TOKENIZER
 */
import { ImageFolder } from '../dist/data/image-folder.js';
import { createPretrainLoader } from '../dist/data/pretrain-transform.js';
import { loadTokenizer } from '../dist/models/tokenizer.js';
import { scope } from '../dist/tensor/scope.js';
import { halfNormalization, ImageNormalizer } from '../dist/training/pretrain.js';

const [data = '', path = ''] = process.argv.slice(2);
const tokenizer = await loadTokenizer('customized', path);
const images = new ImageNormalizer(halfNormalization);
// As scripts/quickstart.sh pretrains.
const grid = 8;
const loader = createPretrainLoader({
  images: new ImageFolder(data),
  batchSize: 32,
  seed: 0,
  numWorkers: 2,
  inputSize: 8 * grid,
  inputFilter: 'bicubic',
  secondInputSize: tokenizer.reduction * grid,
  secondFilter: 'lanczos',
  cropMinSize: 0.08,
  cropMaxSize: 1,
  colorJitter: 0,
  mask: { kind: 'block', grid: [grid, grid], numMaskPatches: 32, minMaskPatchesPerBlock: 16 },
});
const counts = new Array(tokenizer.vocabulary).fill(0);
let total = 0;
for (let i = 0; i < loader.batchesPerEpoch; i++) {
  const { size, tokenizerImages, masks, release } = await loader.next();
  const tokens = scope(() => tokenizer.encode(images.apply(tokenizerImages, size, true)).dataSync());
  for (let place = 0; place < tokens.length; place++) {
    if (masks[place] === 0) continue;
    counts[tokens[place]] += 1;
    total += 1;
  }
  release();
}
loader.close();
const shares = counts.filter((count) => count > 0).map((count) => count / total);
const statistics = {
  vocabulary: tokenizer.vocabulary,
  used: shares.length,
  top_share: Math.max(...shares),
  entropy: -shares.reduce((sum, share) => sum + share * Math.log(share), 0),
};
console.log(JSON.stringify(statistics));
