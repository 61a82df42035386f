import {
  assumedNormalization,
  type ClassifierTask,
  type PixelNormalization,
  type SavedModel,
} from '../models/saved-classifier.js';

/**
 * How pictures are normalised: as a flag says, else as the checkpoint does, else as the reference's tools do without
 * their flag.
 *
 * @param source the checkpoint in the note; undefined for none
 * @param task of the classifier it holds, where it holds one
 * @returns and a line to say on standard error where it had to be assumed
 */
export function toldNormalization(
  flag: PixelNormalization | undefined,
  saved: Pick<SavedModel, 'normalization'>,
  task: ClassifierTask | undefined,
  source: string | undefined,
): { normalization: PixelNormalization; assumed: string | null } {
  const known = flag ?? saved.normalization;
  if (known !== undefined) return { normalization: known, assumed: null };
  const normalization = assumedNormalization(task);
  const what = normalization === 'half' ? 'mean and deviation 0.5' : "ImageNet's mean and deviation";
  const assumed = `${source} does not say how its pictures were normalised; assumed: ${what}`;
  return { normalization, assumed: source === undefined ? null : assumed };
}
