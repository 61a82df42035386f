import { spawn, spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, readdirSync, readFileSync, utimesSync, writeFileSync } from 'node:fs';
import { hostname } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { FolderLock, lockName } from '../../lib/checkpoint/folder-lock.js';
import { startOf } from '../../lib/checkpoint/process-life.js';
import { temporaryFolder } from '../logging/temp-folder.js';

/** Leaves a lock in a folder as another process would. @returns its path */
function leave(folder: string, holder: object | string): string {
  const path = join(folder, lockName);
  writeFileSync(path, typeof holder === 'string' ? holder : JSON.stringify(holder));
  return path;
}

/** Takes a lock and gives it back. @returns whether it was there meanwhile */
function locks(folder: string): boolean {
  using _lock = new FolderLock(folder);
  return existsSync(join(folder, lockName));
}

describe('a locked folder', () => {
  it('is in use by a process that lives, until it gives the lock back', () => {
    const folder = temporaryFolder();
    {
      using _lock = new FolderLock(folder);
      expect(() => new FolderLock(folder)).toThrow(
        `${folder} is in use by process ${process.pid}; wait for it, or choose another --output_dir`,
      );
    }
    expect(readdirSync(folder)).toEqual([]);
    expect(locks(folder)).toBe(true);
  });

  it('is in use by another process, as long as it lives', async () => {
    const folder = temporaryFolder();
    const other = spawn('sleep', ['60']);
    const pid = other.pid as number;
    leave(folder, { pid, host: hostname(), started: startOf(pid) });
    expect(() => new FolderLock(folder)).toThrow(`is in use by process ${pid};`);
    other.kill('SIGKILL');
    await new Promise((resolve) => other.on('exit', resolve));
    expect(locks(folder)).toBe(true);
    expect(readdirSync(folder)).toEqual([]);
  });

  it.each([
    ['a dead process', { pid: spawnSync('true').pid, host: hostname() }],
    ['an earlier process of the same id', { pid: process.ppid, host: hostname(), started: '1' }],
    ['an earlier process of our own id', { pid: process.pid, host: hostname(), started: '1' }],
    ['nobody: its text was never written', ''],
  ])('is taken over from %s', (_name, holder) => {
    const folder = temporaryFolder();
    leave(folder, holder);
    expect(locks(folder)).toBe(true);
    expect(readdirSync(folder)).toEqual([]);
  });

  it('of another machine is in use until its lock is no longer touched', () => {
    const folder = temporaryFolder();
    const path = leave(folder, { pid: 1, host: 'elsewhere' });
    expect(() => new FolderLock(folder)).toThrow(
      `is in use by process 1 on elsewhere; wait for it, or choose another --output_dir; where that has ended, remove ${path}`,
    );
    const old = new Date(Date.now() - 3_600_000);
    utimesSync(path, old, old);
    expect(locks(folder)).toBe(true);
  });
});

describe('a folder that is missing', () => {
  it('is made when the lock is taken, and goes with it where nothing else was written', () => {
    const folder = join(temporaryFolder(), 'a', 'b');
    {
      using lock = new FolderLock(folder);
      expect(existsSync(folder)).toBe(false);
      lock.take();
      expect(JSON.parse(readFileSync(join(folder, lockName), 'utf8'))).toMatchObject({ pid: process.pid });
    }
    expect(existsSync(folder)).toBe(false);
    {
      using lock = new FolderLock(folder);
      lock.take();
      mkdirSync(join(folder, 'mine'));
    }
    expect(readdirSync(folder)).toEqual(['mine']);
  });

  it('and cannot be made, or is a file, stays without a lock', () => {
    const file = join(temporaryFolder(), 'file');
    writeFileSync(file, 'mine');
    for (const folder of ['/proc/cae-out', file, join(file, 'below')]) {
      using lock = new FolderLock(folder);
      lock.take();
    }
    expect(readFileSync(file, 'utf8')).toBe('mine');
  });
});
