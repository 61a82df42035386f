import { native } from '../native/addon.js';
import { Parameter } from './parameter.js';
import { keep, refusePromise, scope } from './scope.js';
import { Tensor } from './tensor.js';

/** One recorded op: what it made, from what, what backward reads, and how gradients pass through it. */
interface Node {
  outputs: Tensor[];
  inputs: (Tensor | null)[];
  saved: Tensor[];
  backward: Backward;
}

/**
 * Takes a gradient for each output (null where none arrived) and returns one for each input (null where none is
 * due). Gradients of parameters are not returned: `Parameter.accumulate` takes them.
 */
export type Backward = (...grads: (Tensor | null)[]) => (Tensor | null)[];

/** The ops of a forward pass, in order; backward walks them in reverse, once, letting go what each one saved. */
export class Tape {
  #nodes: Node[] = [];
  #state: 'recording' | 'walked' | 'ended' = 'recording';

  push(node: Node): void {
    for (const tensor of node.saved) tensor.hold();
    this.#nodes.push(node);
  }

  /**
   * Back-propagates from a scalar loss (or, with a gradient for seed, from any tensor); gradients arrive in the
   * parameters, and in the result for `wanted`. A tape is walked once: the gradients of several losses are those of
   * their sum. Where an op's backward throws, nothing is left behind but what the parameters have got; `dispose` lets
   * the rest go.
   * @param seed gradient of the loss: 1, or a tensor of its size on the device, as the loss scale is
   * @param wanted tensors that are no parameters whose gradients the caller wants, and then owns
   * @throws Error if the tape was walked back before, or has ended, or the seed is of another size
   */
  backward(loss: Tensor, seed: number | Tensor = 1, wanted: readonly Tensor[] = []): (Tensor | null)[] {
    if (this.#state === 'walked')
      throw new Error('tape: backward has run already; add the losses, or use one tape each');
    if (this.#state === 'ended')
      throw new Error('tape: it has ended; call backward within the body that withTape runs');
    if (typeof seed !== 'number' && seed.size !== loss.size) {
      throw new Error(`tape: the seed [${seed.shape}] must have the size of the loss [${loss.shape}]`);
    }
    this.#state = 'walked';
    const grads = new Map<Tensor, Tensor>();
    try {
      const start = keep(Tensor.empty(loss.shape, loss.dtype, loss.device));
      grads.set(loss, start);
      if (typeof seed === 'number') native.fill(start.handle, seed);
      else native.copyInto(seed.handle, start.handle);
      for (let node = this.#nodes.pop(); node !== undefined; node = this.#nodes.pop()) {
        try {
          this.#step(node, grads, wanted);
        } finally {
          for (const tensor of node.saved) tensor.release();
        }
      }
    } catch (error) {
      for (const grad of grads.values()) grad.release();
      throw error;
    }
    const results = wanted.map((tensor) => grads.get(tensor) ?? null);
    for (const [tensor, grad] of grads) if (!wanted.includes(tensor)) grad.release();
    return results;
  }

  #step(node: Node, grads: Map<Tensor, Tensor>, wanted: readonly Tensor[]): void {
    const arriving = node.outputs.map((output) => grads.get(output) ?? null);
    if (arriving.every((grad) => grad === null)) return;
    // The caller gets these later: until then they are shared, and nobody writes into them.
    const due = node.outputs.filter((output) => wanted.includes(output) && grads.has(output));
    for (const output of due) grads.get(output)!.hold();
    try {
      scope(() => {
        const leaving = node.backward(...arriving);
        leaving.forEach((grad, i) => {
          const input = node.inputs[i];
          if (grad === null || input === null || input === undefined) return;
          addGradient(grads, input, grad, arriving.includes(grad) || leaving.indexOf(grad) < i);
        });
      });
    } finally {
      for (const output of due) grads.get(output)!.release();
    }
    for (const output of node.outputs) {
      if (wanted.includes(output)) continue;
      grads.get(output)?.release();
      grads.delete(output);
    }
  }

  /** Ends the tape and lets go of everything saved, of a pass that will not be walked back. */
  dispose(): void {
    this.#state = 'ended';
    for (const node of this.#nodes) for (const tensor of node.saved) tensor.release();
    this.#nodes = [];
  }
}

/**
 * Adds a gradient to what a tensor has so far; a frozen parameter takes none. `shared`: somebody else holds it, too (a
 * gradient passed through).
 */
function addGradient(grads: Map<Tensor, Tensor>, input: Tensor, grad: Tensor, shared: boolean): void {
  if (input instanceof Parameter) {
    if (!input.requiresGrad) return;
    input.accumulate((total, accumulate) => {
      if (accumulate) native.addInto(total.handle, grad.handle, 1, 1);
      else native.copyInto(grad.handle, total.handle);
    });
    return;
  }
  const before = grads.get(input);
  if (before === undefined) {
    // A gradient that goes to several places has a hold for each; none of them writes into it.
    grads.set(input, shared ? grad.hold() : keep(grad));
  } else if (before.holds === 1) {
    native.addInto(before.handle, grad.handle, 1, 1);
  } else {
    grads.set(input, keep(new Tensor(native.add(before.handle, grad.handle, 1, 1))));
    before.release();
  }
}

let current: Tape | null = null;

/**
 * Runs `body` with a fresh tape recording; what is left on the tape is let go at the end.
 * @throws Error if `body` returns a promise: the tape would end before the work
 */
export function withTape<T>(body: (tape: Tape) => T): T {
  const outer = current;
  const tape = new Tape();
  current = tape;
  try {
    return refusePromise('withTape', body(tape));
  } finally {
    current = outer;
    tape.dispose();
  }
}

/**
 * Runs `body` without recording: nothing in it is kept for backward.
 * @throws Error if `body` returns a promise: what it does after its first await would be recorded
 */
export function noGrad<T>(body: () => T): T {
  const outer = current;
  current = null;
  try {
    return refusePromise('noGrad', body());
  } finally {
    current = outer;
  }
}

/** Whether an op on these inputs has to be recorded. */
export function recording(...inputs: (Tensor | null)[]): boolean {
  return current !== null && inputs.some((input) => input?.requiresGrad === true);
}

/**
 * Records an op if a tape runs and any input needs a gradient.
 * @param outputs what the op made; they require gradients from here on
 * @param inputs in the order in which `backward` returns their gradients
 * @param saved tensors that `backward` reads: the tape holds them until then
 */
export function record(
  outputs: Tensor[],
  inputs: (Tensor | null)[],
  saved: Tensor[],
  backward: Backward,
): void {
  if (!recording(...inputs) || current === null) return;
  for (const output of outputs) output.requiresGrad = true;
  current.push({ outputs, inputs, saved, backward });
}
