import { type Dirent, readdirSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { fileError, statusOf } from '../checkpoint/file-errors.js';
import { UserError } from '../errors.js';
import type { ImageSource } from '../native/image.js';
import type { ImageSet } from './image-set.js';

/** File name endings that count as images, in any case: torchvision's, and what else sharp reads. */
export const imageExtensions = [
  '.jpg',
  '.jpeg',
  '.png',
  '.ppm',
  '.bmp',
  '.pgm',
  '.tif',
  '.tiff',
  '.webp',
  '.gif',
  '.avif',
] as const;

/** What the layout looks like, for messages. */
const expected = `expected one sub-folder a class, with images in it (${imageExtensions.join(' ')})`;

/** Python's order of strings: by code point. (JavaScript's own order is by UTF-16 unit.) */
export function compareCodePoints(a: string, b: string): number {
  const length = Math.min(a.length, b.length);
  for (let i = 0; i < length; i++) {
    const x = a.charCodeAt(i);
    const y = b.charCodeAt(i);
    if (x === y) continue;
    const xSurrogate = x >= 0xd800 && x <= 0xdfff;
    const ySurrogate = y >= 0xd800 && y <= 0xdfff;
    if (xSurrogate !== ySurrogate) return xSurrogate ? 1 : -1;
    return x - y;
  }
  return a.length - b.length;
}

function list(folder: string): Dirent[] {
  try {
    return readdirSync(folder, { withFileTypes: true });
  } catch (error) {
    throw fileError('read', folder, error);
  }
}

/** Whether an entry is a folder; symbolic links are followed, dangling ones are none. */
function isFolder(folder: string, entry: Dirent): boolean {
  if (!entry.isSymbolicLink()) return entry.isDirectory();
  return statusOf(join(folder, entry.name))?.isDirectory() ?? false;
}

function isImageName(name: string): boolean {
  const lower = name.toLowerCase();
  return imageExtensions.some((extension) => lower.endsWith(extension));
}

/** A folder and all below it, with the image names of each. Links back to a folder above are not followed. */
function walk(
  folder: string,
  found: { folder: string; names: string[] }[],
  above: ReadonlySet<string> = new Set(),
): void {
  const { dev, ino } = statSync(folder);
  const identity = `${dev}:${ino}`;
  if (above.has(identity)) return;
  const names: string[] = [];
  for (const entry of list(folder)) {
    if (isFolder(folder, entry)) walk(join(folder, entry.name), found, new Set(above).add(identity));
    else if (isImageName(entry.name)) names.push(entry.name);
  }
  found.push({ folder, names: names.sort(compareCodePoints) });
}

/**
 * Image files in torchvision's ImageFolder layout, in its order: classes are the sub-folders of `root`, sorted;
 * below each, folders and then file names sorted, at any depth.
 */
export class ImageFolder implements ImageSet {
  /** Names of the classes; a label is an index into it. */
  readonly classes: readonly string[];
  private readonly folders: string[] = [];
  private readonly names: string[] = [];
  private readonly folderOf: number[] = [];
  private readonly labels: number[] = [];

  /** @throws UserError where the folder is missing or cannot be read, has no class folders, or has a class without images */
  constructor(readonly root: string) {
    const status = statusOf(root);
    if (status === undefined) throw new UserError(`data folder ${root}: it does not exist; ${expected}`);
    if (!status.isDirectory())
      throw new UserError(`data folder ${root}: it is a file, not a folder; ${expected}`);
    this.classes = list(root)
      .filter((entry) => isFolder(root, entry))
      .map((entry) => entry.name)
      .sort(compareCodePoints);
    if (this.classes.length === 0)
      throw new UserError(`data folder ${root}: it has no sub-folders; ${expected}`);
    for (const [label, name] of this.classes.entries()) this.addClass(join(root, name), label);
  }

  private addClass(root: string, label: number): void {
    const found: { folder: string; names: string[] }[] = [];
    walk(root, found);
    found.sort((a, b) => compareCodePoints(a.folder, b.folder));
    const before = this.names.length;
    for (const { folder, names } of found) {
      if (names.length === 0) continue;
      this.folders.push(folder);
      for (const name of names) {
        this.names.push(name);
        this.folderOf.push(this.folders.length - 1);
        this.labels.push(label);
      }
    }
    if (this.names.length === before) {
      throw new UserError(
        `class folder ${root}: there are no images in it; ${expected}, or remove the folder`,
      );
    }
  }

  /** Number of images. */
  get length(): number {
    return this.names.length;
  }

  /** Path of image `index`. */
  path(index: number): string {
    return join(this.folders[this.folderOf[index]!]!, this.names[index]!);
  }

  /** Class of image `index`. */
  label(index: number): number {
    return this.labels[index]!;
  }

  /** Its file. */
  source(index: number): ImageSource {
    return { path: this.path(index) };
  }
}
