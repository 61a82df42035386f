import { UserError } from '../errors.js';
import { storedDtypeBytes, toFloat32, toFloat64 } from './dtype.js';
import type { FileTensor } from './stored-tensor.js';

const scaleName = /^((?:.*\.)?blocks\.\d+\.)ls([12])\.gamma$/;
const biasName = /^((?:.*\.)?blocks\.\d+\.attn\.)qkv\.bias$/;

/** What training leaves of a bias of keys, whose gradient is rounding alone: softmax takes it away. */
const mostKeyBias = 0.01;

/** Whether tensors have names that only timm's VisionTransformer gives them. */
export function hasTimmNames(tensors: ReadonlyMap<string, unknown>): boolean {
  return [...tensors.keys()].some((name) => scaleName.test(name) || biasName.test(name));
}

/**
 * The way back from timm's names to the reference's, what `toTimm` wrote or timm itself: `ls1.gamma` is `gamma_1`, and
 * `qkv.bias` falls into `q_bias` and `v_bias`. Other names are the same in both.
 *
 * @param source name of the file in messages
 * @throws UserError where keys have a bias, for which attention has no place here, or a bias is not for query, key, value
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
      refuseKeyBias(third(tensor, 1), name, source);
      renamed.set(`${bias[1]}q_bias`, third(tensor, 0));
      renamed.set(`${bias[1]}v_bias`, third(tensor, 2));
    } else {
      renamed.set(name, tensor);
    }
  }
  return renamed;
}

/** One of three equal parts of a vector. */
function third(tensor: FileTensor, part: 0 | 1 | 2): FileTensor {
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

function refuseKeyBias(keys: FileTensor, name: string, source: string): void {
  const bytes = keys.read();
  const values = keys.dtype === 'F64' ? toFloat64(keys.dtype, bytes) : toFloat32(keys.dtype, bytes);
  let most = values === undefined ? Number.NaN : 0;
  for (const value of values ?? []) most = Math.max(most, Math.abs(value));
  // Written so that NaN is refused too.
  if (!(most <= mostKeyBias)) {
    throw new UserError(
      `${source}: ${name} has a bias for keys, up to ${most.toPrecision(2)}; the encoder's attention here has none`,
    );
  }
}
