import { UserError } from '../errors.js';
import { storedDtypeBytes } from './dtype.js';
import type { FileTensor } from './stored-tensor.js';

const scaleName = /^((?:.*\.)?blocks\.\d+\.)ls([12])\.gamma$/;
const biasName = /^((?:.*\.)?blocks\.\d+\.attn\.)qkv\.bias$/;

/** Whether tensors have names that only timm's VisionTransformer gives them. */
export function hasTimmNames(tensors: ReadonlyMap<string, unknown>): boolean {
  return [...tensors.keys()].some((name) => scaleName.test(name) || biasName.test(name));
}

/**
 * The way back from timm's names to the reference's, what `toTimm` wrote or timm itself: `ls1.gamma` is `gamma_1`, and
 * `qkv.bias` falls into `q_bias` and `v_bias`. A bias of keys is left out: it adds the same to all scores of a query,
 * and softmax takes that away. Other names are the same in both.
 *
 * @param source name of the file in messages
 * @throws UserError where a bias is not for query, key, value
 */
export function fromTimm(tensors: ReadonlyMap<string, FileTensor>, source: string): Map<string, FileTensor> {
  const renamed = new Map<string, FileTensor>();
  for (const [name, tensor] of tensors) {
    const scale = scaleName.exec(name);
    const bias = biasName.exec(name);
    if (scale !== null) {
      renamed.set(`${scale[1]}gamma_${scale[2]}`, tensor);
    } else if (bias !== null) {
      const [length = 0, ...more] = tensor.shape;
      if (length % 3 !== 0 || more.length > 0) {
        throw new UserError(
          `${source}: ${name} is [${tensor.shape.join(', ')}], not a query's, key's and value's`,
        );
      }
      renamed.set(`${bias[1]}q_bias`, third(tensor, 0));
      renamed.set(`${bias[1]}v_bias`, third(tensor, 2));
    } else {
      renamed.set(name, tensor);
    }
  }
  return renamed;
}

/** One of three equal parts of a vector. */
function third(tensor: FileTensor, part: 0 | 2): FileTensor {
  const { dtype } = tensor;
  const width = (tensor.shape[0] as number) / 3;
  const byteLength = width * storedDtypeBytes[dtype];
  return {
    dtype,
    shape: [width],
    byteLength,
    read: () => tensor.read().slice(part * byteLength, (part + 1) * byteLength),
  };
}
