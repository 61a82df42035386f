import { describe, expect, it } from 'vitest';
import { type ParameterInfo, parameterTable } from '../../lib/logging/parameter-table.js';
import { formatDuration, Progress, type ProgressStream } from '../../lib/logging/progress.js';
import { RateWindow } from '../../lib/logging/rate-window.js';

/** A terminal, or a file, that remembers what it was sent. */
class Recorder implements ProgressStream {
  readonly written: string[] = [];
  constructor(
    readonly isTTY: boolean,
    public columns = 80,
  ) {}
  write(text: string): boolean {
    this.written.push(text);
    return true;
  }
  /** What a person sees: `\r` goes to the line's start and later characters cover earlier ones. */
  get screen(): string[] {
    return this.written
      .join('')
      .split('\n')
      .map((line) => {
        const cells: string[] = [];
        for (const part of line.split('\r')) cells.splice(0, part.length, ...part);
        return cells.join('').trimEnd();
      });
  }
}

function setUp(
  stream: Recorder,
  options: { everySeconds?: number; everySteps?: number; startStep?: number } = {},
) {
  let now = 100;
  const progress = new Progress({ label: 'pretrain', totalSteps: 200, stream, clock: () => now, ...options });
  const step = (count: number, seconds: number, fields: Record<string, string> = {}) => {
    now += seconds;
    progress.update({ step: count, images: (count - (options.startStep ?? 0)) * 8, fields });
  };
  return { progress, step };
}

describe('Progress on a terminal', () => {
  it('rewrites one line with speed and time left', () => {
    const terminal = new Recorder(true);
    const { progress, step } = setUp(terminal);
    for (let i = 1; i <= 50; i++) step(i, 0.5, { epoch: '1/4', loss: '5.130' });
    progress.finish();
    expect(terminal.screen).toEqual([
      'pretrain 50/200 25%  epoch 1/4  loss 5.130  16.0 images/s  ETA 1:15',
      '',
    ]);
    expect(terminal.written.filter((text) => text.startsWith('\r'))).toHaveLength(50);
  });

  it('covers a longer line by a shorter one, and never fills the width', () => {
    const terminal = new Recorder(true, 40);
    const { step } = setUp(terminal);
    step(1, 1, { note: 'a long line that does not fit into forty columns' });
    for (const text of terminal.written) expect(text.length).toBeLessThanOrEqual(40);
    expect(terminal.screen.at(-1)).toHaveLength(39);
    terminal.columns = 200;
    step(2, 1, {});
    expect(terminal.screen.at(-1)).toBe('pretrain 2/200 1%  8.00 images/s  ETA 3:18');
    terminal.columns = 30;
    step(3, 1, {});
    expect(terminal.written.at(-1)!.length).toBeLessThanOrEqual(30);
  });

  it('redraws at most ten times a second, but always the last step', () => {
    const terminal = new Recorder(true);
    const { step } = setUp(terminal);
    for (let i = 1; i <= 200; i++) step(i, 0.01);
    expect(terminal.written.length).toBeGreaterThanOrEqual(18);
    expect(terminal.written.length).toBeLessThanOrEqual(21);
    expect(terminal.screen[0]).toMatch(/^pretrain 200\/200 100% {2}800 images\/s {2}ETA 0:00$/);
  });

  it('prints messages above the line', () => {
    const terminal = new Recorder(true);
    const { progress, step } = setUp(terminal);
    step(1, 1);
    progress.message('saved');
    step(2, 1);
    progress.finish();
    expect(terminal.screen).toEqual(['saved', 'pretrain 2/200 1%  8.00 images/s  ETA 3:18', '']);
  });
});

describe('Progress elsewhere', () => {
  it('prints a plain line every so many seconds, and the last state once', () => {
    const file = new Recorder(false);
    const { progress, step } = setUp(file, { everySeconds: 10 });
    for (let i = 1; i <= 42; i++) step(i, 0.5, { loss: '2' });
    progress.message('saved');
    progress.finish();
    progress.finish();
    expect(file.written).toEqual([
      'pretrain 20/200 10%  loss 2  16.0 images/s  ETA 1:30\n',
      'pretrain 40/200 20%  loss 2  16.0 images/s  ETA 1:20\n',
      'saved\n',
      'pretrain 42/200 21%  loss 2  16.0 images/s  ETA 1:19\n',
    ]);
  });

  it('or every so many steps; a resumed run’s speed counts its own steps', () => {
    const file = new Recorder(false);
    const { step } = setUp(file, { everySeconds: 1e9, everySteps: 5, startStep: 100 });
    for (let i = 101; i <= 112; i++) step(i, 2);
    expect(file.written).toEqual([
      'pretrain 105/200 52%  4.00 images/s  ETA 3:10\n',
      'pretrain 110/200 55%  4.00 images/s  ETA 3:00\n',
    ]);
  });
});

describe('RateWindow', () => {
  it('forgets what lies further back than the window', () => {
    const window = new RateWindow(10);
    expect(window.rate()).toBeUndefined();
    for (let second = 0; second <= 100; second++) window.add(second, second + 4 * Math.max(0, second - 80));
    expect(window.rate()).toBe(5);
  });
});

it.each([
  [0.4, '0:00'],
  [42, '0:42'],
  [725, '12:05'],
  [11_220, '3:07:00'],
  [183_600, '2d 03:00'],
  [59.7, '1:00'],
])('%s seconds are shown as %s', (seconds, text) => {
  expect(formatDuration(seconds)).toBe(text);
});

describe('parameterTable', () => {
  const parameter = (name: string, shape: number[], trainable = true, dtypeBytes = 4): ParameterInfo => ({
    name,
    shape,
    dtypeBytes,
    trainable,
  });
  const blocks = Array.from({ length: 12 }, (_, i) => [
    parameter(`encoder.blocks.${i}.norm1.weight`, [64]),
    parameter(`encoder.blocks.${i}.attn.qkv.weight`, [192, 64]),
  ]).flat();

  it('groups by module, folds blocks, and sums', () => {
    const table = parameterTable([
      parameter('mask_token', [1, 1, 64]),
      parameter('encoder.pos_embed', [1, 197, 64], false),
      parameter('encoder.patch_embed.proj.weight', [64, 3, 16, 16]),
      parameter('encoder.patch_embed.proj.bias', [64]),
      ...blocks,
      parameter('head.weight', [8192, 64], true, 2),
    ]);
    expect(table.split('\n')).toEqual([
      'parameters       count   MiB  shape           trainable',
      '-------------------------------------------------------',
      'mask_token          64  0.00  [1, 1, 64]      yes',
      'encoder        210,048  0.80                  partly',
      '  pos_embed     12,608  0.05  [1, 197, 64]    no',
      '  patch_embed   49,216  0.19  2 tensors       yes',
      '  blocks.0-11  148,224  0.57  12 × 2 tensors  yes',
      'head           524,288  1.00                  yes',
      '  weight       524,288  1.00  [8192, 64]      yes',
      '-------------------------------------------------------',
      'total          734,400  1.80  29 tensors      partly',
      '  trainable    721,792  1.75  28 tensors      yes',
      '  fixed         12,608  0.05  1 tensor        no',
    ]);
  });

  it('handles blocks that differ, numbered layers on top, and nothing at all', () => {
    const uneven = parameterTable([
      parameter('net.0.weight', [2]),
      parameter('net.2.weight', [2]),
      parameter('net.2.bias', [1]),
    ]);
    expect(uneven).toContain('\n  0-2           5  0.00  3 tensors  yes\n');
    expect(parameterTable([])).toContain('total');
  });
});
