/** Text for a terminal: names out of files may hold line ends and control sequences, which become question marks. */
export function oneLine(text: string): string {
  return text.replace(/\p{Cc}/gu, '?');
}

/**
 * An error the user can mend: bad input, a missing file, a flag out of range. The command line prints its
 * message as one line, without a stack trace, and exits with `exitCode`; anything else is a defect of ours.
 */
export class UserError extends Error {
  override readonly name = 'UserError';

  /**
   * @param message one line: what is wrong (naming the file, flag or shape), then what to do about it
   * @param exitCode process exit status, default 1
   */
  constructor(
    message: string,
    readonly exitCode = 1,
    options?: ErrorOptions,
  ) {
    super(oneLine(message), options);
  }
}

/**
 * What the native core, or JavaScript's own buffers, say of the machine rather than of what was computed: a device, a
 * library or the memory that is not there. Mended on the machine, or by asking for less, not in our code.
 * @returns the one line, without the core's mark; null for any other error
 */
export function machineError(error: unknown): string | null {
  if (error instanceof RangeError && error.message === 'Array buffer allocation failed') {
    return 'not enough memory for a buffer; lower --batch_size, or the size of the pictures or of the model';
  }
  const [, line] = (error instanceof Error && /^\[(?:device|allocate)\] (.*)/.exec(error.message)) || [];
  return line === undefined ? null : oneLine(line);
}
