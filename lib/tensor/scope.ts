import type { Tensor } from './tensor.js';

/** Tensors made in a scope, to be let go at its end. Scopes nest; the innermost one takes new tensors. */
const scopes: Set<Tensor>[] = [];

/** Called by every new tensor: the scope that will let it go, if there is one. */
export function enterScope(tensor: Tensor): Set<Tensor> | null {
  const current = scopes.at(-1) ?? null;
  current?.add(tensor);
  return current;
}

/**
 * Runs `body` and releases every tensor made in it, except those in its result (a tensor, or arrays and plain
 * objects of them), which pass to the scope around it, or to the caller. Tensors that the tape saved for backward
 * stay alive until backward has used them. Memory does not wait for the garbage collector.
 * @throws Error if `body` returns a promise: the scope would end before the work
 */
export function scope<T>(body: () => T): T {
  const own = new Set<Tensor>();
  scopes.push(own);
  let result: T;
  try {
    result = refusePromise('scope', body());
  } catch (error) {
    scopes.pop();
    for (const tensor of own) tensor.release();
    throw error;
  }
  scopes.pop();
  const outer = scopes.at(-1) ?? null;
  visitTensors(result, (tensor) => {
    if (own.delete(tensor)) tensor.moveTo(outer);
  });
  for (const tensor of own) tensor.release();
  return result;
}

/**
 * The result of a body that has to be done when it returns: what `what` undoes behind it would be undone too soon.
 * @throws Error for a promise, whose own outcome is let go
 */
export function refusePromise<T>(what: string, result: T): T {
  if (!(result instanceof Promise)) return result;
  result.catch(() => undefined);
  throw new Error(
    `${what}: its body returned a promise, but must be synchronous; await around it, not in it`,
  );
}

/** Takes a tensor out of its scope: whoever keeps it releases it. Returns the tensor. */
export function keep<T extends Tensor>(tensor: T): T {
  tensor.moveTo(null);
  return tensor;
}

/** Gives up the hold that a scope has on a tensor, before the scope ends. */
export function letGo(tensor: Tensor): void {
  keep(tensor).release();
}

/** Puts a tensor that nobody's scope lets go into the one that runs: the opposite of keep. Returns the tensor. */
export function enter<T extends Tensor>(tensor: T): T {
  tensor.moveTo(scopes.at(-1) ?? null);
  return tensor;
}

/** Recognises tensors without importing the class, which imports this file. */
function isTensor(value: object): value is Tensor {
  return 'moveTo' in value && 'release' in value;
}

/** @param seen objects visited before: a result may refer to itself */
function visitTensors(value: unknown, visit: (tensor: Tensor) => void, seen = new Set<object>()): void {
  if (value === null || typeof value !== 'object' || seen.has(value)) return;
  seen.add(value);
  if (isTensor(value)) visit(value);
  else if (Array.isArray(value)) for (const item of value) visitTensors(item, visit, seen);
  else if (Object.getPrototypeOf(value) === Object.prototype) {
    for (const item of Object.values(value)) visitTensors(item, visit, seen);
  }
}
