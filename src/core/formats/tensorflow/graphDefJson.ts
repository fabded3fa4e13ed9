import { ParticlizeError } from '../../graph/errors';
import { lookUp } from '../../graph/lookUp';
import type { Shape } from '../../graph/modelGraph';
import { allocate } from '../../graph/numeric';
import { elementCount, tensorOf, type NdArray, type Tensor } from '../../graph/tensor';
import { isObject, type Json, type JsonObject } from '../containers/json';
import { tfTypeNames, tfTypes, type TfAttribute, type TfFunction, type TfGraph, type TfNode, type TfType } from './tfGraph';

/**
 * A GraphDef as TensorFlow.js writes it: JSON of the Protocol Buffers message, in one of several dialects (types as names
 * or numbers, texts as base64 or as lists of bytes). Contents of constants come from `weights`, by the node's name.
 */
export function graphOfJson(topology: JsonObject, weights: ReadonlyMap<string, Tensor>, file: string): TfGraph {
  const reader = new Reader(weights, file);
  const library = isObject(topology.library) && Array.isArray(topology.library.function) ? topology.library.function : [];
  const functions = library.map((item, index) => reader.function(item, `modelTopology.library.function.${index}`));
  return {
    nodes: reader.nodes(topology.node, 'modelTopology.node'),
    functions: new Map(functions.map((one) => [one.name, one])),
  };
}

class Reader {
  constructor(private readonly weights: ReadonlyMap<string, Tensor>, private readonly file: string) {}

  nodes(list: Json | undefined, place: string): TfNode[] {
    if (!Array.isArray(list)) return this.fail(place, 'it is not a list of nodes');
    return list.map((item, index) => this.node(item, `${place}.${index}`));
  }

  function(item: Json, place: string): TfFunction {
    const signature = isObject(item) ? item.signature : undefined;
    if (!isObject(item) || !isObject(signature) || typeof signature.name !== 'string') return this.fail(place, 'the function has no name');
    const names = (list: Json | undefined): string[] => Array.isArray(list)
      ? list.flatMap((one) => isObject(one) && typeof one.name === 'string' ? [one.name] : []) : [];
    const results = isObject(item.ret) ? item.ret : {};
    return {
      name: signature.name, arguments: names(signature.inputArg ?? signature.input_arg),
      nodes: this.nodes(item.nodeDef ?? item.node_def ?? [], place),
      results: names(signature.outputArg ?? signature.output_arg).map((name) => String(results[name] ?? name)),
    };
  }

  private node(item: Json, place: string): TfNode {
    if (!isObject(item) || typeof item.name !== 'string' || typeof item.op !== 'string') return this.fail(place, 'the node has no name or no op');
    const { name, op } = item;
    const inputs = Array.isArray(item.input) ? item.input.filter((input): input is string => typeof input === 'string') : [];
    const attributes = new Map<string, TfAttribute>();
    for (const [key, value] of Object.entries(isObject(item.attr) ? item.attr : {})) {
      if (isObject(value)) attributes.set(key, this.attribute(value, name, `node ${name}`));
    }
    return { name, op, inputs: inputs.filter((input) => !input.startsWith('^')), attributes };
  }

  private attribute(value: JsonObject, node: string, place: string): TfAttribute {
    if (value.s !== undefined) return { text: bytesText(value.s) };
    if (value.i !== undefined) return { int: Number(value.i) };
    if (value.f !== undefined) return { float: Number(value.f) };
    if (value.b !== undefined) return { flag: value.b === true };
    if (value.type !== undefined) return { dtype: typeOf(value.type) };
    if (value.shape !== undefined) return { shape: shapeOf(value.shape) };
    if (value.tensor !== undefined) return { tensor: this.tensor(value.tensor, node, place) };
    if (isObject(value.func) && typeof value.func.name === 'string') return { function: value.func.name };
    const list = isObject(value.list) ? value.list : {};
    const items = (key: string): Json[] => {
      const found = list[key];
      return Array.isArray(found) ? found : [];
    };
    return { ints: items('i').map(Number), texts: items('s').map(bytesText) };
  }

  private tensor(value: Json, node: string, place: string): Tensor | undefined {
    const stored = this.weights.get(node);
    if (stored) return stored;
    if (!isObject(value)) return this.fail(place, 'its value is not a tensor');
    const dtype = typeOf(value.dtype);
    const shape = shapeOf(value.tensorShape ?? value.tensor_shape);
    if (dtype === 'resource' || dtype === 'other' || dtype === 'string' || !shape?.every((size): size is number => size !== null)) return undefined;
    const array = this.contents(value, dtype, shape, place);
    return array && tensorOf(node, array);
  }

  /** Contents within the JSON; one value stands for all elements. */
  private contents(value: JsonObject, dtype: NdArray['dtype'], shape: readonly number[], place: string): NdArray | undefined {
    const count = elementCount(shape);
    const lists = ['floatVal', 'doubleVal', 'intVal', 'int64Val', 'boolVal', 'float_val', 'int_val', 'int64_val', 'bool_val'];
    const listed = lists.map((key) => value[key]).find((list) => Array.isArray(list) && list.length > 0);
    const content = value.tensorContent ?? value.tensor_content;
    if (!Array.isArray(listed) && typeof content !== 'string') return count === 0 ? { dtype, shape, data: allocate(dtype, 0) } : undefined;
    if (count > 1_000_000) return this.fail(place, `${count} elements in JSON are more than Particlize reads`);
    if (Array.isArray(listed)) {
      const data = allocate(dtype, count);
      for (let index = 0; index < count; index++) {
        const number = Number(listed[Math.min(index, listed.length - 1)]);
        data[index] = (data instanceof BigInt64Array ? BigInt(Math.trunc(number) || 0) : number) as never;
      }
      return { dtype, shape, data };
    }
    const bytes = base64(content as string);
    const data = allocate(dtype, 0);
    const make = data.constructor as new (buffer: ArrayBufferLike) => NdArray['data'];
    if (bytes.length !== count * data.BYTES_PER_ELEMENT) return this.fail(place, `it has ${bytes.length} bytes for ${count} elements`);
    return { dtype, shape, data: new make(bytes.slice().buffer) };
  }

  private fail(place: string, cause: string): never {
    throw new ParticlizeError({ file: this.file, place, cause });
  }
}

function typeOf(value: Json | undefined): TfType {
  const number = typeof value === 'string' ? lookUp(tfTypeNames, value) ?? Number(value) : Number(value);
  return tfTypes[number] ?? 'other';
}

/** null: unknown rank; an unknown size is null. */
export function shapeOf(value: Json | undefined): Shape | null {
  if (!isObject(value) || value.unknownRank === true || value.unknown_rank === true) return null;
  const dims = Array.isArray(value.dim) ? value.dim : [];
  return dims.map((dim) => {
    const size = isObject(dim) && dim.size !== undefined ? Number(dim.size) : 0;
    return Number.isSafeInteger(size) && size >= 0 ? size : null;
  });
}

/** Texts are bytes: base64, or a list of numbers in older files. */
function bytesText(value: Json): string {
  if (Array.isArray(value)) return new TextDecoder().decode(Uint8Array.from(value, Number));
  return typeof value === 'string' ? new TextDecoder().decode(base64(value)) : '';
}

function base64(text: string): Uint8Array {
  try {
    return Uint8Array.from(atob(text.replace(/-/g, '+').replace(/_/g, '/')), (character) => character.charCodeAt(0));
  } catch {
    return new Uint8Array(0);
  }
}
