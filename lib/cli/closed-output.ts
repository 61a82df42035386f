/** Commands that do nothing but print: without a reader there is nothing left to do. */
const printing: ReadonlySet<string> = new Set(['doctor', 'bench', 'parity', 'eval', 'knn']);

/**
 * Takes the end of whoever reads the output, as in `cae-native doctor | head -1`, for no error: a command that only
 * prints ends, and every other one goes on to its end, as training does. Other errors of the streams are thrown.
 *
 * @param command as called
 */
export function endureClosedOutput(command: string | undefined): void {
  for (const stream of [process.stdout, process.stderr]) {
    stream.on('error', (error: NodeJS.ErrnoException) => {
      if (error.code !== 'EPIPE') throw error;
      if (stream === process.stdout && command !== undefined && printing.has(command)) process.exit(0);
    });
  }
}
