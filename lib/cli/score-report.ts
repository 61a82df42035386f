import { writeFileWhole } from '../checkpoint/file-sink.js';
import type { Scores } from '../training/scores.js';
import type { reportFlags } from './classify-flags.js';
import type { FlagValues } from './flags.js';

/** Prints what an evaluation found, on standard output; the accuracy of classes and the confusion matrix on request. */
export async function report(
  flags: FlagValues<typeof reportFlags>,
  classes: readonly string[],
  scores: Scores,
): Promise<void> {
  const { loss, acc1, acc5 } = scores.numbers();
  const lines = [
    `acc@1 ${acc1.toFixed(2)}  acc@5 ${acc5.toFixed(2)}  loss ${loss.toFixed(4)}  (${scores.count} pictures)`,
  ];
  if (flags.class_accuracy) {
    const width = Math.max(...classes.map((name) => name.length));
    for (const [c, accuracy] of scores.classAccuracies().entries()) {
      const text = Number.isNaN(accuracy) ? 'no pictures' : accuracy.toFixed(2).padStart(6);
      lines.push(`  ${(classes[c] as string).padEnd(width)}  ${text}`);
    }
  }
  process.stdout.write(`${lines.join('\n')}\n`);
  if (flags.confusion === undefined) return;
  const table = confusionTable(classes, scores.confusion);
  await writeFileWhole(flags.confusion, (sink) => sink.write(Buffer.from(table)));
}

/** A row for each true class, a column for each predicted one, tab-separated, with names. */
export function confusionTable(classes: readonly string[], confusion: Uint32Array): string {
  const rows = classes.map((name, r) =>
    [name, ...confusion.subarray(r * classes.length, (r + 1) * classes.length)].join('\t'),
  );
  return `${['true \\ predicted', ...classes].join('\t')}\n${rows.join('\n')}\n`;
}
