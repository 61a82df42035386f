import { native } from '../native/addon.js';
import type { RecordedWork as NativeWork } from '../native/bindings.js';
import { defaultDevice } from '../tensor/device.js';
import type { Parameter } from '../tensor/parameter.js';
import { keep, scope } from '../tensor/scope.js';
import { type Device, Tensor } from '../tensor/tensor.js';

type Named = Readonly<Record<string, Tensor>>;

export interface RecordedWorkOptions {
  /** Off, the body runs each time. */
  readonly enabled: boolean;
  /** Those whose gradients the body writes or takes. */
  readonly parameters: readonly Parameter[];
  /** Where what stands in the way is told, once; standard error by default. */
  readonly say?: (line: string) => void;
  /** default: the default device */
  readonly device?: Device;
}

/** Runs before the recording: by then libraries have made their plans, and gradients and copies have their memory. */
const warmUp = 2;

interface Recording {
  readonly work: NativeWork;
  /** what the recorded kernels read */
  readonly inputs: Named;
  /** what they write */
  readonly outputs: Named;
  readonly withGradient: readonly Parameter[];
}

/**
 * Work on a CUDA device that is the same each time but for what its inputs hold: recorded as a CUDA graph at the third
 * run and replayed from then on by one call. All that changes from step to step (learning rate, loss scale, random
 * draws) is therefore read from device memory. Inputs of other shapes run as they come.
 */
export class RecordedWork<I extends Named, O extends Named> {
  readonly #body: (inputs: I) => O;
  readonly #options: RecordedWorkOptions;
  readonly #device: Device;
  #enabled: boolean;
  #runs = 0;
  #shapes = '';
  #recording: Recording | null = null;

  /**
   * @param body queues kernels, and nothing but kernels: no copies from or to the host. It keeps no tensor that it
   *   makes but those it returns.
   */
  constructor(body: (inputs: I) => O, options: RecordedWorkOptions) {
    this.#body = body;
    this.#options = options;
    this.#device = options.device ?? defaultDevice();
    this.#enabled = options.enabled && this.#device !== 'cpu';
  }

  /** Whether runs are replayed. */
  get recorded(): boolean {
    return this.#recording !== null;
  }

  /** @returns tensors of the caller's */
  run(inputs: I): O {
    if (!this.#enabled) return this.#body(inputs);
    const shapes = JSON.stringify(
      Object.entries(inputs).map(([name, { shape, dtype }]) => [name, shape, dtype]),
    );
    if (this.#recording !== null && shapes === this.#shapes) return this.#replay(this.#recording, inputs);
    if (this.#recording !== null) return this.#body(inputs);
    this.#runs = shapes === this.#shapes ? this.#runs + 1 : 1;
    this.#shapes = shapes;
    if (this.#runs <= warmUp) return this.#body(inputs);
    this.#recording = this.#record(inputs);
    return this.#recording === null ? this.#body(inputs) : this.#replay(this.#recording, inputs);
  }

  dispose(): void {
    if (this.#recording === null) return;
    const { work, inputs, outputs } = this.#recording;
    for (const tensor of [...Object.values(inputs), ...Object.values(outputs)]) tensor.release();
    native.releaseRecorded(work);
    this.#recording = null;
  }

  #replay({ work, inputs: own, outputs, withGradient }: Recording, inputs: I): O {
    for (const [name, tensor] of Object.entries(inputs)) native.copyInto(tensor.handle, own[name]!.handle);
    native.runRecorded(work);
    for (const parameter of this.#options.parameters) parameter.hasGrad = withGradient.includes(parameter);
    return copies(outputs) as O;
  }

  /** @returns null where the body does what cannot be recorded: it is not tried again */
  #record(inputs: I): Recording | null {
    const { parameters, say = (line) => void process.stderr.write(`${line}\n`) } = this.#options;
    const before = parameters.filter(({ hasGrad }) => hasGrad);
    const own = Object.fromEntries(
      Object.entries(copies(inputs)).map(([name, tensor]) => [name, keep(tensor)]),
    );
    // Recorded work has memory of its own: what the runs so far needed is given back first.
    native.trimMemory(this.#device);
    native.startRecording(this.#device);
    try {
      const outputs = this.#body(own as unknown as I);
      for (const tensor of Object.values(outputs)) keep(tensor);
      const work = native.finishRecording(this.#device);
      return { work, inputs: own, outputs, withGradient: parameters.filter(({ hasGrad }) => hasGrad) };
    } catch (error) {
      native.abandonRecording(this.#device);
      for (const tensor of Object.values(own)) tensor.release();
      for (const parameter of parameters) parameter.hasGrad = before.includes(parameter);
      this.#enabled = false;
      say(`steps run without a CUDA graph: ${(error as Error).message}`);
      return null;
    }
  }
}

function copies(tensors: Named): Record<string, Tensor> {
  return scope(() =>
    Object.fromEntries(
      Object.entries(tensors).map(([name, { handle, dtype }]) => [
        name,
        new Tensor(native.cast(handle, dtype)),
      ]),
    ),
  );
}
