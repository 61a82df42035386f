// The kernels of a step of pretraining CAE or fine-tuning its encoder, with the bytes each must move and the operations
// it must do: 224-pixel pictures, 98 of 196 patches masked, bf16 activations beside an f32 residual stream.

/** Sizes of a model: width, encoder blocks and heads; regressor and decoder are as wide, four blocks each. */
export const models = {
  tiny: { width: 192, depth: 12, heads: 12 },
  base: { width: 768, depth: 12, heads: 12 },
  large: { width: 1024, depth: 24, heads: 16 },
};

/**
 * @param {'pretrain' | 'finetune'} task
 * @param {{ width: number, depth: number, heads: number }} model
 * @param {number} batch pictures
 * @returns one entry a call: name, bytes, operations, its sizes (as kernel-ops.mjs reads them), and modelOperations:
 * those that the formulas of the model ask for, without what is computed again to save memory
 */
export function stepKernels(task, { width, depth, heads }, batch) {
  const [regressorDepth, decoderDepth, classes] = [4, 4, 8192];
  const [visible, masked, patches] = [98, 98, 196];
  const bf16 = 2;
  const f32 = 4;
  let trainedWeights = 0;
  const calls = [];
  function add(name, count, bytes, operations = 0, sizes = [], modelOperations = operations) {
    for (let i = 0; i < count; i++) calls.push({ name, bytes, operations, sizes, modelOperations });
  }

  /** A linear layer: forward; with gradients also those of its input and of its weight (f32). */
  function linear(rows, ins, outs, trained) {
    const operations = 2 * rows * ins * outs;
    const moved = bf16 * (rows * ins + ins * outs + rows * outs);
    add('products, forward', 1, moved, operations, [rows, ins, outs]);
    if (!trained) return;
    trainedWeights += ins * outs + outs;
    add('products, gradient of the input', 1, moved, operations, [rows, ins, outs]);
    add(
      'products, gradient of the weight and bias',
      1,
      bf16 * rows * (ins + outs) + f32 * ins * outs,
      operations,
      [rows, ins, outs],
    );
  }

  function layerNorm(rows, trained) {
    add('layerNorm', 1, rows * width * (f32 + bf16), 0, [rows, width]);
    // Reads x and dy, writes dx.
    if (trained) add('layerNorm, gradients', 1, rows * width * (2 * f32 + bf16), 0, [rows, width]);
  }

  function residual(rows, trained) {
    add('residual + layerScale + dropPath', 1, rows * width * (2 * f32 + bf16), 0, [rows, width]);
    // Reads dy and the branch, writes the branch's gradient.
    if (trained) add('residual, gradients', 1, rows * width * (f32 + 2 * bf16), 0, [rows, width]);
  }

  function attention(queries, keys, trained) {
    const operations = 4 * batch * queries * keys * width;
    add('attention', 1, bf16 * batch * width * (2 * queries + 2 * keys), operations, [queries, keys]);
    if (trained)
      add(
        'attention, gradients',
        1,
        bf16 * batch * width * (4 * queries + 4 * keys),
        2.5 * operations,
        [queries, keys],
        2 * operations,
      );
  }

  /** With a relative position bias: products around a softmax kernel, which reads and writes all scores. */
  function biasedAttention(tokens) {
    const rows = batch * tokens;
    const scores = batch * heads * tokens ** 2;
    // A score in f32, a probability in bf16; rows of the batch in bf16, copied from and to heads that lie apart.
    const [operations, copy] = [2 * scores * (width / heads), 2 * bf16 * rows * width];
    add('position bias', 1, heads * tokens ** 2 * f32 + tokens ** 2 * 4);
    add('biased attention, heads apart and together', 4, copy);
    add('biased attention, products for scores', 1, copy + f32 * scores, operations);
    add('biased attention, softmax', 1, (f32 + bf16) * scores);
    add('biased attention, products from scores', 1, copy + bf16 * scores, operations);
    add('biased attention gradients, heads apart and together', 7, copy);
    add('biased attention gradients, products for scores', 2, copy + f32 * scores, operations);
    add('biased attention gradients, softmax', 1, 2 * (f32 + bf16) * scores);
    add('biased attention gradients, products from scores', 3, copy + bf16 * scores, operations);
    // Each block reads all of the index for four rows of the table.
    add('position bias, gradients', 1, heads * tokens ** 2 * f32 + (732 / 4) * 2 * tokens ** 2 * 4);
  }

  function mlp(rows, trained) {
    linear(rows, width, 4 * width, trained);
    linear(rows, 4 * width, width, trained);
    add('gelu', 1, 2 * bf16 * rows * 4 * width, 0, [rows, 4 * width]);
    if (trained) add('gelu, gradients', 1, 3 * bf16 * rows * 4 * width, 0, [rows, 4 * width]);
  }

  function block(tokens, trained, biased = false) {
    const rows = batch * tokens;
    layerNorm(rows, trained);
    linear(rows, width, 3 * width, trained);
    if (biased) biasedAttention(tokens);
    else attention(tokens, tokens, trained);
    linear(rows, width, width, trained);
    residual(rows, trained);
    layerNorm(rows, trained);
    mlp(rows, trained);
    residual(rows, trained);
  }

  function encoder(tokens, trained, biased = false) {
    const pixels = 3 * 16 * 16;
    add('unfold patches', 1, batch * tokens * pixels * 2 * bf16, 0, [tokens]);
    linear(batch * tokens, pixels, width, trained);
    add('embed tokens', 1, batch * tokens * width * (bf16 + f32), 0, [tokens]);
    for (let i = 0; i < depth; i++) block(tokens + 1, trained, biased);
    layerNorm(batch * (tokens + 1), trained);
  }

  function optimizer(parameters) {
    add('global norm', 1, f32 * parameters, 0, [parameters]);
    // Reads and writes weight and moments, reads the gradient, writes the bf16 copy.
    add('AdamW', 1, (7 * f32 + bf16) * parameters, 0, [parameters]);
  }

  /** CAE-base's encoder over all patches, with 12 relative position tables, mixup, random erasing and 1000 classes. */
  function finetune() {
    const pixels = f32 * batch * 3 * 224 ** 2;
    add('normalise, erase and mix pictures', 1, pixels / 4 + pixels + 2 * pixels);
    encoder(patches, true, true);
    add('mean of the tokens, with its gradient', 1, 2 * bf16 * batch * (patches + 1) * width);
    linear(batch, width, 1000, true);
    add('soft cross-entropy with its gradient', 1, batch * 1000 * (2 * bf16 + f32));
    optimizer(trainedWeights);
  }

  function pretrain() {
    encoder(visible, true);
    encoder(masked, false);
    for (let i = 0; i < regressorDepth; i++) {
      // Queries, keys and values are three norms of tokens with and without positions.
      layerNorm(batch * masked, true);
      layerNorm(batch * patches, true);
      layerNorm(batch * patches, true);
      linear(batch * masked, width, width, true);
      linear(batch * patches, width, width, true);
      linear(batch * patches, width, width, true);
      attention(masked, patches, true);
      linear(batch * masked, width, width, true);
      residual(batch * masked, true);
      layerNorm(batch * masked, true);
      mlp(batch * masked, true);
      residual(batch * masked, true);
    }
    layerNorm(batch * masked, true);
    for (let i = 0; i < decoderDepth; i++) block(masked, true);
    layerNorm(batch * masked, true);
    linear(batch * masked, width, classes, true);
    add('cross-entropy with its gradient', 1, 2 * bf16 * batch * masked * classes, 0, [
      batch * masked,
      classes,
    ]);
    add('mse and its gradient', 1, 5 * f32 * batch * masked * width, 0, [batch * masked, width]);
    optimizer(trainedWeights);
  }

  if (task === 'finetune') finetune();
  else pretrain();
  return calls;
}
