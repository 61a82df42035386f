import { mkdirSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { openClassificationData, openEvalData } from '../../lib/data/classification-data.js';
import { UserError } from '../../lib/errors.js';
import { temporaryFolder } from './support.js';

const { path: root, remove } = temporaryFolder();
afterAll(remove);

/** Empty files are enough: nothing is read here. */
function tree(name: string, files: string[]): string {
  for (const file of files) {
    mkdirSync(join(root, name, dirname(file)), { recursive: true });
    writeFileSync(join(root, name, file), '');
  }
  return join(root, name);
}

const plain = tree('plain', [
  'train/a/1.jpg',
  'train/b/1.jpg',
  'train/b/2.jpg',
  'val/a/9.jpg',
  'val/b/8.jpg',
]);

describe('openClassificationData', () => {
  it('finds train and val of IMNET', () => {
    const { train, val, classes } = openClassificationData({
      dataSet: 'IMNET',
      dataPath: plain,
      nbClasses: 2,
    });
    expect(classes).toEqual(['a', 'b']);
    expect([train.length, val.length]).toEqual([3, 2]);
    expect(val.path(1)).toBe(join(plain, 'val', 'b', '8.jpg'));
  });

  it('takes both folders of image_folder, and any number of classes where none is asked for', () => {
    const options = {
      dataSet: 'image_folder',
      dataPath: join(plain, 'train'),
      evalDataPath: join(plain, 'val'),
    } as const;
    expect(openClassificationData(options).classes).toHaveLength(2);
    expect(openClassificationData({ ...options, nbClasses: 0 }).train.length).toBe(3);
    expect(() => openClassificationData({ ...options, evalDataPath: undefined })).toThrow(
      /give --eval_data_path/,
    );
  });

  it('opens the evaluation half alone', () => {
    const other = tree('val-only', ['val/a/1.jpg']);
    expect(openEvalData({ dataSet: 'IMNET', dataPath: other }).length).toBe(1);
    expect(() => openEvalData({ dataSet: 'IMNET', dataPath: other, nbClasses: 3 })).toThrow(/has 1 classes/);
  });

  it('reads CIFAR', () => {
    const folder = tree('cifar', []);
    mkdirSync(folder, { recursive: true });
    for (const [name, count] of [
      ['train.bin', 4],
      ['test.bin', 2],
    ] as const) {
      writeFileSync(join(folder, name), Buffer.alloc(3074 * count));
    }
    const { train, val } = openClassificationData({ dataSet: 'CIFAR', dataPath: folder, nbClasses: 100 });
    expect([train.length, val.length]).toEqual([4, 2]);
  });

  it.each([
    [
      'another',
      ['train/a/1.jpg', 'train/b/1.jpg', 'val/a/1.jpg', 'val/c/1.jpg'],
      /class 1 is 'b' in the one and 'c'/,
    ],
    [
      'a missing',
      ['train/a/1.jpg', 'train/b/1.jpg', 'val/a/1.jpg'],
      /class 1 is 'b' in the one and none in the other/,
    ],
    [
      'a further',
      ['train/a/1.jpg', 'val/a/1.jpg', 'val/b/1.jpg'],
      /class 1 is none in the one and 'b' in the other/,
    ],
  ])('refuses %s class in val, naming the first', (name, files, message) => {
    const open = () => openClassificationData({ dataSet: 'IMNET', dataPath: tree(name, files) });
    expect(open).toThrow(UserError);
    expect(open).toThrow(message);
    expect(open).toThrow(/train and .*val differ/);
  });

  it('refuses a wrong --nb_classes', () => {
    const open = () => openClassificationData({ dataSet: 'IMNET', dataPath: plain, nbClasses: 1000 });
    expect(open).toThrow(UserError);
    expect(open).toThrow(/--nb_classes 1000: .*train has 2 classes; give --nb_classes 2/);
  });
});
