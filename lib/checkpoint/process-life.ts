import { readFileSync } from 'node:fs';
import { systemCode } from './file-errors.js';

/** A process's fields after its name, as proc(5) numbers them from 3 on; undefined where the system does not tell. */
function fieldsOf(pid: number): string[] | undefined {
  try {
    // The name stands in parentheses and may hold anything.
    const text = readFileSync(`/proc/${pid}/stat`, 'latin1');
    return text.slice(text.lastIndexOf(')') + 2).split(' ');
  } catch {
    return undefined;
  }
}

/** Whether a process of this machine lives; one that ended and was not yet waited for does not. */
export function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
  } catch (error) {
    if (systemCode(error) !== 'EPERM') return false;
  }
  return fieldsOf(pid)?.[0] !== 'Z';
}

/** When a process started, in the system's ticks: tells it from a later one of the same id. Undefined where not told. */
export function startOf(pid: number): string | undefined {
  return fieldsOf(pid)?.[19];
}
