// The product's own ops behind the rows of step-kernels.mjs: each entry makes the inputs of one row and returns a
// function that queues the op once and lets go of what it makes.

/**
 * @param native the addon
 * @param {{ device: string, dtype: 'f32' | 'bf16' | 'f16', batch: number, width: number, heads: number }} how
 * @returns by the row's name, a function of its sizes: { run, release }
 */
export function kernelOps(native, { device, dtype, batch, width, heads }) {
  /** Handles of one row's inputs. */
  function room() {
    const kept = [];
    const keep = (handle) => {
      kept.push(handle);
      return handle;
    };
    const raw = (shape, type) => keep(native.empty(shape, type, device));
    return {
      /** Random numbers: products of zeros draw less power and run faster. */
      random(shape, type = dtype) {
        const draws = native.empty(shape, 'f32', device);
        native.uniform(draws, -1, 1, 0, kept.length);
        if (type === 'f32') return keep(draws);
        const narrow = keep(native.cast(draws, type));
        native.release(draws);
        return narrow;
      },
      zeros(shape, type) {
        const handle = raw(shape, type);
        native.fill(handle, 0);
        return handle;
      },
      from: (values, shape, type) => keep(native.fromBytes(values, shape, type, device)),
      /** What ops return and later ones read. */
      keepAll: (handles) => handles.map(keep),
      release() {
        for (const handle of kept) native.release(handle);
      },
    };
  }
  const drop = (result) => {
    for (const handle of [result].flat()) if (handle != null) native.release(handle);
  };
  /** An entry: prepare(room, ...sizes) makes the inputs and returns what queues the op. */
  const op = (prepare) => (sizes) => {
    const made = room();
    const queue = prepare(made, ...sizes);
    return { run: () => drop(queue()), release: made.release };
  };
  const ids = (r, tokens) =>
    r.from(
      Int32Array.from({ length: batch * tokens }, (_, i) => (i % tokens) * Math.floor(196 / tokens)),
      [batch, tokens],
      'i32',
    );
  const scale = (width / heads) ** -0.5;
  const residualInputs = (r, rows, columns) => {
    const shape = [batch, rows / batch, columns];
    const [gamma, weight, bias] = [0, 1, 2].map(() => r.random([columns], 'f32'));
    const keep = r.random([batch], 'f32');
    return { x: r.random(shape, 'f32'), branch: r.random(shape), gamma, keep, weight, bias };
  };

  return {
    'products, forward': op((r, rows, ins, outs) => {
      const [x, weight, bias] = [r.random([rows, ins]), r.random([outs, ins]), r.random([outs], 'f32')];
      return () => native.linear(x, weight, bias);
    }),
    'products, gradient of the input': op((r, rows, ins, outs) => {
      const [dy, weight] = [r.random([rows, outs]), r.random([outs, ins])];
      return () => native.linearBackwardInput(dy, weight);
    }),
    'products, gradient of the weight and bias': op((r, rows, ins, outs) => {
      const [dy, x] = [r.random([rows, outs]), r.random([rows, ins])];
      const [dweight, dbias] = [r.zeros([outs, ins], 'f32'), r.zeros([outs], 'f32')];
      return () => native.linearBackwardWeight(dy, x, dweight, dbias, false, false);
    }),
    layerNorm: op((r, rows, columns) => {
      const [x, weight, bias] = [[rows, columns], [columns], [columns]].map((shape) =>
        r.random(shape, 'f32'),
      );
      return () => native.layerNorm(x, weight, bias, 1e-6, dtype);
    }),
    'layerNorm, gradients': op((r, rows, columns) => {
      const [x, weight, bias] = [[rows, columns], [columns], [columns]].map((shape) =>
        r.random(shape, 'f32'),
      );
      const dy = r.random([rows, columns]);
      const [, mean, rstd] = r.keepAll(native.layerNorm(x, weight, bias, 1e-6, dtype));
      const [dweight, dbias] = [r.zeros([columns], 'f32'), r.zeros([columns], 'f32')];
      return () => native.layerNormBackward(dy, x, weight, bias, mean, rstd, dweight, dbias, false, null);
    }),
    'residual + layerScale + dropPath': op((r, rows, columns) => {
      const shape = [batch, rows / batch, columns];
      const [x, branch] = [r.random(shape, 'f32'), r.random(shape)];
      const [gamma, keep] = [r.random([columns], 'f32'), r.random([batch], 'f32')];
      return () => native.residual(x, branch, gamma, keep);
    }),
    'residual, gradients': op((r, rows, columns) => {
      const shape = [batch, rows / batch, columns];
      const [dy, branch] = [r.random(shape, 'f32'), r.random(shape)];
      const [gamma, keep] = [r.random([columns], 'f32'), r.random([batch], 'f32')];
      const dgamma = r.zeros([columns], 'f32');
      return () => native.residualBackward(dy, branch, gamma, keep, dtype, dgamma, false);
    }),
    'residual and layerNorm': op((r, rows, columns) => {
      const { x, branch, gamma, keep, weight, bias } = residualInputs(r, rows, columns);
      return () => native.residualNorm(x, branch, gamma, keep, weight, bias, 1e-6, dtype);
    }),
    'residual and layerNorm, gradients': op((r, rows, columns) => {
      const { x, branch, gamma, keep, weight, bias } = residualInputs(r, rows, columns);
      const made = native.residualNorm(x, branch, gamma, keep, weight, bias, 1e-6, dtype);
      const [stream, y, mean, rstd] = r.keepAll(made);
      const [dy, dstream] = [
        r.random([batch, rows / batch, columns]),
        r.random([batch, rows / batch, columns], 'f32'),
      ];
      const [dgamma, dweight, dbias] = [0, 1, 2].map(() => r.zeros([columns], 'f32'));
      return () =>
        native.residualNormBackward(
          ...[dy, dstream, stream, branch, gamma, keep, weight, bias, mean, rstd],
          ...[dtype, dgamma, dweight, dbias, false, y],
        );
    }),
    'biased attention': op((r, tokens) => {
      const [qkv, bias] = [r.random([batch, tokens, 3 * width]), r.random([heads, tokens, tokens], 'f32')];
      return () => native.biasedSelfAttention(qkv, bias, heads, scale);
    }),
    'biased attention, gradients': op((r, tokens) => {
      const [qkv, bias] = [r.random([batch, tokens, 3 * width]), r.random([heads, tokens, tokens], 'f32')];
      const dout = r.random([batch, tokens, width]);
      const [out, logSum] = r.keepAll(native.biasedSelfAttention(qkv, bias, heads, scale));
      return () => native.biasedSelfAttentionBackward(dout, qkv, bias, out, logSum, heads, scale);
    }),
    attention: op((r, queries, keys) => {
      if (queries === keys) {
        const qkv = r.random([batch, queries, 3 * width]);
        return () => native.selfAttention(qkv, heads, scale);
      }
      const [q, k, v] = [queries, keys, keys].map((tokens) => r.random([batch, tokens, width]));
      return () => native.crossAttention(q, k, v, heads, scale);
    }),
    'attention, gradients': op((r, queries, keys) => {
      const dout = r.random([batch, queries, width]);
      if (queries === keys) {
        const qkv = r.random([batch, queries, 3 * width]);
        const [out, logSum] = r.keepAll(native.selfAttention(qkv, heads, scale));
        return () => native.selfAttentionBackward(dout, qkv, out, logSum, heads, scale);
      }
      const [q, k, v] = [queries, keys, keys].map((tokens) => r.random([batch, tokens, width]));
      const [out, logSum] = r.keepAll(native.crossAttention(q, k, v, heads, scale));
      return () => native.crossAttentionBackward(dout, q, k, v, out, logSum, heads, scale);
    }),
    gelu: op((r, rows, columns) => {
      const x = r.random([rows, columns]);
      return () => native.gelu(x, null);
    }),
    'gelu, gradients': op((r, rows, columns) => {
      const [dy, x] = [r.random([rows, columns]), r.random([rows, columns])];
      return () => native.geluBackward(dy, x, null, null, false, null);
    }),
    'unfold patches': op((r, tokens) => {
      const [images, places] = [r.random([batch, 3, 224, 224], 'f32'), ids(r, tokens)];
      return () => native.unfoldPatches(images, 16, places, dtype);
    }),
    'embed tokens': op((r, tokens) => {
      const [x, places] = [r.random([batch, tokens, width]), ids(r, tokens)];
      const [first, positions] = [r.random([width], 'f32'), r.random([197, width], 'f32')];
      return () => native.embedTokens(x, first, positions, places);
    }),
    'global norm': op((r, parameters) => {
      const gradient = r.random([parameters], 'f32');
      return () => native.globalNorm([gradient]);
    }),
    AdamW: op((r, parameters) => {
      const [weight, gradient] = [r.random([parameters], 'f32'), r.random([parameters], 'f32')];
      const [first, second] = [r.zeros([parameters], 'f32'), r.zeros([parameters], 'f32')];
      const copies = dtype === 'f32' ? [] : [r.random([parameters])];
      const rates = r.from(Float64Array.of(1e-4, 0.05), [2], 'f64');
      const [norm] = r.keepAll([native.globalNorm([gradient])]);
      const updates = r.zeros([1], 'f64');
      const [factors] = r.keepAll([native.adamwFactors(norm, updates, null, 0.9, 0.999, 3, 1)]);
      return () => {
        native.adamw(
          [weight],
          [gradient],
          [first],
          [second],
          copies,
          [1],
          [true],
          rates,
          factors,
          0.9,
          0.999,
          1e-8,
        );
      };
    }),
    'cross-entropy with its gradient': op((r, rows, classes) => {
      const logits = r.random([rows, classes]);
      const labels = r.from(
        Int32Array.from({ length: rows }, (_, i) => (i * 7919) % classes),
        [rows],
        'i32',
      );
      return () => native.crossEntropy(logits, labels, true, 1);
    }),
    'mse and its gradient': op((r, rows, columns) => {
      const [x, target] = [r.random([rows, columns], 'f32'), r.random([rows, columns], 'f32')];
      const dloss = r.from(Float32Array.of(1), [1], 'f32');
      return () => [native.mse(x, target), native.mseBackward(dloss, x, target)];
    }),
  };
}
