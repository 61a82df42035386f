/** What the table needs to know of a parameter or fixed table. */
export interface ParameterInfo {
  /** Dotted, as in the state dict: `encoder.blocks.0.attn.qkv.weight`. */
  readonly name: string;
  readonly shape: readonly number[];
  /** Bytes an element takes: 4 for float32. */
  readonly dtypeBytes: number;
  readonly trainable: boolean;
}

interface Row {
  readonly label: string;
  readonly shape: string;
  readonly members: readonly ParameterInfo[];
}

/**
 * The parameters as a table: a heading with its sum for each top-level module, below it a row for each of its parts,
 * repeated blocks in one row, then totals. Sizes are of the weights alone, in MiB.
 *
 * @returns lines joined by newlines, without one at the end
 */
export function parameterTable(parameters: readonly ParameterInfo[]): string {
  const rows: Row[] = [];
  for (const [module, members] of groupBy(parameters, ({ name }) => name.split('.')[0] ?? name)) {
    const parts = [...groupBy(members, partName)];
    const lone = members.length === 1 && members[0]!.name === module;
    rows.push({ label: module, shape: lone ? shapeText(members[0]!.shape) : '', members });
    if (lone) continue;
    for (const [, tensors] of parts) rows.push(partRow(module, tensors));
  }
  const fixed = parameters.filter(({ trainable }) => !trainable);
  rows.push({ label: 'total', shape: countText(parameters), members: parameters });
  if (fixed.length > 0) {
    const trained = parameters.filter(({ trainable }) => trainable);
    rows.push({ label: '  trainable', shape: countText(trained), members: trained });
    rows.push({ label: '  fixed', shape: countText(fixed), members: fixed });
  }
  return align([['parameters', 'count', 'MiB', 'shape', 'trainable'], ...rows.map(cells)]);
}

/** Path of the part below the top-level module, block numbers left out: `encoder.blocks.0.norm1.bias` → `blocks.*`. */
function partName({ name }: ParameterInfo): string {
  const path = name.split('.').slice(1);
  const number = path.findIndex((step) => /^\d+$/.test(step));
  return number < 0 ? (path[0] ?? '') : [...path.slice(0, number), '*'].join('.');
}

function partRow(module: string, tensors: readonly ParameterInfo[]): Row {
  const first = tensors[0]!;
  const part = partName(first);
  if (!part.endsWith('*')) {
    // A lone tensor is named in full: `proj.weight` says more than `proj`.
    const label = tensors.length === 1 ? first.name.slice(module.length + 1) : part;
    return { label: `  ${label}`, shape: tensorsText(tensors), members: tensors };
  }
  const depth = part.split('.').length;
  const blocks = groupBy(tensors, ({ name }) => name.split('.')[depth] ?? '');
  const numbers = [...blocks.keys()].map(Number).sort((a, b) => a - b);
  const each = blocks.values().next().value ?? [];
  const alike = [...blocks.values()].every((block) => block.length === each.length);
  const range = numbers.length === 1 ? `${numbers[0]}` : `${numbers[0]}-${numbers.at(-1)}`;
  const shape = alike ? `${blocks.size} × ${tensorsText(each)}` : tensorsText(tensors);
  return { label: `  ${part.slice(0, -1)}${range}`, shape, members: tensors };
}

function cells({ label, shape, members }: Row): string[] {
  let count = 0;
  let bytes = 0;
  for (const member of members) {
    const elements = member.shape.reduce((product, size) => product * size, 1);
    count += elements;
    bytes += elements * member.dtypeBytes;
  }
  const trained = members.filter(({ trainable }) => trainable).length;
  const trainable = trained === 0 ? 'no' : trained === members.length ? 'yes' : 'partly';
  return [label, count.toLocaleString('en-US'), (bytes / 2 ** 20).toFixed(2), shape, trainable];
}

function tensorsText(tensors: readonly ParameterInfo[]): string {
  return tensors.length === 1 ? shapeText(tensors[0]!.shape) : countText(tensors);
}

function countText(tensors: readonly ParameterInfo[]): string {
  return tensors.length === 1 ? '1 tensor' : `${tensors.length} tensors`;
}

function shapeText(shape: readonly number[]): string {
  return `[${shape.join(', ')}]`;
}

/** Columns two spaces apart; counts and sizes flush right; rules below the heading and above the totals. */
function align(rows: readonly string[][]): string {
  const widths = rows[0]!.map((_, column) => Math.max(...rows.map((row) => row[column]!.length)));
  const lines = rows.map((row) =>
    row
      .map((cell, column) =>
        column === 1 || column === 2 ? cell.padStart(widths[column]!) : cell.padEnd(widths[column]!),
      )
      .join('  ')
      .trimEnd(),
  );
  const rule = '-'.repeat(Math.max(...lines.map((line) => line.length)));
  const total = rows.findIndex((row) => row[0] === 'total');
  return [lines[0], rule, ...lines.slice(1, total), rule, ...lines.slice(total)].join('\n');
}

function groupBy<T>(items: readonly T[], keyOf: (item: T) => string): Map<string, T[]> {
  const groups = new Map<string, T[]>();
  for (const item of items) {
    const key = keyOf(item);
    const group = groups.get(key);
    if (group === undefined) groups.set(key, [item]);
    else group.push(item);
  }
  return groups;
}
