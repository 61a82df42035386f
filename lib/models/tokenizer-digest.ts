import { createHash } from 'node:crypto';
import { join } from 'node:path';
import { readCustomized, readPickledModule } from './tokenizer-files.js';

/**
 * Tells a tokenizer's weights apart from others: SHA-256 over names, shapes and values, whatever the file's format. Of
 * DALL-E's it is the encoder's alone, which makes the tokens.
 *
 * @returns lower-case hexadecimal
 * @throws UserError as `loadTokenizer` does
 */
export async function tokenizerDigest(type: 'dall-e' | 'customized', path: string): Promise<string> {
  const entries =
    type === 'dall-e' ? readPickledModule(join(path, 'encoder.pkl')) : (await readCustomized(path)).entries;
  const hash = createHash('sha256');
  for (const name of [...entries.keys()].sort()) {
    const { shape, data } = entries.get(name)!;
    hash.update(`${name} ${shape.join('x')}\n`);
    hash.update(new Uint8Array(data.buffer, data.byteOffset, data.byteLength));
  }
  return hash.digest('hex');
}
