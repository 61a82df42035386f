#!/usr/bin/env node
/**
 * Prints how the two runs of the quickstart went, from their logs and token-statistics.mjs's line in tokens.json.
 * usage: node scripts/quickstart-summary.mjs OUT
 */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';

const out = process.argv[2] ?? 'quickstart';

/** First and last epoch of a run's log.txt. */
function ends(run) {
  const path = join(out, run, 'log.txt');
  const lines = readFileSync(path, 'utf8').trimEnd().split('\n');
  return { path, epochs: lines.length, first: JSON.parse(lines[0]), last: JSON.parse(lines.at(-1)) };
}

const tokenizer = ends('tokenizer');
const cae = ends('pretrain');
const tokens = JSON.parse(readFileSync(join(out, 'tokens.json'), 'utf8'));
const digits = (value) => value.toFixed(4);
const percent = (share) => `${(100 * share).toFixed(1)} %`;
const fromTo = (run, key, show) => `${show(run.first[key])} -> ${show(run.last[key])}`;
const rows = [
  ['tokenizer loss', fromTo(tokenizer, 'train_loss', digits)],
  ['', `${tokenizer.epochs} epochs, ${tokenizer.path}`],
  [
    'codebook',
    `${tokens.used} of ${tokens.vocabulary} words used (${percent(tokens.used / tokens.vocabulary)})`,
  ],
  [
    'CAE token loss',
    `${fromTo(cae, 'train_loss_main', digits)} (guessing: ln ${tokens.vocabulary} = ${digits(Math.log(tokens.vocabulary))}; ` +
      `by frequency: ${digits(tokens.entropy)})`,
  ],
  [
    'CAE accuracy',
    `${fromTo(cae, 'train_mlm_acc', percent)} of masked tokens (the most frequent token's share: ${percent(tokens.top_share)})`,
  ],
  ['', `${cae.epochs} epochs, ${cae.path}`],
];
for (const [name, text] of rows) console.log(`  ${name.padEnd(14)}  ${text}`);
