/** Exit status for a command line that cannot be understood. */
export const usageExitCode = 2;

/**
 * Flags in the reference's spelling: `--data-path=x` becomes `--data_path=x`. Values, and all that follows a lone
 * `--`, stay as they are.
 */
export function normalizeFlagSpelling(args: readonly string[]): string[] {
  const end = args.indexOf('--');
  return args.map((arg, i) => {
    if ((end >= 0 && i >= end) || !/^--[a-z]/i.test(arg)) return arg;
    const [name = '', ...value] = arg.split('=');
    return [`--${name.slice(2).replaceAll('-', '_')}`, ...value].join('=');
  });
}
