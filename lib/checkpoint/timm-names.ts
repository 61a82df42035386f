import { UserError } from '../errors.js';
import { type StoredDtype, storedDtypeBytes } from './dtype.js';
import type { FileTensor, StoredTensor } from './stored-tensor.js';

/** Names that timm's VisionTransformer has too, with the same meaning. */
const same = new RegExp(
  '^(cls_token|pos_embed|patch_embed\\.proj\\.(weight|bias)|(norm|fc_norm|head)\\.(weight|bias)' +
    '|blocks\\.\\d+\\.((norm1|norm2|attn\\.proj|mlp\\.fc1|mlp\\.fc2)\\.(weight|bias)|attn\\.qkv\\.weight))$',
);

/**
 * An encoder's or classifier's tensors under the names of timm's VisionTransformer: `gamma_1` is `ls1.gamma`, and
 * `q_bias`, `v_bias` are `qkv.bias` with zeros for the keys between them, which have no bias here.
 *
 * @param tensors of the encoder alone, `encoder.` stripped
 * @param source name of the file in messages
 * @throws UserError naming what has no place there: relative position bias, a missing position table
 */
export function toTimm(tensors: ReadonlyMap<string, FileTensor>, source: string): Map<string, StoredTensor> {
  const renamed = new Map<string, StoredTensor>();
  const misfits: string[] = [];
  for (const [name, tensor] of tensors) {
    const scale = /^(blocks\.\d+\.)gamma_([12])$/.exec(name);
    const bias = /^(blocks\.\d+\.attn\.)([qv])_bias$/.exec(name);
    if (same.test(name)) renamed.set(name, tensor);
    else if (scale !== null) renamed.set(`${scale[1]}ls${scale[2]}.gamma`, tensor);
    else if (bias?.[2] === 'q') {
      const values = tensors.get(`${bias[1]}v_bias`);
      if (values === undefined) misfits.push(name);
      else renamed.set(`${bias[1]}qkv.bias`, qkvBias(tensor, values));
    } else if (bias === null) misfits.push(name);
  }
  if (misfits.length > 0) {
    const shown =
      misfits.slice(0, 4).join(', ') + (misfits.length > 4 ? `, … (${misfits.length} in all)` : '');
    throw new UserError(
      `${source}: ${shown} ${misfits.length === 1 ? 'has' : 'have'} no place in timm's VisionTransformer; only models with absolute positions fit`,
    );
  }
  for (const name of ['patch_embed.proj.weight', 'cls_token', 'pos_embed']) {
    if (!renamed.has(name)) {
      throw new UserError(
        `${source}: lacks ${name}, which timm's VisionTransformer has; give an encoder's checkpoint`,
      );
    }
  }
  return renamed;
}

/** [q_bias, 0, v_bias]. */
function qkvBias(query: FileTensor, value: FileTensor): StoredTensor {
  const dtype: StoredDtype = query.dtype;
  const [width = 0] = query.shape;
  return {
    dtype,
    shape: [3 * width],
    byteLength: 3 * width * storedDtypeBytes[dtype],
    read: () => {
      const bytes = new Uint8Array(3 * width * storedDtypeBytes[dtype]);
      bytes.set(query.read());
      bytes.set(value.read(), 2 * width * storedDtypeBytes[dtype]);
      return bytes;
    },
  };
}
