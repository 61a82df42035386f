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
 * @param {boolean} tokenizer whether the DALL-E encoder makes the targets
 * @returns one entry a call: name, bytes, operations, its sizes (as kernel-ops.mjs reads them), and modelOperations:
 * those that the formulas of the model ask for, without what is computed again to save memory
 */
export function stepKernels(task, { width, depth, heads }, batch, tokenizer = false) {
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

  /** The residual connection and the norm behind it in one pass. */
  function residualNorm(rows, trained) {
    add('residual and layerNorm', 1, rows * width * (2 * f32 + 2 * bf16), 0, [rows, width]);
    // Reads the gradients of both results, the stream and the branch; writes the gradients of x and the branch, and the
    // norm's result again.
    if (trained)
      add('residual and layerNorm, gradients', 1, rows * width * (3 * f32 + 4 * bf16), 0, [rows, width]);
  }

  function attention(queries, keys, trained) {
    const operations = 4 * batch * queries * keys * width;
    add('attention', 1, bf16 * batch * width * (2 * queries + 2 * keys), operations, [queries, keys]);
    if (trained)
      add(
        'attention, gradients',
        1,
        // The gradient of the queries is summed in f32 on its way.
        batch * width * (bf16 * (4 * queries + 4 * keys) + 2 * f32 * queries),
        2.5 * operations,
        [queries, keys],
        2 * operations,
      );
  }

  /** With a relative position bias, whose gradient is summed from the scores' gradients: those are kept in bf16. */
  function biasedAttention(tokens) {
    const [rows, bias] = [batch * tokens, heads * tokens ** 2 * f32];
    const kept = bf16 * batch * heads * tokens ** 2;
    const operations = 4 * rows * tokens * width;
    add('position bias', 1, bias + tokens ** 2 * 4);
    add('biased attention', 1, 4 * bf16 * rows * width + bias, operations, [tokens]);
    // The scores' gradients are written, and read for the bias's and for the queries'.
    add(
      'biased attention, gradients',
      1,
      8 * bf16 * rows * width + 3 * kept + 2 * bias,
      2.5 * operations,
      [tokens],
      2 * operations,
    );
    // Each block reads all of the index for four rows of the table.
    add('position bias, gradients', 1, bias + (732 / 4) * 2 * tokens ** 2 * 4);
  }

  function mlp(rows, trained) {
    linear(rows, width, 4 * width, trained);
    linear(rows, 4 * width, width, trained);
    add('gelu', 1, 2 * bf16 * rows * 4 * width, 0, [rows, 4 * width]);
    if (trained) add('gelu, gradients', 1, 3 * bf16 * rows * 4 * width, 0, [rows, 4 * width]);
  }

  /** From normalised tokens to those of the next block, or of the last norm. */
  function block(tokens, trained, biased = false) {
    const rows = batch * tokens;
    linear(rows, width, 3 * width, trained);
    if (biased) biasedAttention(tokens);
    else attention(tokens, tokens, trained);
    linear(rows, width, width, trained);
    residualNorm(rows, trained);
    mlp(rows, trained);
    residualNorm(rows, trained);
  }

  function encoder(tokens, trained, biased = false) {
    const pixels = 3 * 16 * 16;
    add('unfold patches', 1, batch * tokens * pixels * 2 * bf16, 0, [tokens]);
    linear(batch * tokens, pixels, width, trained);
    add('embed tokens', 1, batch * tokens * width * (bf16 + f32), 0, [tokens]);
    layerNorm(batch * (tokens + 1), trained);
    for (let i = 0; i < depth; i++) block(tokens + 1, trained, biased);
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

  /** The DALL-E encoder over 112-pixel views, with scores for the masked patches alone. */
  function dalle() {
    const convolution = (side, ins, outs, kernel) => {
      const pixels = batch * side ** 2;
      const taps = ins * outs * kernel ** 2;
      add('tokenizer, convolutions', 1, bf16 * (pixels * (ins + outs) + taps), 2 * pixels * taps);
    };
    const elementwise = (name, side, channels, passes) =>
      add(`tokenizer, ${name}`, 1, passes * bf16 * batch * side ** 2 * channels);
    convolution(112, 3, 256, 7);
    for (let group = 0; group < 4; group++) {
      const [side, outs] = [112 / 2 ** group, 256 * 2 ** group];
      for (const ins of [group === 0 ? outs : outs / 2, outs]) {
        if (ins !== outs) convolution(side, ins, outs, 1);
        elementwise('relu', side, ins, 2);
        convolution(side, ins, outs / 4, 3);
        convolution(side, outs / 4, outs / 4, 3);
        convolution(side, outs / 4, outs / 4, 3);
        convolution(side, outs / 4, outs, 1);
        elementwise('sums', side, outs, 3);
      }
      if (group < 3) elementwise('pooling', side, outs, 1.25);
    }
    elementwise('relu', 14, 2048, 2);
    const rows = batch * masked;
    add('tokenizer, scores', 1, bf16 * (rows * (2048 + classes) + 2048 * classes), 2 * rows * 2048 * classes);
  }

  function pretrain() {
    if (tokenizer) dalle();
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
      residualNorm(batch * masked, true);
      mlp(batch * masked, true);
      residual(batch * masked, true);
    }
    layerNorm(batch * masked, true);
    layerNorm(batch * masked, true);
    for (let i = 0; i < decoderDepth; i++) block(masked, true);
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
