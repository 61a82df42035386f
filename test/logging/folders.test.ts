import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { moveAside } from '../../lib/logging/move-aside.js';
import { RunLogs } from '../../lib/training/run-logs.js';
import { temporaryFolder } from './temp-folder.js';

/** Opens a run's logs, writes one step and epoch, and closes them. @returns what it said */
function run(
  outputDir: string,
  options: { logDir?: string; anew?: boolean; startStep?: number } = {},
): string {
  const said: string[] = [];
  const { startStep = 0 } = options;
  using logs = new RunLogs({
    label: 'test',
    outputDir,
    startEpoch: startStep,
    epochs: 2,
    totalSteps: 2,
    imagesPerStep: 1,
    parameterCount: 1,
    stream: { write: (text: string) => said.push(text) },
    ...options,
    startStep,
  });
  logs.step({ step: startStep, epoch: startStep, values: { loss: 1 } });
  logs.endEpoch(startStep, startStep);
  return said.join('');
}

describe('a run in a folder with logs', () => {
  it('goes on with them where it resumes, and moves them aside where it starts anew', () => {
    const folder = temporaryFolder();
    run(folder, { anew: true });
    run(folder, { startStep: 1 });
    const log = readFileSync(join(folder, 'log.txt'), 'utf8');
    expect(log.trimEnd().split('\n')).toHaveLength(2);
    expect(run(folder, { anew: true })).toContain(
      `are now ${join(folder, 'log.txt.1')} and ${join(folder, 'metrics.jsonl.1')}\n`,
    );
    expect(readFileSync(join(folder, 'log.txt.1'), 'utf8')).toBe(log);
    expect(readFileSync(join(folder, 'log.txt'), 'utf8').trimEnd().split('\n')).toHaveLength(1);
  });

  it('takes a number that is free for all logs, and leaves empty ones', () => {
    const folder = temporaryFolder();
    const path = (name: string) => join(folder, name);
    for (const name of ['a', 'b', 'b.1']) writeFileSync(path(name), name);
    writeFileSync(path('c'), '');
    expect(moveAside([path('a'), path('b'), path('c'), path('d')])).toEqual([path('a.2'), path('b.2')]);
    expect(readdirSync(folder).sort()).toEqual(['a.2', 'b.1', 'b.2', 'c']);
  });
});

describe('a folder of events', () => {
  it('that is a file is refused at once, and no empty logs are left', () => {
    const folder = temporaryFolder();
    const file = join(folder, 'file');
    writeFileSync(file, '');
    const outputDir = join(folder, 'out');
    expect(() => run(outputDir, { logDir: file })).toThrow(
      `cannot write ${file}: something else already has that name; choose another path (EEXIST)`,
    );
    expect(existsSync(outputDir)).toBe(false);
  });

  it('that is not named is the run’s own', () => {
    const folder = temporaryFolder();
    mkdirSync(join(folder, 'out'));
    run(join(folder, 'out'), { logDir: '' });
    expect(readdirSync(join(folder, 'out')).filter((name) => name.startsWith('events'))).toHaveLength(1);
  });
});
