import { readFileSync } from 'node:fs';

/** What x86-64-v4 has beyond AVX2, as Linux names it. */
const needed = ['avx512f', 'avx512bw', 'avx512cd', 'avx512dq', 'avx512vl'];

/** Whether this machine's CPU has all of x86-64-v4, as binaries with AVX-512 are built for. */
export function cpuHasAvx512(cpuinfo = '/proc/cpuinfo'): boolean {
  let text: string;
  try {
    text = readFileSync(cpuinfo, 'utf8');
  } catch {
    return false;
  }
  const flags = new Set(/^flags\s*:(.*)$/m.exec(text)?.[1]?.trim().split(' '));
  return needed.every((flag) => flags.has(flag));
}
