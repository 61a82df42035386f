import { writeFileWhole } from '../checkpoint/file-sink.js';
import { UserError } from '../errors.js';
import { ProtobufMessage } from '../protobuf.js';

/** Version of ONNX's operator set that the graphs are written in: the first with LayerNormalization. */
export const opsetVersion = 17;
/** Version of the file format that came with it. */
const irVersion = 8;
/** Protobuf's own limit on a message. */
const maxModelBytes = 2 ** 31 - 1;

/** TensorProto.DataType */
const elementTypes = { f32: 1, i64: 7 } as const;
/** AttributeProto.AttributeType */
const attributeTypes = { float: 1, int: 2, ints: 7 } as const;

/** An attribute of a node: whole numbers are ints, `{ float }` a float. */
export type OnnxAttribute = number | readonly number[] | { readonly float: number };

/** A dimension: its size, or the name of one that is free. */
export type OnnxDimension = number | string;

function valueInfo(name: string, shape: readonly OnnxDimension[]): ProtobufMessage {
  const dimensions = new ProtobufMessage();
  for (const size of shape) {
    const dimension = new ProtobufMessage();
    if (typeof size === 'number') dimension.varint(1, size);
    else dimension.string(2, size);
    dimensions.message(1, dimension);
  }
  const tensor = new ProtobufMessage().varint(1, elementTypes.f32).message(2, dimensions);
  return new ProtobufMessage().string(1, name).message(2, new ProtobufMessage().message(1, tensor));
}

function attribute(name: string, value: OnnxAttribute): ProtobufMessage {
  const message = new ProtobufMessage().string(1, name);
  if (typeof value === 'number') return message.int64(3, value).varint(20, attributeTypes.int);
  if ('float' in value) return message.float(2, value.float).varint(20, attributeTypes.float);
  for (const item of value) message.int64(8, item);
  return message.varint(20, attributeTypes.ints);
}

/** A computation under construction: values are known by name, each made by one node. */
export class OnnxGraph {
  readonly #nodes: ProtobufMessage[] = [];
  readonly #initializers: ProtobufMessage[] = [];
  readonly #inputs: ProtobufMessage[] = [];
  readonly #outputs: ProtobufMessage[] = [];
  #made = 0;

  /** A float32 input. @returns its name */
  input(name: string, shape: readonly OnnxDimension[]): string {
    this.#inputs.push(valueInfo(name, shape));
    return name;
  }

  /** Gives `value` the name of a float32 output. */
  output(name: string, value: string, shape: readonly OnnxDimension[]): void {
    this.#node('Identity', [value], name, {});
    this.#outputs.push(valueInfo(name, shape));
  }

  /** A float32 constant. @returns its name */
  weight(name: string, shape: readonly number[], data: Float32Array): string {
    return this.#initializer(
      name,
      'f32',
      shape,
      new Uint8Array(data.buffer, data.byteOffset, data.byteLength),
    );
  }

  /** An int64 constant, such as a shape; a number alone is a scalar. @returns its name */
  integers(value: number | readonly number[]): string {
    const list = typeof value === 'number' ? [value] : value;
    const data = new Uint8Array(BigInt64Array.from(list, BigInt).buffer);
    return this.#initializer(
      this.#fresh('integers'),
      'i64',
      typeof value === 'number' ? [] : [list.length],
      data,
    );
  }

  /** A float32 scalar. @returns its name */
  scalar(value: number): string {
    return this.weight(this.#fresh('scalar'), [], Float32Array.of(value));
  }

  /** Adds a node of one output. @returns the output's name */
  node(
    operator: string,
    inputs: readonly string[],
    attributes: Readonly<Record<string, OnnxAttribute>> = {},
  ): string {
    const output = this.#fresh(operator);
    this.#node(operator, inputs, output, attributes);
    return output;
  }

  /**
   * The whole model.
   * @param metadata strings that go along
   * @throws UserError past 2 GiB, which the format cannot hold in one file
   */
  model(name: string, metadata: Readonly<Record<string, string>>): ProtobufMessage {
    const graph = new ProtobufMessage();
    for (const node of this.#nodes) graph.message(1, node);
    graph.string(2, name);
    for (const initializer of this.#initializers) graph.message(5, initializer);
    for (const input of this.#inputs) graph.message(11, input);
    for (const output of this.#outputs) graph.message(12, output);
    const opset = new ProtobufMessage().string(1, '').varint(2, opsetVersion);
    const model = new ProtobufMessage()
      .varint(1, irVersion)
      .string(2, 'cae-native')
      .message(7, graph)
      .message(8, opset);
    for (const [key, value] of Object.entries(metadata)) {
      model.message(14, new ProtobufMessage().string(1, key).string(2, value));
    }
    if (model.byteLength > maxModelBytes) {
      throw new UserError(
        `the model takes ${model.byteLength} bytes, and an ONNX file holds at most ${maxModelBytes}; export a smaller model`,
      );
    }
    return model;
  }

  #node(
    operator: string,
    inputs: readonly string[],
    output: string,
    attributes: Readonly<Record<string, OnnxAttribute>>,
  ): void {
    const node = new ProtobufMessage();
    for (const input of inputs) node.string(1, input);
    node.string(2, output).string(3, `make ${output}`).string(4, operator);
    for (const [name, value] of Object.entries(attributes)) node.message(5, attribute(name, value));
    this.#nodes.push(node);
  }

  #initializer(
    name: string,
    type: keyof typeof elementTypes,
    shape: readonly number[],
    data: Uint8Array,
  ): string {
    const tensor = new ProtobufMessage();
    for (const size of shape) tensor.varint(1, size);
    this.#initializers.push(tensor.varint(2, elementTypes[type]).string(8, name).bytes(9, data));
    return name;
  }

  #fresh(kind: string): string {
    this.#made += 1;
    return `${kind}_${this.#made}`;
  }
}

/** Writes a model as a file: as a whole or not at all. @throws UserError where the system refuses */
export async function writeOnnx(path: string, model: ProtobufMessage): Promise<void> {
  await writeFileWhole(path, async (sink) => {
    for (const part of model.parts) await sink.write(part);
  });
}
