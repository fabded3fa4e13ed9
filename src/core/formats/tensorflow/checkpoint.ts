import type { ByteSource, FileSet } from '../../graph/byteSource';
import { ParticlizeError, type Finding } from '../../graph/errors';
import { bytesPerElement, elementCount, type Tensor } from '../../graph/tensor';
import { messageOf, messagesOf, numberOf, readProto, recordsOf, textOf, type ProtoMessage } from '../containers/protobuf';
import { readBundleIndex, type BundleIndex } from '../containers/tensorBundle';
import { rawTensor, shapeOfProto, tfMessages } from './graphDefProto';
import type { InlinedGraph } from './inlineFunctions';
import { splitRef, tfTypes, type TfNode } from './tfGraph';

export interface Checkpoint {
  variable(node: TfNode): Tensor;
}

const folder = 'variables/variables';

/**
 * The variables of a SavedModel: variables/variables.index says where in variables/variables.data-* they lie. TensorFlow
 * 1 finds them by their names, TensorFlow 2 by their place among the model's objects, for which the checkpoint keeps a table.
 */
export async function openCheckpoint(files: FileSet, graph: InlinedGraph, findings: Finding[]): Promise<Checkpoint> {
  const wanted = [...graph.nodes.values()].some((node) => ['VarHandleOp', 'VariableV2', 'Variable'].includes(node.op));
  if (!wanted) return { variable: (node) => { throw missing(files, node.name); } };
  const index = await openIndex(files);
  const header = await messageIn(files, index.get('') ?? new Uint8Array(0), 'BundleHeader');
  if (numberOf(header, 'endianness')) throw new ParticlizeError({ file: files.main.name, place: `${folder}.index`, cause: 'its weights are big-endian, which Particlize does not read' });
  const shards = await openShards(files, numberOf(header, 'num_shards') ?? 1);
  const entries = new Map<string, Tensor>();
  let objects: ProtoMessage | undefined;
  for (const [key, bytes] of index) {
    if (key === '') continue;
    const entry = await messageIn(files, bytes, 'BundleEntry');
    if (key === '_CHECKPOINTABLE_OBJECT_GRAPH') objects = await objectGraph(files, shards, entry);
    const tensor = tensorOf(files, shards, entry, key);
    if (tensor) entries.set(key, tensor);
  }
  const restored = restoredKeys(graph);
  const keys = objects ? keysOf(objects) : new Map<string, string>();
  return {
    variable(node) {
      const name = node.attributes.get('shared_name')?.text || node.name;
      const tensor = entries.get(restored.get(node.name) ?? '') ?? entries.get(name) ?? entries.get(keys.get(name) ?? '') ?? entries.get(keys.get(node.name) ?? '') ?? entries.get(node.name);
      if (!tensor) throw missing(files, name);
      const declared = node.attributes.get('shape')?.shape;
      if (declared && (declared.length !== tensor.shape.length || declared.some((size, axis) => size !== null && size !== tensor.shape[axis]))) {
        findings.push({ severity: 'warning', place: name, message: `the graph says that it is [${declared.join(', ')}], the checkpoint has [${tensor.shape.join(', ')}]` });
      }
      return tensor;
    },
  };
}

async function openIndex(files: FileSet): Promise<BundleIndex> {
  let source: ByteSource;
  try {
    source = await files.sibling(`${folder}.index`);
  } catch (error) {
    throw new ParticlizeError({
      file: files.main.name, place: `${folder}.index`, cause: 'the weights of the model are missing', action: `Put the folder 'variables' beside ${files.main.name}`,
    }, { cause: error });
  }
  return readBundleIndex(source);
}

async function openShards(files: FileSet, count: number): Promise<readonly ByteSource[]> {
  if (!(count >= 1 && count <= 100_000)) throw new ParticlizeError({ file: files.main.name, place: `${folder}.index`, cause: `it has ${count} files of weights` });
  const five = (number: number): string => String(number).padStart(5, '0');
  const shards: ByteSource[] = [];
  for (let index = 0; index < count; index++) {
    const name = `${folder}.data-${five(index)}-of-${five(count)}`;
    try {
      shards.push(await files.sibling(name));
    } catch (error) {
      throw new ParticlizeError({ file: files.main.name, place: name, cause: 'this file of weights is missing', action: 'Copy the whole folder of the model' }, { cause: error });
    }
  }
  return shards;
}

function tensorOf(files: FileSet, shards: readonly ByteSource[], entry: ProtoMessage, key: string): Tensor | undefined {
  const dtype = tfTypes[numberOf(entry, 'dtype') ?? 0];
  if (!dtype || dtype === 'resource' || dtype === 'other' || dtype === 'string' || recordsOf(entry, 'slices').length) return undefined;
  const shape = shapeOfProto(messageOf(entry, 'shape')) ?? [];
  const fail = (cause: string): never => {
    throw new ParticlizeError({ file: files.main.name, place: `variable ${key}`, cause, action: 'The checkpoint may be damaged' });
  };
  if (!shape.every((size): size is number => size !== null) || !Number.isSafeInteger(elementCount(shape))) return fail(`its shape [${shape.join(', ')}] is impossible`);
  const source = shards[numberOf(entry, 'shard_id') ?? 0] ?? fail('it lies in a file that is not there');
  const offset = numberOf(entry, 'offset') ?? 0;
  const size = numberOf(entry, 'size') ?? 0;
  if (size !== elementCount(shape) * bytesPerElement[dtype]) return fail(`its ${size} bytes do not make ${dtype} of shape [${shape.join(', ')}]`);
  if (!(offset >= 0 && offset + size <= source.sizeBytes)) return fail(`its ${size} bytes at byte ${offset} leave '${source.name}', which ends at byte ${source.sizeBytes}`);
  return rawTensor(source, offset, { name: key, dtype, shape });
}

/** A text tensor of one element: its length as a varint, a checksum of 4 bytes, the text. */
async function objectGraph(files: FileSet, shards: readonly ByteSource[], entry: ProtoMessage): Promise<ProtoMessage | undefined> {
  const source = shards[numberOf(entry, 'shard_id') ?? 0];
  const offset = numberOf(entry, 'offset') ?? 0;
  const size = numberOf(entry, 'size') ?? 0;
  if (!source || offset < 0 || size < 5 || size > 64 * 2 ** 20 || offset + size > source.sizeBytes) return undefined;
  const bytes = await source.read(offset, size);
  const start = bytes.findIndex((byte) => byte < 128) + 1 + 4;
  return messageIn(files, bytes.subarray(start), 'ObjectGraph');
}

/**
 * Variables (by their nodes) to keys of the checkpoint, from the part of the graph that restores them. Only it tells
 * variables apart that have one name: every RestoreV2 lists keys, and assignments take its outputs.
 */
function restoredKeys(graph: InlinedGraph): Map<string, string> {
  const keys = new Map<string, string>();
  for (const node of graph.nodes.values()) {
    if (node.op !== 'AssignVariableOp' || node.inputs.length < 2) continue;
    const [handle, value] = node.inputs.map((input) => graph.resolve(input)) as [string, string];
    let source = value;
    for (let passed = graph.nodes.get(source); passed?.op === 'Identity' && passed.inputs[0]; passed = graph.nodes.get(source)) {
      source = graph.resolve(passed.inputs[0]);
    }
    const [restore, output] = splitRef(source);
    const names = graph.nodes.get(restore)?.op === 'RestoreV2' ? graph.nodes.get(graph.resolve(graph.nodes.get(restore)!.inputs[1] ?? '')) : undefined;
    const key = names?.attributes.get('value')?.texts?.[output];
    if (key !== undefined) keys.set(handle, key);
  }
  return keys;
}

/** Full names of variables to keys of the checkpoint. */
function keysOf(objects: ProtoMessage): Map<string, string> {
  const keys = new Map<string, string>();
  for (const node of messagesOf(objects, 'nodes')) {
    for (const attribute of messagesOf(node, 'attributes')) {
      const name = textOf(attribute, 'full_name');
      if (name && !keys.has(name)) keys.set(name, textOf(attribute, 'checkpoint_key'));
    }
  }
  return keys;
}

function messageIn(files: FileSet, bytes: Uint8Array, type: 'BundleHeader' | 'BundleEntry' | 'ObjectGraph'): Promise<ProtoMessage> {
  const source: ByteSource = {
    name: `${files.main.name}: ${folder}.index`, sizeBytes: bytes.length,
    read: (offset, length) => Promise.resolve(bytes.subarray(offset, offset + length)),
  };
  return readProto(source, tfMessages[type]);
}

function missing(files: FileSet, name: string): ParticlizeError {
  return new ParticlizeError({ file: files.main.name, place: `variable ${name}`, cause: 'its value is not in the checkpoint', action: 'Save the model again' });
}
