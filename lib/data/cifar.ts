import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileError, statusOf } from '../checkpoint/file-errors.js';
import { UserError } from '../errors.js';
import type { ImageSource } from '../native/image.js';
import type { ImageSet } from './image-set.js';

/** Pictures are 32×32, stored as a red, a green and a blue plane. */
const side = 32;
const plane = side * side;

interface Layout {
  readonly name: string;
  /** The folder its archive unpacks to. */
  readonly folder: string;
  readonly train: readonly string[];
  readonly test: readonly string[];
  /** Names of the classes, one a line. */
  readonly names: string;
  readonly classes: number;
  /** Bytes before the pixels of a record; the label is the last of them. */
  readonly labelBytes: number;
}

const layouts = {
  CIFAR: {
    name: 'CIFAR-100',
    folder: 'cifar-100-binary',
    train: ['train.bin'],
    test: ['test.bin'],
    names: 'fine_label_names.txt',
    classes: 100,
    labelBytes: 2,
  },
  CIFAR10: {
    name: 'CIFAR-10',
    folder: 'cifar-10-batches-bin',
    train: [1, 2, 3, 4, 5].map((i) => `data_batch_${i}.bin`),
    test: ['test_batch.bin'],
    names: 'batches.meta.txt',
    classes: 10,
    labelBytes: 1,
  },
} as const satisfies Record<string, Layout>;

/** `--data_set`: CIFAR is CIFAR-100, as in the reference. */
export type CifarName = keyof typeof layouts;

/** Whether there is such a file. @throws UserError where that cannot be told, as below a file */
function exists(path: string): boolean {
  return statusOf(path)?.isFile() ?? false;
}

function read(path: string): Buffer {
  try {
    return readFileSync(path);
  } catch (error) {
    throw fileError('read', path, error);
  }
}

/** The folder the files lie in: `root` itself, or the one below it that the archive unpacks to. */
function folderOf(root: string, layout: Layout): string {
  for (const folder of [root, join(root, layout.folder)]) {
    if (exists(join(folder, layout.test[0]!))) return folder;
  }
  throw new UserError(
    `data folder ${root}: ${layout.name}'s binary files are not in it; expected ${[...layout.train, ...layout.test].join(', ')} ` +
      `there or in ${layout.folder} (the archive "binary version")`,
  );
}

/** CIFAR-10 or CIFAR-100 from its binary files, in their order. CIFAR-100's labels are the fine ones. */
export class CifarImages implements ImageSet {
  readonly classes: readonly string[];
  readonly length: number;
  private readonly files: { readonly path: string; readonly bytes: Buffer; readonly first: number }[] = [];
  private readonly layout: Layout;
  private readonly record: number;

  /**
   * @param root folder with the files, or with the folder that their archive unpacks to
   * @throws UserError where a file is missing, or is no whole number of records, or has a label out of range
   */
  constructor(root: string, name: CifarName, part: 'train' | 'test') {
    this.layout = layouts[name];
    this.record = this.layout.labelBytes + 3 * plane;
    const folder = folderOf(root, this.layout);
    this.classes = this.readNames(join(folder, this.layout.names));
    let first = 0;
    for (const file of this.layout[part]) {
      const path = join(folder, file);
      const bytes = this.readRecords(path);
      this.files.push({ path, bytes, first });
      first += bytes.length / this.record;
    }
    this.length = first;
  }

  private readNames(path: string): string[] {
    if (!exists(path)) return Array.from({ length: this.layout.classes }, (_, i) => String(i));
    const names = read(path)
      .toString('utf8')
      .split('\n')
      .map((line) => line.trim());
    const classes = names.filter((line) => line !== '');
    if (classes.length !== this.layout.classes) {
      throw new UserError(
        `${path}: it has ${classes.length} names, ${this.layout.name} has ${this.layout.classes} classes; unpack the archive again`,
      );
    }
    return classes;
  }

  private readRecords(path: string): Buffer {
    const bytes = read(path);
    const { labelBytes, classes, name } = this.layout;
    if (bytes.length === 0 || bytes.length % this.record !== 0) {
      throw new UserError(
        `${path}: ${bytes.length} bytes are no whole number of ${name}'s records of ${this.record}; unpack the archive again`,
      );
    }
    for (let at = labelBytes - 1; at < bytes.length; at += this.record) {
      if (bytes[at]! < classes) continue;
      throw new UserError(
        `${path}: record ${Math.floor(at / this.record)} has label ${bytes[at]!}, ${name} has ${classes} classes; unpack the archive again`,
      );
    }
    return bytes;
  }

  private find(index: number): { path: string; bytes: Buffer; place: number } {
    const file = this.files.findLast(({ first }) => first <= index)!;
    return { path: file.path, bytes: file.bytes, place: index - file.first };
  }

  /** The file and the number of the record in it. */
  path(index: number): string {
    const { path, place } = this.find(index);
    return `${path}#${place}`;
  }

  label(index: number): number {
    const { bytes, place } = this.find(index);
    return bytes[place * this.record + this.layout.labelBytes - 1]!;
  }

  source(index: number): ImageSource {
    const { bytes, place } = this.find(index);
    const start = place * this.record + this.layout.labelBytes;
    const pixels = new Uint8Array(3 * plane);
    for (let i = 0; i < plane; i++) {
      for (let c = 0; c < 3; c++) pixels[3 * i + c] = bytes[start + c * plane + i]!;
    }
    return { pixels, height: side, width: side };
  }
}
