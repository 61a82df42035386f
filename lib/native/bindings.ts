/** A tensor of the native core: opaque here. Its memory lives until `release`. */
export interface Handle {
  readonly nativeTensor: unique symbol;
}
/** Work of a device, recorded to be queued again: opaque here. Its memory lives until `releaseRecorded`. */
export interface RecordedWork {
  readonly nativeRecordedWork: unique symbol;
}
export type Optional<T> = T | null;
export type Dtype = 'f32' | 'bf16' | 'f16' | 'f64' | 'i32' | 'u8';
export type Device = string;

export interface MemoryStatistics {
  allocated: number;
  peakAllocated: number;
  reserved: number;
  peakReserved: number;
  liveBlocks: number;
  allocations: number;
  liveTensors: number;
}

export interface StreamStatistics {
  tasks: number;
  busySeconds: number;
  idleSeconds: number;
  /** times the host stood still for the device, or asked the system for memory: none in a steady step */
  waits: number;
  /** copies to the device that were made beside its other work */
  copies: number;
}

/** What one op's work took since the start of the process, on the CPU. */
export interface OpStatistics {
  calls: number;
  busySeconds: number;
}

export interface CudaDevice {
  name: string;
  /** Compute capability, as in `9.0`. */
  capability: string;
  /** In bytes. */
  memory: number;
}

export interface BuildInfo {
  oneDnn: string;
  cpuArch: string;
  /** `CUDA 13.0`, `emulated`, or null in a build without a CUDA backend. */
  cuda: string | null;
  avx2: boolean;
  avx512: boolean;
  avx512Bf16: boolean;
  /** Whether f32 products take a third fewer multiplications (native/cpu/paired_kernel.h). */
  pairedProducts: boolean;
  threads: number;
}

/**
 * The typed face of native/binding. Each function is documented where it is declared, in native/ops. Every op checks
 * its arguments at once, throws an Error naming the op, and queues its work.
 */
export interface NativeAddon {
  // tensors
  empty(shape: readonly number[], dtype: Dtype, device: Device): Handle;
  fromBytes(bytes: ArrayBufferView, shape: readonly number[], dtype: Dtype, device: Device): Handle;
  read(tensors: Handle[]): Promise<ArrayBuffer[]>;
  readSync(tensor: Handle): ArrayBuffer;
  write(tensor: Handle, bytes: ArrayBufferView): void;
  writeBeside(device: Device, tensors: Handle[], bytes: ArrayBufferView[]): void;
  release(tensor: Handle): void;
  reshape(tensor: Handle, shape: readonly number[]): Handle;
  rows(tensor: Handle, start: number, count: number): Handle;
  shapeOf(tensor: Handle): number[];
  dtypeOf(tensor: Handle): Dtype;
  deviceOf(tensor: Handle): Device;
  // runtime
  // of a device, the CPU where none is named
  synchronize(device?: Device): void;
  // For the end of the process: returns after the CPU's op under way; what is queued, or will be, does not run.
  abandonWork(): void;
  trimMemory(device?: Device): void;
  resetPeakMemory(device?: Device): void;
  setThreads(threads: number): void;
  memoryStatistics(device?: Device): MemoryStatistics;
  streamStatistics(device?: Device): StreamStatistics;
  opStatistics(): Record<string, OpStatistics>;
  // recorded work: on a cuda device
  startRecording(device: Device): void;
  finishRecording(device: Device): RecordedWork;
  abandonRecording(device: Device): void;
  runRecorded(work: RecordedWork): void;
  releaseRecorded(work: RecordedWork): void;
  /** The CUDA version that the driver supports, as 1000·major + 10·minor; 0 without a driver, or without CUDA. */
  cudaDriver(): number;
  /** Throws with the reason and the remedy where there is none. */
  cudaDevices(): CudaDevice[];
  /** Lets f32 products on CUDA round their inputs to TF32; off at the start. */
  setTf32(allowed: boolean): void;
  /** Asks CUDA for the same bits from run to run, where that takes time or memory; off at the start. The CPU's always are. */
  setDeterministic(wanted: boolean): void;
  buildInfo(): BuildInfo;
  // linear
  linear(x: Handle, weight: Handle, bias: Optional<Handle>): Handle;
  linearBackwardInput(dy: Handle, weight: Handle): Handle;
  linearBackwardWeight(
    dy: Handle,
    x: Handle,
    dweight: Handle,
    dbias: Optional<Handle>,
    accumulate: boolean,
    accumulateBias: boolean,
  ): void;
  // norm
  layerNorm(x: Handle, weight: Handle, bias: Handle, eps: number, dtype: Dtype): [Handle, Handle, Handle];
  layerNormBackward(
    dy: Handle,
    x: Handle,
    weight: Handle,
    bias: Handle,
    mean: Handle,
    rstd: Handle,
    dweight: Optional<Handle>,
    dbias: Optional<Handle>,
    accumulate: boolean,
    y: Optional<Handle>,
  ): Handle;
  // attention
  selfAttention(qkv: Handle, heads: number, scale: number): [Handle, Handle];
  selfAttentionBackward(
    dout: Handle,
    qkv: Handle,
    out: Handle,
    logSum: Handle,
    heads: number,
    scale: number,
  ): Handle;
  biasedSelfAttention(qkv: Handle, bias: Handle, heads: number, scale: number): [Handle, Handle];
  biasedSelfAttentionBackward(
    dout: Handle,
    qkv: Handle,
    bias: Handle,
    out: Handle,
    logSum: Handle,
    heads: number,
    scale: number,
  ): [Handle, Handle];
  crossAttention(q: Handle, k: Handle, v: Handle, heads: number, scale: number): [Handle, Handle];
  crossAttentionBackward(
    dout: Handle,
    q: Handle,
    k: Handle,
    v: Handle,
    out: Handle,
    logSum: Handle,
    heads: number,
    scale: number,
  ): [Handle, Handle, Handle];
  // augment
  eraseBoxes(
    images: Handle,
    boxes: Handle,
    ids: Handle,
    fill: number,
    seed: number,
    stream: number,
    step: number,
  ): void;
  mixImages(x: Handle, partner: Handle, weight: Handle, boxes: Handle): Handle;
  // position bias
  positionBias(table: Handle, index: Handle): Handle;
  positionBiasBackward(dy: Handle, index: Handle, dtable: Handle, accumulate: boolean): void;
  // batch norm
  batchNorm(
    x: Handle,
    runningMean: Handle,
    runningVariance: Handle,
    batches: Handle,
    momentum: number,
    eps: number,
    training: boolean,
  ): [Handle, Handle, Handle];
  batchNormBackward(dy: Handle, x: Handle, mean: Handle, rstd: Handle, training: boolean): Handle;
  // pointwise
  gelu(x: Handle, bias: Optional<Handle>): Handle;
  geluBackward(
    dy: Handle,
    x: Handle,
    bias: Optional<Handle>,
    dbias: Optional<Handle>,
    accumulate: boolean,
    y: Optional<Handle>,
  ): Handle;
  cast(x: Handle, dtype: Dtype): Handle;
  copyInto(x: Handle, y: Handle): void;
  add(a: Handle, b: Handle, alpha: number, beta: number): Handle;
  addInto(a: Handle, b: Handle, alpha: number, beta: number): void;
  scaleBy(x: Handle, factor: Handle): Handle;
  sum(x: Handle, factor: number): Handle;
  fill(y: Handle, value: number): void;
  uniform(y: Handle, low: number, high: number, seed: number, stream: number): void;
  truncatedNormal(y: Handle, deviation: number, cut: number, seed: number, stream: number): void;
  // residual
  residual(x: Handle, branch: Handle, gamma: Optional<Handle>, keep: Optional<Handle>): Handle;
  residualBackward(
    dy: Handle,
    branch: Optional<Handle>,
    gamma: Optional<Handle>,
    keep: Optional<Handle>,
    dtype: Dtype,
    dgamma: Optional<Handle>,
    accumulate: boolean,
  ): Handle;
  dropPath(batch: number, dtype: Dtype, rate: number, seed: number, stream: number, step: Handle): Handle;
  // residual norm
  residualNorm(
    x: Handle,
    branch: Handle,
    gamma: Optional<Handle>,
    keep: Optional<Handle>,
    weight: Handle,
    bias: Handle,
    eps: number,
    dtype: Dtype,
  ): [stream: Handle, y: Handle, mean: Handle, rstd: Handle];
  residualNormBackward(
    dy: Handle,
    dstream: Optional<Handle>,
    stream: Handle,
    branch: Optional<Handle>,
    gamma: Optional<Handle>,
    keep: Optional<Handle>,
    weight: Handle,
    bias: Handle,
    mean: Handle,
    rstd: Handle,
    dtype: Dtype,
    dgamma: Optional<Handle>,
    dweight: Optional<Handle>,
    dbias: Optional<Handle>,
    accumulate: boolean,
    y: Optional<Handle>,
  ): [dx: Handle, dbranch: Handle];
  // tokens
  normalizeImages(
    pixels: Handle,
    mean: Handle,
    deviation: Handle,
    channelsLast: boolean,
    dtype: Dtype,
  ): Handle;
  unfoldPatches(images: Handle, patch: number, ids: Handle, dtype: Dtype): Handle;
  embedTokens(x: Handle, first: Optional<Handle>, positions: Handle, ids: Handle): Handle;
  embedTokensBackward(
    dy: Handle,
    hasFirst: boolean,
    dtype: Dtype,
    dfirst: Optional<Handle>,
    accumulate: boolean,
  ): Handle;
  gatherRows(table: Handle, ids: Handle, offset: number): Handle;
  repeatToken(token: Handle, batch: number, count: number, dtype: Dtype): Handle;
  repeatTokenBackward(dy: Handle, dtoken: Handle, accumulate: boolean): void;
  concatTokens(a: Handle, b: Handle): Handle;
  meanTokens(x: Handle, start: number): Handle;
  meanTokensBackward(dy: Handle, start: number, total: number): Handle;
  sliceTokens(x: Handle, start: number, count: number): Handle;
  sliceTokensBackward(dy: Handle, start: number, total: number): Handle;
  // loss
  crossEntropy(logits: Handle, labels: Handle, inPlace: boolean, factor: number): [Handle, Handle, Handle];
  mse(x: Handle, target: Handle): Handle;
  mseBackward(dloss: Handle, x: Handle, target: Handle): Handle;
  smoothL1(x: Handle, target: Handle): [Handle, Handle];
  klToUniform(logits: Handle, factor: number): [Handle, Handle];
  // class loss
  softCrossEntropy(logits: Handle, targets: Handle): [Handle, Handle];
  smoothCrossEntropy(logits: Handle, labels: Handle, smoothing: number): [Handle, Handle];
  labelRanks(logits: Handle, labels: Handle): Handle;
  // conv
  conv2d(
    x: Handle,
    weight: Handle,
    bias: Optional<Handle>,
    stride: number,
    padding: number,
    relu: boolean,
  ): Handle;
  prepareConvWeight(weight: Handle): Handle;
  conv2dPrepared(
    x: Handle,
    weight: Handle,
    bias: Optional<Handle>,
    stride: number,
    padding: number,
    relu: boolean,
  ): Handle;
  conv2dBackwardInput(
    dy: Handle,
    weight: Handle,
    height: number,
    width: number,
    stride: number,
    padding: number,
  ): Handle;
  conv2dBackwardWeight(
    dy: Handle,
    x: Handle,
    dweight: Handle,
    dbias: Optional<Handle>,
    stride: number,
    padding: number,
    accumulate: boolean,
  ): void;
  convTranspose2d(x: Handle, weight: Handle, bias: Optional<Handle>, stride: number, padding: number): Handle;
  // vision
  relu(x: Handle): Handle;
  reluBackward(dy: Handle, y: Handle): Handle;
  sigmoid(x: Handle): Handle;
  sigmoidBackward(dy: Handle, y: Handle): Handle;
  maxPool2(x: Handle): Handle;
  maxPool2Backward(dy: Handle, x: Handle): Handle;
  upsample2(x: Handle): Handle;
  upsample2Backward(dy: Handle): Handle;
  argmax(x: Handle): Handle;
  gumbelSoftmax(
    logits: Handle,
    noise: Optional<Handle>,
    temperature: number,
    seed: number,
    stream: number,
    step: number,
  ): Handle;
  gumbelSoftmaxBackward(dy: Handle, y: Handle, temperature: number): Handle;
  // optimizer
  globalNorm(gradients: Handle[]): Handle;
  adamwFactors(
    norm: Handle,
    updates: Handle,
    lossScale: Optional<Handle>,
    beta1: number,
    beta2: number,
    clip: number,
    gradientScale: number,
  ): Handle;
  adamw(
    parameters: Handle[],
    gradients: Handle[],
    first: Handle[],
    second: Handle[],
    copies: Handle[],
    scales: number[],
    decayed: boolean[],
    rates: Handle,
    factors: Handle,
    beta1: number,
    beta2: number,
    eps: number,
  ): void;
  // loss scale
  lossScale(scale: number, goodSteps: number, skipped: number, device: Device): Handle;
  updateLossScale(state: Handle, norm: Handle, growth: number, backoff: number, interval: number): void;
  // momentum
  sgd(
    parameters: Handle[],
    gradients: Handle[],
    buffers: Handle[],
    copies: Handle[],
    scales: number[],
    decayed: boolean[],
    rates: Handle,
    norm: Handle,
    momentum: number,
    nesterov: boolean,
    clip: number,
    gradientScale: number,
  ): void;
  lars(
    parameters: Handle[],
    gradients: Handle[],
    buffers: Handle[],
    copies: Handle[],
    scales: number[],
    decayed: boolean[],
    scaled: boolean[],
    rates: Handle,
    norm: Handle,
    momentum: number,
    trust: number,
    clip: number,
    gradientScale: number,
  ): void;
  movingAverage(averages: Handle[], values: Handle[], decay: number): void;
}
