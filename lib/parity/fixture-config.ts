import type { SafetensorsFile } from '../checkpoint/safetensors-reader.js';
import { machineError, UserError } from '../errors.js';

/**
 * What a fixture says of its computation, as JSON in its metadata.
 * @param fields that it must have
 * @throws UserError where it is no JSON, or lacks one
 */
export function fixtureConfig<T extends object>(
  file: SafetensorsFile,
  fields: readonly (keyof T & string)[],
): T {
  const wrong = (why: string): UserError =>
    new UserError(`${file.path} does not fit: ${why}; give another file`);
  let config: unknown;
  try {
    config = JSON.parse(file.metadata['config'] ?? '{}');
  } catch {
    throw wrong('its config is no JSON');
  }
  const own = typeof config === 'object' && config !== null ? (config as Record<string, unknown>) : {};
  const lacking = fields.find((field) => own[field] === undefined || own[field] === null);
  if (lacking !== undefined) throw wrong(`its config has no ${lacking}`);
  return own as T;
}

/**
 * Runs what a fixture asks for.
 * @throws UserError naming the file where its tensors or numbers are not those of its kind
 */
export async function fitting<T>(path: string, run: () => Promise<T>): Promise<T> {
  try {
    return await run();
  } catch (error) {
    if (error instanceof UserError || machineError(error) !== null) throw error;
    const why = error instanceof Error ? error.message : String(error);
    throw new UserError(`${path} does not fit: ${why}; give another file`, 1, { cause: error });
  }
}
