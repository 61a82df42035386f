import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { CifarImages } from '../../lib/data/cifar.js';
import { UserError } from '../../lib/errors.js';
import { temporaryFolder } from './support.js';

const { path: root, remove } = temporaryFolder();
afterAll(remove);

/** A record: its labels, then three planes whose bytes say their plane and place. */
function record(labels: number[], mark: number): Buffer {
  const planes = [0, 1, 2].map((c) =>
    Buffer.from(Array.from({ length: 1024 }, (_, i) => (i + 80 * c + mark) % 256)),
  );
  return Buffer.concat([Buffer.from(labels), ...planes]);
}

function cifar100(folder: string, train: Buffer[], test: Buffer[] = [record([0, 0], 0)]): string {
  mkdirSync(folder, { recursive: true });
  writeFileSync(join(folder, 'train.bin'), Buffer.concat(train));
  writeFileSync(join(folder, 'test.bin'), Buffer.concat(test));
  return folder;
}

describe('CifarImages', () => {
  it('reads CIFAR-100’s fine labels and pixels', () => {
    const folder = cifar100(join(root, 'plain'), [
      record([3, 77], 1),
      record([19, 5], 2),
      record([0, 99], 3),
    ]);
    const images = new CifarImages(folder, 'CIFAR', 'train');
    expect(images.length).toBe(3);
    expect([0, 1, 2].map((i) => images.label(i))).toEqual([77, 5, 99]);
    expect(images.path(1)).toBe(`${join(folder, 'train.bin')}#1`);
    expect(images.classes).toHaveLength(100);
    const source = images.source(2);
    if (!('pixels' in source)) throw new Error('no pixels');
    expect([source.height, source.width, source.pixels.length]).toEqual([32, 32, 3072]);
    // Red, green and blue of the pixel at row 4, column 7.
    const place = 4 * 32 + 7;
    expect([...source.pixels.subarray(3 * place, 3 * place + 3)]).toEqual(
      [0, 80, 160].map((plane) => (place + plane + 3) % 256),
    );
    expect(new CifarImages(folder, 'CIFAR', 'test').length).toBe(1);
  });

  it('reads CIFAR-10 from its five files, in the folder that its archive unpacks to', () => {
    const folder = join(root, 'ten', 'cifar-10-batches-bin');
    mkdirSync(folder, { recursive: true });
    for (let i = 1; i <= 5; i++) {
      const records = Array.from({ length: i }, (_, k) => record([(i + k) % 10], i));
      writeFileSync(join(folder, `data_batch_${i}.bin`), Buffer.concat(records));
    }
    writeFileSync(join(folder, 'test_batch.bin'), record([9], 0));
    const names = ['airplane', 'automobile', 'bird', 'cat', 'deer', 'dog', 'frog', 'horse', 'ship', 'truck'];
    writeFileSync(join(folder, 'batches.meta.txt'), `${names.join('\n')}\n\n`);
    const images = new CifarImages(join(root, 'ten'), 'CIFAR10', 'train');
    expect(images.length).toBe(15);
    expect(images.classes).toEqual(names);
    expect(images.path(14)).toBe(`${join(folder, 'data_batch_5.bin')}#4`);
    expect(Array.from({ length: 15 }, (_, i) => images.label(i))).toEqual([
      1, 2, 3, 3, 4, 5, 4, 5, 6, 7, 5, 6, 7, 8, 9,
    ]);
  });

  it.each([
    [
      'no files',
      () => root,
      /CIFAR-100's binary files are not in it; expected train.bin, test.bin there or in/,
    ],
    [
      'a cut file',
      () => cifar100(join(root, 'cut'), [record([0, 0], 0).subarray(0, 3000)]),
      /train.bin: 3000 bytes are no whole number of CIFAR-100's records of 3074/,
    ],
    [
      'a label out of range',
      () => cifar100(join(root, 'label'), [record([0, 1], 0), record([0, 100], 0)]),
      /train.bin: record 1 has label 100, CIFAR-100 has 100 classes/,
    ],
    [
      'a short list of names',
      () => {
        const folder = cifar100(join(root, 'names'), [record([0, 0], 0)]);
        writeFileSync(join(folder, 'fine_label_names.txt'), 'apple\nbear\n');
        return folder;
      },
      /fine_label_names.txt: it has 2 names, CIFAR-100 has 100 classes/,
    ],
  ])('refuses %s in one line', (_, make, message) => {
    const folder = make();
    const open = () => new CifarImages(folder, 'CIFAR', 'train');
    expect(open).toThrow(UserError);
    expect(open).toThrow(message);
  });
});
