import type { ByteSource } from '../../graph/byteSource';
import { ParticlizeError } from '../../graph/errors';
import type { Attribute } from '../../graph/modelGraph';
import { elementCount } from '../../graph/tensor';
import { messageOf, messagesOf, numberOf, numbersOf, recordsOf, textOf, textsOf, type ProtoMessage } from '../containers/protobuf';
import { attributeTypes } from './onnxSchema';
import { tensorOfProto } from './onnxTensors';

/** The largest nested graph, and the largest tensor attribute, that is held in memory. */
const maxBytes = 1 << 28;

/**
 * An AttributeProto as the graph holds it. Tensors are read, since attributes are in memory; nested graphs stay bytes,
 * with the names of the outer values that they read.
 */
export async function attributeOf(source: ByteSource, message: ProtoMessage, place: string): Promise<Attribute> {
  const bytes = (start: number, end: number): Promise<Uint8Array> => {
    if (end - start > maxBytes) {
      throw new ParticlizeError({ file: source.name, place, cause: `an attribute of ${end - start} bytes is more than Particlize reads` });
    }
    return source.read(start, end - start);
  };
  const raw = async (): Promise<Attribute> => ({ type: 'raw', value: await bytes(message.start, message.end) });
  if (textOf(message, 'ref_attr_name')) return raw();
  switch (numberOf(message, 'type') || guessedType(message)) {
    case attributeTypes.float: return { type: 'float', value: numberOf(message, 'f') ?? 0 };
    case attributeTypes.int: return { type: 'int', value: numberOf(message, 'i') ?? 0 };
    case attributeTypes.floats: return { type: 'floats', value: numbersOf(message, 'floats') };
    case attributeTypes.ints: return { type: 'ints', value: numbersOf(message, 'ints') };
    case attributeTypes.string: {
      const value = utf8(recordsOf(message, 's').at(-1)?.value as Uint8Array | undefined);
      return value === undefined ? raw() : { type: 'string', value };
    }
    case attributeTypes.strings: {
      const values = recordsOf(message, 'strings').map((record) => utf8(record.value as Uint8Array));
      return values.includes(undefined) ? raw() : { type: 'strings', value: values as string[] };
    }
    case attributeTypes.tensor: {
      const tensor = messageOf(message, 't');
      if (!tensor || (tensor.end - tensor.start) > maxBytes) return raw();
      const { tensor: lazy, external } = tensorOfProto(source, tensor, `${place}.${textOf(message, 'name')}`, new Map());
      if (external || lazy.dtype === 'string' || elementCount(lazy.shape) === 0) return raw();
      return { type: 'tensor', value: await lazy.read() };
    }
    case attributeTypes.graph: {
      const graph = messageOf(message, 'g');
      if (!graph) return raw();
      return { type: 'graph', value: await bytes(graph.start, graph.end), captures: [...capturesOf(graph)] };
    }
    default: return raw();
  }
}

/** Outer values that a nested graph reads, through deeper graphs too. */
export function capturesOf(graph: ProtoMessage): Set<string> {
  const inner = new Set<string>();
  for (const list of ['input', 'initializer'] as const) for (const item of messagesOf(graph, list)) inner.add(textOf(item, 'name'));
  for (const sparse of messagesOf(graph, 'sparse_initializer')) {
    const values = messageOf(sparse, 'values');
    if (values) inner.add(textOf(values, 'name'));
  }
  const nodes = messagesOf(graph, 'node');
  for (const node of nodes) for (const output of textsOf(node, 'output')) inner.add(output);
  const captures = new Set<string>();
  const read = (name: string): void => {
    if (name && !inner.has(name)) captures.add(name);
  };
  for (const node of nodes) {
    textsOf(node, 'input').forEach(read);
    for (const attribute of messagesOf(node, 'attribute')) {
      for (const nested of nestedGraphs(attribute)) capturesOf(nested).forEach(read);
    }
  }
  for (const output of messagesOf(graph, 'output')) read(textOf(output, 'name'));
  return captures;
}

function nestedGraphs(attribute: ProtoMessage): readonly ProtoMessage[] {
  const one = messageOf(attribute, 'g');
  return one ? [one, ...messagesOf(attribute, 'graphs')] : messagesOf(attribute, 'graphs');
}

/** Files of the first ONNX versions leave the type out. */
function guessedType(message: ProtoMessage): number {
  const found = ([
    ['f', 'float'], ['i', 'int'], ['s', 'string'], ['t', 'tensor'], ['g', 'graph'],
    ['floats', 'floats'], ['ints', 'ints'], ['strings', 'strings'],
  ] as const).find(([field]) => recordsOf(message, field).length > 0);
  return found ? attributeTypes[found[1]] : 0;
}

const strict = new TextDecoder('utf-8', { fatal: true });

function utf8(bytes: Uint8Array | undefined): string | undefined {
  try {
    return strict.decode(bytes ?? new Uint8Array(0));
  } catch {
    return undefined;
  }
}
