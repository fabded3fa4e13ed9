import type { Dim, ValueInfo } from '../../graph/modelGraph';
import type { DType } from '../../graph/tensor';
import { isObject, type Json, type JsonObject } from '../containers/json';

/** What Particlize reads of torch.export's JSON (torch/_export/serde/schema.py describes all of it). */
export interface ExportedGraph {
  readonly inputs: readonly ExportInput[];
  readonly outputs: readonly string[];
  readonly nodes: readonly ExportNode[];
  readonly values: ReadonlyMap<string, ValueInfo>;
}

export interface ExportInput {
  /** The name that nodes use. */
  readonly value: string;
  readonly kind: 'weight' | 'constant' | 'user' | 'other';
  /** Name in the state dict ('conv1.weight'), for weights and constants. */
  readonly name: string;
}

export interface ExportNode {
  /** 'aten.conv2d.default' or '_operator.mul'. */
  readonly target: string;
  readonly args: ReadonlyMap<string, Json>;
  /** Tensors that it makes, '' for what is no tensor. */
  readonly outputs: readonly string[];
  readonly symbol?: string;
  /** The innermost module that it belongs to. */
  readonly module: { readonly path: string; readonly type: string };
}

/** Throws a RangeError that names the field when the JSON is not what torch.export writes. */
export function parseExport(root: Json): ExportedGraph {
  const graphModule = field(root, 'graph_module');
  const graph = field(graphModule, 'graph');
  const signature = field(graphModule, 'signature');
  const values = new Map(Object.entries(objectOf(field(graph, 'tensor_values'), 'tensor_values')).map(([name, meta]) => [name, infoOf(name, meta!)]));
  const mutated = new Set<string>();
  for (const spec of list(signature, 'output_specs')) {
    const [kind] = Object.keys(objectOf(spec, 'output_specs'));
    if (kind !== 'user_output') for (const name of namesIn(spec)) mutated.add(name);
  }
  return {
    values,
    inputs: list(signature, 'input_specs').map(inputOf),
    outputs: list(graph, 'outputs').flatMap(namesIn).filter((name) => !mutated.has(name)),
    nodes: list(graph, 'nodes').map(nodeOf),
  };
}

/** Sizes, strides and type of a tensor as the schema has them; undefined where they are symbols or unknown. */
export function metaOf(meta: Json): { dtype: DType | undefined; shape: Dim[]; strides: Dim[]; offset: Dim } {
  const object = objectOf(meta, 'tensor_meta');
  const dims = (key: string): Dim[] => list(object, key).map(dimOf);
  return {
    dtype: typeof object.dtype === 'number' ? dtypes[object.dtype] : undefined,
    shape: dims('sizes'), strides: dims('strides'), offset: object.storage_offset === undefined ? 0 : dimOf(object.storage_offset),
  };
}

const dtypes: Readonly<Record<number, DType>> = {
  1: 'uint8', 2: 'int8', 3: 'int16', 4: 'int32', 5: 'int64', 6: 'float16', 7: 'float32', 8: 'float64', 10: 'complex64', 11: 'complex128',
  12: 'bool', 13: 'bfloat16', 28: 'uint16', 29: 'float8e4m3fn', 30: 'float8e5m2', 31: 'float8e4m3fnuz', 32: 'float8e5m2fnuz',
};

export function dtypeOfScalarType(code: number): DType | undefined {
  return dtypes[code];
}

function dimOf(dim: Json | undefined): Dim {
  const size = isObject(dim) ? dim.as_int : undefined;
  return typeof size === 'number' && Number.isSafeInteger(size) && size >= 0 ? size : null;
}

function infoOf(name: string, meta: Json): ValueInfo {
  const { dtype, shape } = metaOf(meta);
  return { name, ...(dtype && { dtype }), shape };
}

function inputOf(spec: Json): ExportInput {
  const [kind, body] = Object.entries(objectOf(spec, 'input_specs'))[0] ?? [];
  const arg = field(body, 'arg');
  const value = text(arg, 'name') ?? namesIn(arg)[0] ?? '';
  switch (kind) {
    case 'parameter': return { value, kind: 'weight', name: text(body, 'parameter_name') ?? value };
    case 'buffer': return { value, kind: 'weight', name: text(body, 'buffer_name') ?? value };
    case 'tensor_constant': return { value, kind: 'constant', name: text(body, 'tensor_constant_name') ?? value };
    case 'user_input': return { value, kind: value ? 'user' : 'other', name: value };
    default: return { value, kind: 'other', name: value };
  }
}

function nodeOf(node: Json): ExportNode {
  const args = new Map(list(node, 'inputs').map((input) => [text(input, 'name') ?? '', field(input, 'arg')]));
  const outputs = list(node, 'outputs');
  const symbol = outputs.map((output) => text(isObject(output) ? output.as_sym_int : undefined, 'as_name')).find(Boolean);
  const stack = text(isObject(node) ? node.metadata : undefined, 'nn_module_stack') ?? '';
  const [, path = '', type = ''] = (stack.split(';').at(-1) ?? '').split(',');
  return {
    args, symbol, module: { path, type },
    target: (text(node, 'target') ?? '').replace(/^torch\.ops\./, ''),
    outputs: outputs.flatMap((output) => {
      const names = namesIn(output);
      return names.length ? names : [''];
    }),
  };
}

/** Tensor names in an argument: of one tensor, or of a list of them. */
export function namesIn(arg: Json | undefined): string[] {
  if (!isObject(arg)) return [];
  const one = text(arg.as_tensor, 'name');
  if (one !== undefined) return [one];
  for (const key of ['as_tensors', 'as_optional_tensors'] as const) {
    const many = arg[key];
    if (Array.isArray(many)) return many.flatMap((item) => text(item, 'name') ?? text(isObject(item) ? item.as_tensor : undefined, 'name') ?? []);
  }
  if (isObject(arg.user_output)) return namesIn(arg.user_output.arg);
  const [body] = Object.values(arg);
  return isObject(body) && isObject(body.arg) ? (text(body.arg, 'name') !== undefined ? [text(body.arg, 'name')!] : namesIn(body.arg)) : [];
}

function field(value: Json | undefined, key: string): Json {
  const found = isObject(value) ? value[key] : undefined;
  if (found === undefined) throw new RangeError(`its description has no '${key}'`);
  return found;
}

function list(value: Json | undefined, key: string): Json[] {
  const found = field(value, key);
  if (!Array.isArray(found)) throw new RangeError(`'${key}' in its description is no list`);
  return found;
}

function objectOf(value: Json | undefined, key: string): JsonObject {
  if (!isObject(value)) throw new RangeError(`'${key}' in its description is no object`);
  return value;
}

function text(value: Json | undefined, key: string): string | undefined {
  const found = isObject(value) ? value[key] : undefined;
  return typeof found === 'string' ? found : undefined;
}
