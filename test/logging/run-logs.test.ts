import { execFileSync } from 'node:child_process';
import { appendFileSync, existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { UserError } from '../../lib/errors.js';
import { AppendedFile } from '../../lib/logging/appended-file.js';
import { EpochLog, epochLine } from '../../lib/logging/epoch-log.js';
import { truncateLines } from '../../lib/logging/line-log.js';
import { Meters } from '../../lib/logging/meters.js';
import { pythonFloat } from '../../lib/logging/python-json.js';
import { StepLog } from '../../lib/logging/step-log.js';
import { temporaryFolder } from './temp-folder.js';

describe('pythonFloat', () => {
  // Printed by Python's json.dumps.
  const printed: ReadonlyArray<readonly [number, string]> = [
    [1, '1.0'],
    [65536, '65536.0'],
    [0, '0.0'],
    [-0, '-0.0'],
    [0.1, '0.1'],
    [-12.5, '-12.5'],
    [1e-5, '1e-05'],
    [1.5e-5, '1.5e-05'],
    [0.0001, '0.0001'],
    [0.00012345, '0.00012345'],
    [9.010913, '9.010913'],
    [1e15, '1000000000000000.0'],
    [123456789012345680, '1.2345678901234568e+17'],
    [9999999999999998, '9999999999999998.0'],
    [1e16, '1e+16'],
    [1e22, '1e+22'],
    [1e100, '1e+100'],
    [5e-324, '5e-324'],
    [1.7976931348623157e308, '1.7976931348623157e+308'],
    [Number.NaN, 'NaN'],
    [Number.POSITIVE_INFINITY, 'Infinity'],
    [Number.NEGATIVE_INFINITY, '-Infinity'],
  ];
  it.each(printed)('%s is %s', (value, text) => {
    expect(pythonFloat(value)).toBe(text);
  });

  it('reads back equal', () => {
    let value = 1.2345e-300;
    for (let i = 0; i < 600; i++) {
      value *= 10.7;
      expect(Number(pythonFloat(value))).toBe(value);
    }
  });
});

describe('EpochLog', () => {
  const train = {
    loss: 9.1,
    loss_main: 9,
    loss_align: 0.05,
    mlm_acc: 0.001,
    lr: 7.5e-5,
    min_lr: 7.5e-5,
    weight_decay: 0.05,
    grad_norm: 2,
    loss_scale: 65536,
  };

  it('writes the line as the reference does, to the byte', () => {
    expect(epochLine({ epoch: 0, train, nParameters: 148_680_000 })).toBe(
      '{"train_loss": 9.1, "train_loss_main": 9.0, "train_loss_align": 0.05, "train_mlm_acc": 0.001, ' +
        '"train_lr": 7.5e-05, "train_min_lr": 7.5e-05, "train_weight_decay": 0.05, "train_grad_norm": 2.0, ' +
        '"train_loss_scale": 65536.0, "epoch": 0, "n_parameters": 148680000}',
    );
  });

  it('drops epochs that are run again, keeps the others to the byte and goes on', () => {
    const folder = temporaryFolder();
    const log = new EpochLog(folder);
    for (let epoch = 0; epoch < 12; epoch++) log.write({ epoch, train, nParameters: 10 });
    log.close();
    const before = readFileSync(log.path, 'utf8');
    const resumed = new EpochLog(folder, 9);
    expect(resumed.droppedBytes).toBe(before.split('\n').slice(9).join('\n').length);
    for (let epoch = 9; epoch < 12; epoch++) resumed.write({ epoch, train, nParameters: 10 });
    resumed.close();
    expect(readFileSync(log.path, 'utf8')).toBe(before);
  });

  it('reads lines Python wrote, Infinity included, and drops what a killed process left unfinished', () => {
    const folder = temporaryFolder();
    const whole =
      '{"train_grad_norm": Infinity, "epoch": 0, "n_parameters": 5}\n{"train_loss": NaN, "epoch": 1}\n';
    writeFileSync(join(folder, 'log.txt'), `${whole}{"train_loss": 3.0, "ep`);
    const log = new EpochLog(folder, 2);
    log.close();
    expect(readFileSync(log.path, 'utf8')).toBe(whole);
  });

  it('makes the folder, and names a file that cannot be written', () => {
    const folder = temporaryFolder();
    new EpochLog(join(folder, 'a/b')).close();
    expect(existsSync(join(folder, 'a/b/log.txt'))).toBe(true);
    writeFileSync(join(folder, 'file'), '');
    expect(() => new EpochLog(join(folder, 'file'))).toThrow(UserError);
  });
});

describe('StepLog', () => {
  it('writes JSON lines in order and cuts at the checkpoint’s step', () => {
    const folder = temporaryFolder();
    const log = new StepLog(folder);
    for (let step = 0; step < 20; step++)
      log.write({ loss: 1 / (step + 1), step, epoch: step >> 3, lr: 1e-3 });
    log.sync();
    appendFileSync(log.path, '{"step": 20, "epo');
    log.close();

    const resumed = new StepLog(folder, 13);
    resumed.write({ step: 13, epoch: 1, loss: Number.NaN });
    resumed.close();
    const lines = readFileSync(log.path, 'utf8').trimEnd().split('\n');
    expect(lines[3]).toBe('{"step":3,"epoch":0,"loss":0.25,"lr":0.001}');
    const steps = lines.map((line): unknown => (JSON.parse(line) as { step: unknown }).step);
    expect(steps).toEqual(Array.from({ length: 14 }, (_, step) => step));
    expect(lines.at(-1)).toBe('{"step":13,"epoch":1,"loss":null}');
  });
});

describe('truncateLines', () => {
  it('finds the cut in a file of several read chunks, with lines across their borders', () => {
    const path = join(temporaryFolder(), 'metrics.jsonl');
    const lines = Array.from(
      { length: 40_000 },
      (_, step) => `{"step":${step},"note":"${'ü'.repeat(step % 97)}"}\n`,
    );
    writeFileSync(path, lines.join(''));
    truncateLines(path, 'step', 31_234);
    expect(readFileSync(path, 'utf8')).toBe(lines.slice(0, 31_234).join(''));
    expect(truncateLines(path, 'step', 31_234)).toBe(0);
  });

  it('keeps lines without the key with the one before, and takes a missing file for an empty one', () => {
    const path = join(temporaryFolder(), 'log.txt');
    expect(truncateLines(path, 'epoch', 0)).toBe(0);
    expect(existsSync(path)).toBe(false);
    writeFileSync(path, 'a note\n{"epoch": 0}\nanother\n{"epoch": 1}\nlast\n');
    truncateLines(path, 'epoch', 1);
    expect(readFileSync(path, 'utf8')).toBe('a note\n{"epoch": 0}\nanother\n');
  });
});

describe('AppendedFile', () => {
  it('leaves no half line behind where the disk runs full', () => {
    const path = join(temporaryFolder(), 'limited');
    const module = join(import.meta.dirname, '../../lib/logging/appended-file.ts');
    // A file-size limit stands in for the full disk: the system takes a part of the write, then refuses.
    const script = `
      process.on('SIGXFSZ', () => undefined);
      import { createServer } from 'vite';
      const server = await createServer({ configFile: false, server: { middlewareMode: true, watch: null }, optimizeDeps: { noDiscovery: true, include: [] }, logLevel: 'silent' });
      const { AppendedFile } = await server.ssrLoadModule(${JSON.stringify(module)});
      const file = new AppendedFile(${JSON.stringify(path)});
      file.append('first\\n');
      let message = 'nothing thrown';
      try { file.append('x'.repeat(4000) + '\\n'); } catch (error) { message = error.name + ': ' + error.message; }
      file.append('second\\n');
      await server.close();
      console.log(message);
      process.exit(0);`;
    const output = execFileSync(
      'bash',
      ['-c', 'ulimit -f 1; exec node --input-type=module -e "$0"', script],
      {
        encoding: 'utf8',
        cwd: join(import.meta.dirname, '../..'),
      },
    );
    expect(output).toMatch(/^UserError: cannot write .*limited: .*\(EFBIG\)$/m);
    expect(readFileSync(path, 'utf8')).toBe('first\nsecond\n');
  });

  it('refuses to write after it is closed', () => {
    const file = new AppendedFile(join(temporaryFolder(), 'closed'));
    file.close();
    expect(() => file.append('x')).toThrow('is closed');
  });
});

describe('Meters', () => {
  it('averages by weight, in the order metrics first came, and forgets at the next epoch', () => {
    const meters = new Meters();
    meters.update({ loss: 4, lr: 1 });
    meters.update({ lr: 3, loss: 1 }, 3);
    expect(Object.entries(meters.means())).toEqual([
      ['loss', 1.75],
      ['lr', 2.5],
    ]);
    meters.reset();
    expect(meters.means()).toEqual({});
  });

  it('goes on from a checkpoint to the same bits', () => {
    const values = Array.from({ length: 50 }, (_, i) => Math.sin(i) * 10 ** (i % 7));
    const whole = new Meters();
    for (const loss of values) whole.update({ loss });
    const first = new Meters();
    for (const loss of values.slice(0, 23)) first.update({ loss });
    const second = new Meters();
    second.update({ other: 1 });
    second.restore(JSON.parse(JSON.stringify(first.state())) as ReturnType<Meters['state']>);
    for (const loss of values.slice(23)) second.update({ loss });
    expect(second.means()).toEqual(whole.means());
  });
});
