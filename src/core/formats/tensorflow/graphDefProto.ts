import type { ByteSource } from '../../graph/byteSource';
import { ParticlizeError } from '../../graph/errors';
import type { Shape } from '../../graph/modelGraph';
import { allocate } from '../../graph/numeric';
import { bytesPerElement, elementCount, type DType, type NdArray, type Tensor } from '../../graph/tensor';
import {
  messageOf, messagesOf, numberOf, numbersOf, protoTypes, recordsOf, textOf, textsOf, type ProtoMessage,
} from '../containers/protobuf';
import { tfTypes, type TfAttribute, type TfFunction, type TfGraph, type TfNode } from './tfGraph';

/** The messages of TensorFlow that Particlize reads (tensorflow/core/framework and protobuf); contents of tensors stay where they are. */
export const tfMessages = protoTypes({
  GraphDef: { node: '1 NodeDef*', library: '2 FunctionDefLibrary' },
  NodeDef: { name: '1 string', op: '2 string', input: '3 string*', attr: '5 AttrEntry*' },
  AttrEntry: { key: '1 string', value: '2 AttrValue' },
  AttrValue: { list: '1 ListValue', s: '2 bytes', i: '3 int64', f: '4 float', b: '5 bool', type: '6 enum', shape: '7 TensorShape', tensor: '8 TensorProto', func: '10 NameAttrList' },
  ListValue: { s: '2 bytes*', i: '3 int64*', f: '4 float*', b: '5 bool*', type: '6 enum*', shape: '7 TensorShape*' },
  NameAttrList: { name: '1 string' },
  TensorShape: { dim: '2 Dim*', unknown_rank: '3 bool' },
  Dim: { size: '1 int64' },
  TensorProto: {
    dtype: '1 enum', tensor_shape: '2 TensorShape', tensor_content: '4 bytes lazy', float_val: '5 float*', double_val: '6 double*', int_val: '7 int32*',
    string_val: '8 bytes*', int64_val: '10 int64*', bool_val: '11 bool*', half_val: '13 int32*', uint32_val: '16 int64*', uint64_val: '17 uint64*',
  },
  FunctionDefLibrary: { function: '1 FunctionDef*' },
  FunctionDef: { signature: '1 OpDef', node_def: '3 NodeDef*', ret: '4 RetEntry*' },
  RetEntry: { key: '1 string', value: '2 string' },
  OpDef: { name: '1 string', input_arg: '2 ArgDef*', output_arg: '3 ArgDef*' },
  ArgDef: { name: '1 string' },
  SavedModel: { saved_model_schema_version: '1 int64', meta_graphs: '2 MetaGraphDef*' },
  MetaGraphDef: { meta_info_def: '1 MetaInfoDef', graph_def: '2 GraphDef', signature_def: '5 SignatureEntry*' },
  MetaInfoDef: { tags: '4 string*', tensorflow_version: '5 string' },
  SignatureEntry: { key: '1 string', value: '2 SignatureDef' },
  SignatureDef: { inputs: '1 TensorInfoEntry*', outputs: '2 TensorInfoEntry*' },
  TensorInfoEntry: { key: '1 string', value: '2 TensorInfo' },
  TensorInfo: { name: '1 string', dtype: '2 enum', tensor_shape: '3 TensorShape' },
  BundleEntry: { dtype: '1 enum', shape: '2 TensorShape', shard_id: '3 int32', offset: '4 int64', size: '5 int64', slices: '7 bytes*' },
  BundleHeader: { num_shards: '1 int32', endianness: '2 enum' },
  ObjectGraph: { nodes: '1 TrackableObject*' },
  TrackableObject: { attributes: '2 SerializedTensor*' },
  SerializedTensor: { name: '1 string', full_name: '2 string', checkpoint_key: '3 string' },
});

export function graphOfProto(source: ByteSource, message: ProtoMessage): TfGraph {
  const library = messageOf(message, 'library');
  const functions = library ? messagesOf(library, 'function').map((one) => functionOf(source, one)) : [];
  return { nodes: messagesOf(message, 'node').map((node) => nodeOf(source, node)), functions: new Map(functions.map((one) => [one.name, one])) };
}

/** undefined: unknown rank. */
export function shapeOfProto(message: ProtoMessage | undefined): Shape | undefined {
  if (!message || numberOf(message, 'unknown_rank')) return undefined;
  return messagesOf(message, 'dim').map((dim) => {
    const size = numberOf(dim, 'size') ?? 0;
    return size >= 0 && Number.isSafeInteger(size) ? size : null;
  });
}

function functionOf(source: ByteSource, message: ProtoMessage): TfFunction {
  const signature = messageOf(message, 'signature');
  const results = new Map(messagesOf(message, 'ret').map((entry) => [textOf(entry, 'key'), textOf(entry, 'value')]));
  const names = (list: string): string[] => signature ? messagesOf(signature, list).map((one) => textOf(one, 'name')) : [];
  return {
    name: signature ? textOf(signature, 'name') : '', arguments: names('input_arg'),
    nodes: messagesOf(message, 'node_def').map((node) => nodeOf(source, node)),
    results: names('output_arg').map((name) => results.get(name) ?? name),
  };
}

function nodeOf(source: ByteSource, message: ProtoMessage): TfNode {
  const name = textOf(message, 'name');
  const op = textOf(message, 'op');
  if (!name || !op) throw new ParticlizeError({ file: source.name, place: `byte ${message.start}`, cause: 'a node has no name or no operator', action: 'The file may be damaged' });
  const attributes = new Map<string, TfAttribute>();
  for (const entry of messagesOf(message, 'attr')) {
    const value = messageOf(entry, 'value');
    if (value) attributes.set(textOf(entry, 'key'), attributeOf(source, value, name));
  }
  return { name, op, inputs: textsOf(message, 'input').filter((input) => !input.startsWith('^')), attributes };
}

function attributeOf(source: ByteSource, value: ProtoMessage, node: string): TfAttribute {
  const text = recordsOf(value, 's').at(-1)?.value;
  if (text instanceof Uint8Array) return { text: utf8.decode(text) };
  for (const [field, key] of [['i', 'int'], ['f', 'float']] as const) {
    const number = numberOf(value, field);
    if (number !== undefined) return { [key]: number };
  }
  const flag = numberOf(value, 'b');
  if (flag !== undefined) return { flag: flag !== 0 };
  const type = numberOf(value, 'type');
  if (type !== undefined) return { dtype: tfTypes[type] ?? 'other' };
  const shape = messageOf(value, 'shape');
  if (shape) return { shape: shapeOfProto(shape) ?? null };
  const tensor = messageOf(value, 'tensor');
  if (tensor && tfTypes[numberOf(tensor, 'dtype') ?? 0] === 'string') {
    return { texts: recordsOf(tensor, 'string_val').map((record) => utf8.decode(record.value as Uint8Array)) };
  }
  if (tensor) return { tensor: tensorOfProto(source, tensor, node) };
  const called = messageOf(value, 'func');
  if (called) return { function: textOf(called, 'name') };
  const list = messageOf(value, 'list');
  if (!list) return {};
  return { ints: numbersOf(list, 'i'), texts: recordsOf(list, 's').map((record) => utf8.decode(record.value as Uint8Array)) };
}

/** A TensorProto, its contents read when asked for; undefined for texts and resources. */
function tensorOfProto(source: ByteSource, message: ProtoMessage, node: string): Tensor | undefined {
  const dtype = tfTypes[numberOf(message, 'dtype') ?? 0];
  const shape = shapeOfProto(messageOf(message, 'tensor_shape')) ?? [];
  if (!dtype || dtype === 'resource' || dtype === 'other' || dtype === 'string') return undefined;
  const fail = (cause: string): never => {
    throw new ParticlizeError({ file: source.name, place: `node ${node}`, cause, action: 'The file may be damaged' });
  };
  if (!shape.every((size): size is number => size !== null) || !Number.isSafeInteger(elementCount(shape))) return fail(`its shape [${shape.join(', ')}] is impossible`);
  const count = elementCount(shape);
  const sizeBytes = count * bytesPerElement[dtype];
  const content = recordsOf(message, 'tensor_content').at(-1);
  const length = content ? content.end - content.bodyStart : 0;
  if (content && length > 0) {
    if (length !== sizeBytes) return fail(`its ${length} bytes do not make ${dtype} of shape [${shape.join(', ')}]`);
    return rawTensor(source, content.bodyStart, { name: node, dtype, shape });
  }
  const lists = ['float_val', 'double_val', 'int_val', 'int64_val', 'bool_val', 'half_val', 'uint32_val', 'uint64_val'];
  const values = lists.map((list) => numbersOf(message, list)).find((list) => list.length > 0) ?? (count > 0 ? [0] : []);
  // One value may stand for all, so that a few bytes can claim any size.
  if (sizeBytes > largestFilled && values.length < count) return fail(`${count} elements are more than it holds`);
  return { name: node, dtype, shape, read: () => Promise.resolve(filled(dtype, shape, values)) };
}

/** Elements that lie in a file as they are, little-endian. */
export function rawTensor(source: ByteSource, offset: number, { name, dtype, shape }: { name: string; dtype: Exclude<DType, 'string'>; shape: readonly number[] }): Tensor {
  const sizeBytes = elementCount(shape) * bytesPerElement[dtype];
  return {
    name, dtype, shape,
    stored: { source, offset, sizeBytes, shape, axes: shape.map((_, axis) => axis) },
    async read() {
      const bytes = (await source.read(offset, sizeBytes)).slice();
      const make = allocate(dtype, 0).constructor as new (buffer: ArrayBufferLike) => NdArray['data'];
      return { dtype, shape, data: new make(bytes.buffer) };
    },
  };
}

function filled(dtype: DType, shape: readonly number[], values: readonly number[]): NdArray {
  const data = allocate(dtype, elementCount(shape));
  const whole = data instanceof BigInt64Array || data instanceof BigUint64Array;
  for (let index = 0; index < data.length; index++) {
    const value = values[Math.min(index, values.length - 1)]!;
    data[index] = (whole ? BigInt(value) : value) as never;
  }
  return { dtype, shape, data };
}

const utf8 = new TextDecoder();
const largestFilled = 256 * 2 ** 20;
