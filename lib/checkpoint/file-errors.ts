import { type Stats, statSync } from 'node:fs';
import { UserError } from '../errors.js';

/** What to do about the system's refusals that a user meets; the others are passed on with the system's words. */
const remedies: Record<string, string> = {
  ENOSPC: 'no space is left on the disk; free some space or choose a folder on another disk',
  EDQUOT: 'the disk quota is used up; free some space or choose a folder on another disk',
  EFBIG: 'the file is larger than the limit here; raise it (ulimit -f) or choose another file system',
  EROFS: 'the file system is read-only; choose a folder that can be written',
  EACCES: 'permission denied; change the permissions or choose another folder',
  EPERM: 'the system does not permit it; change the permissions or choose another folder',
  ENOTDIR: 'a part of the path is a file, not a folder; choose another path',
  EEXIST: 'something else already has that name; choose another path',
  ENOENT: 'it does not exist; check the path',
  EISDIR: 'it is a folder, not a file; name a file',
  ELOOP: 'the path is a loop of symbolic links; choose another path',
  ENAMETOOLONG: 'the name is too long; choose a shorter one',
  EMFILE: 'too many files are open; raise the limit (ulimit -n)',
  EIO: 'the disk reports an input/output error; check the disk',
};

/** The code of a system error (`ENOSPC`, …), or undefined for any other value. */
export function systemCode(error: unknown): string | undefined {
  if (!(error instanceof Error)) return undefined;
  const code = (error as NodeJS.ErrnoException).code;
  return typeof code === 'string' && /^E[A-Z0-9]+$/.test(code) ? code : undefined;
}

/**
 * What to throw for `error`, met while doing `action` ("write", "read") to `path`: a `UserError` with the remedy
 * for a system error; a `UserError` or a defect of ours comes back as it is.
 */
export function fileError(action: string, path: string, error: unknown): unknown {
  if (error instanceof UserError) return error;
  const code = systemCode(error);
  if (code === undefined) return error;
  const remedy = remedies[code] ?? 'see the system error';
  return new UserError(`cannot ${action} ${path}: ${remedy} (${code})`, 1, { cause: error });
}

/** What a path is; undefined where there is nothing. @throws UserError where that cannot be told, as below a file */
export function statusOf(path: string): Stats | undefined {
  try {
    return statSync(path, { throwIfNoEntry: false });
  } catch (error) {
    throw fileError('read', path, error);
  }
}
