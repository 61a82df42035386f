import { UserError } from '../errors.js';

/** Share of a data set that may be unreadable before skipping turns into refusing. */
export const badImageLimit = 0.01;

/** What the loader does about an image it cannot read: `--on_bad_image stop|skip`. */
export class BadImages {
  private readonly names = new Set<string>();

  /**
   * @param policy `stop`: the first one is an error. `skip`: each is logged once, and another image takes its place.
   *   undefined: as `stop`, where the command has no such flag or it does not reach these images
   * @param total images in the data set
   * @param log takes one line for each name
   */
  constructor(
    private readonly policy: 'stop' | 'skip' | undefined,
    private readonly total: number,
    private readonly log: (line: string) => void,
  ) {}

  /** Distinct files that could not be read so far. */
  get count(): number {
    return this.names.size;
  }

  /** Whether a file is known to be unreadable. */
  has(path: string): boolean {
    return this.names.has(path);
  }

  /** @throws UserError naming the file, unless it may be skipped */
  add(path: string, reason: string): void {
    if (this.policy !== 'skip') {
      const hint = this.policy === undefined ? '' : ', or skip such files with --on_bad_image skip';
      throw new UserError(`cannot read image ${path}: ${reason}; replace or remove it${hint}`);
    }
    if (this.names.has(path)) return;
    this.names.add(path);
    this.log(`skipped image ${path}: ${reason}`);
    if (this.names.size > badImageLimit * this.total) {
      throw new UserError(
        `${this.names.size} of ${this.total} images cannot be read, more than ${100 * badImageLimit} % (the last: ` +
          `${path}: ${reason}); mend the data folder`,
      );
    }
  }
}
