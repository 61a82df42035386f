import type { SafetensorsFile } from '../checkpoint/safetensors-reader.js';
import type { Device, Dtype, NumberArray } from '../tensor/tensor.js';

export interface ParityOptions {
  device: Device;
  /** dtype of GEMMs, convolutions and attention */
  dtype: Dtype;
}

/** A computed tensor, to be held against the fixture's. */
export interface Computed {
  data: NumberArray | Uint8Array | Float64Array;
  shape: readonly number[];
}

/** Runs one kind of fixture; results carry the names that follow `expect.`. */
export type ParityRun = (file: SafetensorsFile, options: ParityOptions) => Promise<Map<string, Computed>>;
