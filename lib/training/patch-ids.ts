/** Patch numbers of a batch, ascending within each image. */
export interface PatchIds {
  /** [batch·V] */
  visible: Int32Array;
  /** [batch·M] */
  masked: Int32Array;
}

/**
 * Visible and masked patches of a batch from its masks [batch, N] (1 = masked), in raster order.
 * @throws Error if a mask does not have `maskedPerImage` ones
 */
export function patchIds(masks: Uint8Array, batch: number, maskedPerImage: number): PatchIds {
  const patches = masks.length / batch;
  const visible = new Int32Array(batch * (patches - maskedPerImage));
  const masked = new Int32Array(batch * maskedPerImage);
  let [v, m] = [0, 0];
  for (let b = 0; b < batch; b++) {
    for (let i = 0; i < patches; i++) {
      if (masks[b * patches + i] === 1) masked[m++] = i;
      else visible[v++] = i;
    }
    if (m !== (b + 1) * maskedPerImage) {
      throw new Error(
        `mask ${b} of the batch hides ${m - b * maskedPerImage} patches, not ${maskedPerImage}`,
      );
    }
  }
  return { visible, masked };
}
