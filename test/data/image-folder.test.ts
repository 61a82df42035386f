import { mkdirSync, symlinkSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { compareCodePoints, ImageFolder } from '../../lib/data/image-folder.js';
import { UserError } from '../../lib/errors.js';
import { temporaryFolder } from './support.js';

const { path: root, remove } = temporaryFolder();
afterAll(remove);

function tree(name: string, files: string[]): string {
  for (const file of files) {
    mkdirSync(join(root, name, dirname(file)), { recursive: true });
    if (!file.endsWith('/')) writeFileSync(join(root, name, file), '');
    else mkdirSync(join(root, name, file), { recursive: true });
  }
  return join(root, name);
}

describe('ImageFolder', () => {
  it('lists classes and files in torchvision’s order', () => {
    // The order that sorted(os.walk(…)) and sorted(names) give in Python.
    const folder = tree('order', [
      'b/2.png',
      'b/10.JPEG',
      'B/x.webp',
      'a/sub/1.jpg',
      'a/sub-b/0.jpg',
      'a/z.tif',
      'a/notes.txt',
      '\u{1F600}/1.jpg',
      '\uFF21/1.jpg',
      'top-level.jpg',
    ]);
    const images = new ImageFolder(folder);
    expect(images.classes).toEqual(['B', 'a', 'b', '\uFF21', '\u{1F600}']);
    const files = Array.from({ length: images.length }, (_, i) => images.path(i).slice(folder.length + 1));
    expect(files).toEqual([
      'B/x.webp',
      'a/z.tif',
      'a/sub/1.jpg',
      'a/sub-b/0.jpg',
      'b/10.JPEG',
      'b/2.png',
      '\uFF21/1.jpg',
      '\u{1F600}/1.jpg',
    ]);
    expect(Array.from({ length: images.length }, (_, i) => images.label(i))).toEqual([
      0, 1, 1, 1, 2, 2, 3, 4,
    ]);
  });

  it('compares by code point, as Python does', () => {
    const words = ['\u{1F600}', '\uFF21', 'b', 'a', 'B', 'ab', ''];
    expect([...words].sort(compareCodePoints)).toEqual(['', 'B', 'a', 'ab', 'b', '\uFF21', '\u{1F600}']);
  });

  it('follows links, but not in circles', () => {
    const folder = tree('links', ['a/1.jpg']);
    symlinkSync(join(folder, 'a'), join(folder, 'b'));
    symlinkSync(folder, join(folder, 'a', 'up'));
    symlinkSync(join(folder, 'nowhere'), join(folder, 'dangling'));
    const images = new ImageFolder(folder);
    expect(images.classes).toEqual(['a', 'b']);
    expect(images.path(0)).toBe(join(folder, 'a', '1.jpg'));
  });

  it.each([
    [
      'a missing folder',
      () => join(root, 'none'),
      /none: it does not exist; expected one sub-folder a class/,
    ],
    ['a file', () => join(tree('file', ['a/1.jpg']), 'a', '1.jpg'), /1\.jpg: it is a file, not a folder/],
    [
      'a link to itself',
      () => {
        const folder = tree('loop', ['a/1.jpg']);
        symlinkSync('loop', join(folder, 'a', 'loop'));
        return folder;
      },
      /^cannot read .*a\/loop: the path is a loop of symbolic links/,
    ],
    ['no class folders', () => tree('flat', ['1.jpg', '2.jpg']), /flat: it has no sub-folders; expected/],
    [
      'a class without images',
      () => tree('poor', ['a/1.jpg', 'b/read.me']),
      /poor\/b: there are no images in it/,
    ],
  ])('refuses %s in one line', (_, make, message) => {
    const path = make();
    expect(() => new ImageFolder(path)).toThrow(UserError);
    expect(() => new ImageFolder(path)).toThrow(message);
    try {
      new ImageFolder(path);
    } catch (error) {
      expect((error as Error).message).not.toContain('\n');
    }
  });
});
