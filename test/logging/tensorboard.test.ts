import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { hostname } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { UserError } from '../../lib/errors.js';
import { crc32c, maskedCrc32c } from '../../lib/logging/crc32c.js';
import { TensorboardWriter } from '../../lib/logging/tensorboard.js';
import { parseEvents, referenceCrc32c } from './event-parser.js';
import { temporaryFolder } from './temp-folder.js';

describe('crc32c', () => {
  it('gives the published check value and RFC 3720 examples', () => {
    expect(crc32c(Buffer.from('123456789'))).toBe(0xe3069283);
    expect(crc32c(new Uint8Array(32))).toBe(0x8a9136aa);
    expect(crc32c(new Uint8Array(32).fill(255))).toBe(0x62a8ab43);
    expect(crc32c(new Uint8Array())).toBe(0);
  });

  it('agrees with the bitwise definition on every byte value', () => {
    const bytes = Uint8Array.from({ length: 1024 }, (_, i) => (i * 167 + (i >> 8)) & 255);
    expect(crc32c(bytes)).toBe(referenceCrc32c(bytes));
  });

  it('masks as TFRecord readers expect', () => {
    // The header of every 24-byte record: known from files TensorFlow writes.
    const length = Buffer.alloc(8);
    length.writeBigUInt64LE(24n);
    expect(maskedCrc32c(length)).toBe(0x224b7fa3);
  });
});

describe('TensorboardWriter', () => {
  it('writes version, scalars and images which read back', () => {
    const folder = join(temporaryFolder(), 'made', 'on the way');
    let now = 1_700_000_000.25;
    const writer = new TensorboardWriter(folder, { clock: () => now });
    now += 0.5;
    writer.addScalars({ 'train/loss': 9.010913, 'train/lr': 1.5e-3 }, 3_000_000_000);
    writer.addScalar('größe', -0, 7);
    const png = Buffer.from(Array.from({ length: 300 }, (_, i) => i & 255));
    writer.addImage('reconstruction', { width: 256, height: 64, png }, 0);
    writer.close();

    expect(readdirSync(folder)).toEqual([`events.out.tfevents.1700000000.${hostname()}.${process.pid}`]);
    const [version, scalars, unicode, image, ...more] = parseEvents(readFileSync(writer.path));
    expect(more).toEqual([]);
    expect(version).toEqual({
      wallTime: 1_700_000_000.25,
      step: 0n,
      fileVersion: 'brain.Event:2',
      values: [],
    });
    expect(scalars).toEqual({
      wallTime: 1_700_000_000.75,
      step: 3_000_000_000n,
      values: [
        { tag: 'train/loss', simpleValue: Math.fround(9.010913) },
        { tag: 'train/lr', simpleValue: Math.fround(1.5e-3) },
      ],
    });
    expect(unicode!.values).toEqual([{ tag: 'größe', simpleValue: -0 }]);
    expect(image!.values).toEqual([
      { tag: 'reconstruction', image: { height: 64n, width: 256n, colorspace: 3n, png } },
    ]);
  });

  it('holds records back until a size or an age, and then writes whole ones', () => {
    let now = 1000;
    const writer = new TensorboardWriter(temporaryFolder(), {
      clock: () => now,
      bufferBytes: 200,
      flushSeconds: 5,
    });
    const onDisk = () => parseEvents(readFileSync(writer.path)).length;
    expect(onDisk()).toBe(1);
    writer.addScalar('a', 1, 1);
    expect(onDisk()).toBe(1);
    now += 5;
    writer.addScalar('a', 2, 2);
    expect(onDisk()).toBe(3);
    for (let step = 3; step < 9; step++) writer.addScalar('a', step, step);
    expect(onDisk()).toBeGreaterThan(3);
    writer.flush();
    expect(onDisk()).toBe(9);
    writer.close();
  });

  it('says where a resumed run starts, so that readers drop the steps after it', () => {
    const writer = new TensorboardWriter(temporaryFolder(), { startStep: 500 });
    writer.close();
    const [, restart] = parseEvents(readFileSync(writer.path));
    expect(restart).toMatchObject({ step: 500n, sessionStatus: 1n });
  });

  it('never shares a file between writers of one second', () => {
    const folder = temporaryFolder();
    const clock = () => 5;
    const first = new TensorboardWriter(folder, { clock });
    const second = new TensorboardWriter(folder, { clock });
    first.addScalar('a', 1, 0);
    first.close();
    second.close();
    expect(second.path).not.toBe(first.path);
    expect(parseEvents(readFileSync(first.path))).toHaveLength(2);
    // What the folder holds of another run no longer counts.
    expect(parseEvents(readFileSync(second.path))[1]).toMatchObject({ step: 0n, sessionStatus: 1n });
  });

  it('names the file and the remedy where the folder cannot be made', () => {
    const blocker = join(temporaryFolder(), 'file');
    writeFileSync(blocker, '');
    expect(() => new TensorboardWriter(blocker)).toThrow(UserError);
    expect(() => new TensorboardWriter(blocker)).toThrow(/choose another path \((EEXIST|ENOTDIR)\)$/);
  });
});
