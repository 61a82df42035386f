import { oneLine, UserError } from '../errors.js';

/** What is known of a tensor before it is read. */
export interface Shaped {
  readonly shape: readonly number[];
}

/** How a checkpoint's tensors and a model's agree, by name. */
export interface LoadReport {
  /** Names in both, of equal shape. */
  readonly matched: readonly string[];
  /** The model's names that the checkpoint lacks. */
  readonly missing: readonly string[];
  /** The checkpoint's names that the model lacks. */
  readonly leftOver: readonly string[];
  /** Names in both whose shapes differ. */
  readonly mismatched: readonly {
    readonly name: string;
    readonly stored: readonly number[];
    readonly wanted: readonly number[];
  }[];
}

/** Compares names and shapes; nothing is read. */
export function compareTensors(
  stored: ReadonlyMap<string, Shaped>,
  wanted: ReadonlyMap<string, Shaped>,
): LoadReport {
  const matched: string[] = [];
  const mismatched: LoadReport['mismatched'][number][] = [];
  for (const [name, { shape }] of wanted) {
    const found = stored.get(name)?.shape;
    if (found === undefined) continue;
    if (found.join() === shape.join()) matched.push(name);
    else mismatched.push({ name, stored: found, wanted: shape });
  }
  return {
    matched,
    mismatched,
    missing: [...wanted.keys()].filter((name) => !stored.has(name)),
    leftOver: [...stored.keys()].filter((name) => !wanted.has(name)),
  };
}

/** The report as lines to print: counts, then the names of what is missing and left over. */
export function reportLines(source: string, report: LoadReport): string[] {
  const { matched, missing, leftOver } = report;
  const lines = [`${source}: ${matched.length} tensors matched`];
  if (missing.length > 0) lines.push(`  missing, left as initialised: ${named(missing)}`);
  if (leftOver.length > 0) lines.push(`  left over, not used: ${named(leftOver)}`);
  return lines;
}

/**
 * Refuses a checkpoint that is not this model's: one with a shape that differs, or of whose `essential` tensors
 * nothing matched.
 *
 * @param essential whether a name belongs to what the checkpoint is read for: the encoder
 * @throws UserError naming the file, the tensors and both shapes
 */
export function checkReport(
  source: string,
  report: LoadReport,
  essential: (name: string) => boolean = () => true,
): void {
  const { matched, mismatched, leftOver } = report;
  const [first] = mismatched;
  if (first !== undefined) {
    const text = ({ name, stored, wanted }: typeof first): string =>
      `${name} is [${stored.join(', ')}] there and [${wanted.join(', ')}] here`;
    const more = mismatched.length > 3 ? `, and ${mismatched.length - 3} more` : '';
    throw new UserError(
      `${source} is of another model: ${mismatched.slice(0, 3).map(text).join('; ')}${more}; give the --model it was trained with`,
    );
  }
  if (!matched.some(essential)) {
    throw new UserError(
      `${source}: nothing of the encoder matched; it holds ${leftOver.length === 0 ? 'nothing' : named(leftOver)}; give a pretrained checkpoint, or --model_key`,
    );
  }
}

/** Names joined; of many, the first few. */
function named(names: readonly string[]): string {
  const shown = 8;
  const rest = names.length > shown ? `, … (${names.length} in all)` : '';
  return oneLine(names.slice(0, shown).join(', ')) + rest;
}
