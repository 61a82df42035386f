#!/usr/bin/env node
/** Prints how the two runs of the quickstart went, from their logs. usage: node scripts/quickstart-summary.mjs OUT */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';

const out = process.argv[2] ?? 'quickstart';
const vocabulary = 256;

/** First and last epoch of a run's log.txt. */
function ends(run) {
  const path = join(out, run, 'log.txt');
  const lines = readFileSync(path, 'utf8').trimEnd().split('\n');
  return { path, epochs: lines.length, first: JSON.parse(lines[0]), last: JSON.parse(lines.at(-1)) };
}

const tokenizer = ends('tokenizer');
const cae = ends('pretrain');
const digits = (value) => value.toFixed(4);
const percent = (share) => `${(100 * share).toFixed(1)} %`;
const rows = [
  ['tokenizer loss', `${digits(tokenizer.first.train_loss)} -> ${digits(tokenizer.last.train_loss)}`],
  ['', `${tokenizer.epochs} epochs, ${tokenizer.path}`],
  [
    'CAE token loss',
    `${digits(cae.first.train_loss_main)} -> ${digits(cae.last.train_loss_main)} (guessing: ${digits(Math.log(vocabulary))})`,
  ],
  [
    'CAE accuracy',
    `${percent(cae.first.train_mlm_acc)} -> ${percent(cae.last.train_mlm_acc)} of masked tokens`,
  ],
  ['', `${cae.epochs} epochs, ${cae.path}`],
];
for (const [name, text] of rows) console.log(`  ${name.padEnd(14)}  ${text}`);
