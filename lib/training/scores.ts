import { UserError } from '../errors.js';

/** What a classifier's logits say of labelled pictures, added up batch by batch. */
export class Scores {
  /** Pictures of class r that were taken for class p: [classes, classes], row r. */
  readonly confusion: Uint32Array;
  #count = 0;
  #loss = 0;
  #first = 0;
  #five = 0;

  /** @throws UserError where the number of classes is no whole number of at least 1 */
  constructor(readonly classes: number) {
    if (!Number.isInteger(classes) || classes < 1) {
      throw new UserError(`${classes} classes: give a whole number of at least 1`);
    }
    this.confusion = new Uint32Array(classes * classes);
  }

  /** Pictures seen. */
  get count(): number {
    return this.#count;
  }

  /**
   * Adds a batch.
   * @param logits [B, classes]
   * @param labels [B]
   * @throws UserError for logits that are not finite or not that many, and labels that are no class; the batch is then
   *   not added beyond the picture before
   */
  add(logits: ArrayLike<number>, labels: Int32Array): void {
    const { classes } = this;
    if (logits.length !== labels.length * classes) {
      throw new UserError(`${logits.length} logits are not ${classes} for each of ${labels.length} labels`);
    }
    for (const [row, label] of labels.entries()) {
      if (!Number.isInteger(label) || label < 0 || label >= classes) {
        throw new UserError(`label ${label} of picture ${this.#count} is none of the ${classes} classes`);
      }
      const start = row * classes;
      const own = logits[start + label] as number;
      let [largest, predicted, before] = [Number.NEGATIVE_INFINITY, 0, 0];
      for (let c = 0; c < classes; c++) {
        const value = logits[start + c] as number;
        if (value > largest) [largest, predicted] = [value, c];
        // Of equal ones the first counts, as in a stable sort.
        if (value > own || (value === own && c < label)) before += 1;
      }
      let sum = 0;
      for (let c = 0; c < classes; c++) sum += Math.exp((logits[start + c] as number) - largest);
      const loss = Math.log(sum) + largest - own;
      if (!Number.isFinite(loss)) {
        throw new UserError(
          `the model's output for picture ${this.#count} is not finite; look at the checkpoint`,
        );
      }
      this.#loss += loss;
      this.#first += before < 1 ? 1 : 0;
      this.#five += before < 5 ? 1 : 0;
      this.#count += 1;
      const cell = label * classes + predicted;
      this.confusion[cell] = (this.confusion[cell] as number) + 1;
    }
  }

  /** Mean cross-entropy, and the share of pictures whose class is the first, or among the first five [%]. */
  numbers(): { loss: number; acc1: number; acc5: number } {
    const share = (count: number): number => (100 * count) / this.#count;
    return { loss: this.#loss / this.#count, acc1: share(this.#first), acc5: share(this.#five) };
  }

  /** Of each class, the share that was recognised [%]; NaN for a class without pictures. */
  classAccuracies(): number[] {
    return Array.from({ length: this.classes }, (_, c) => {
      const row = this.confusion.subarray(c * this.classes, (c + 1) * this.classes);
      return (100 * (row[c] as number)) / row.reduce((sum, count) => sum + count, 0);
    });
  }
}
