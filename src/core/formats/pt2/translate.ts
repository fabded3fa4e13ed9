import type { Finding } from '../../graph/errors';
import { unique } from '../../graph/finishGraph';
import type { Attributes, Dim, GraphNode, Layer, Shape, ValueInfo } from '../../graph/modelGraph';
import { allocate, fromFloat32, int64Array, isFloat } from '../../graph/numeric';
import { tensorOf, type DType, type NdArray, type Tensor } from '../../graph/tensor';
import { isObject, type Json } from '../containers/json';
import type { AtenCall, AtenRule } from './atenCall';
import { elementwise } from './aten/elementwise';
import { linear } from './aten/linear';
import { logic } from './aten/logic';
import { shape } from './aten/shape';
import { windows } from './aten/windows';
import { namesIn, type ExportedGraph, type ExportNode } from './exportSchema';

/** Operators of torch.export by name and overload; a new group is one file and one line here. */
const rules: Readonly<Record<string, AtenRule>> = { ...linear, ...elementwise, ...logic, ...windows, ...shape };

export interface Translated {
  readonly nodes: readonly GraphNode[];
  readonly tensors: ReadonlyMap<string, Tensor>;
  readonly layers: readonly Layer[];
  readonly inputs: readonly ValueInfo[];
  readonly outputs: readonly ValueInfo[];
  readonly declared: ReadonlyMap<string, ValueInfo>;
  readonly findings: readonly Finding[];
}

/** torch.export's graph in ONNX's vocabulary. An operator without a rule stays opaque, which a finding says. */
export function translate(graph: ExportedGraph, weights: ReadonlyMap<string, Tensor>): Translated {
  return new Translation(graph, weights).run();
}

/** Operators that make no tensor and only check or describe. */
const silent = /^aten\.(_assert|sym_constrain|_check)|^_operator\.(ge|le|eq|gt|lt)|_guards/;

class Translation {
  private readonly nodes: GraphNode[] = [];
  private readonly tensors = new Map<string, Tensor>();
  private readonly names = new Map<string, string>();
  private readonly taken: Set<string>;
  private readonly nodeNames = new Set<string>();
  private readonly symbols = new Map<string, string>();
  private readonly findings: Finding[] = [];
  private readonly layerNodes = new Map<string, { type: string; nodes: string[] }>();
  private layer = '';

  constructor(private readonly graph: ExportedGraph, weights: ReadonlyMap<string, Tensor>) {
    this.taken = new Set(graph.values.keys());
    for (const input of graph.inputs) {
      if (input.kind !== 'weight' && input.kind !== 'constant') continue;
      const tensor = weights.get(input.name);
      if (!tensor) throw new RangeError(`the weight ${input.name} is missing`);
      const name = this.tensors.has(input.name) ? input.name : unique(input.name, this.taken);
      this.names.set(input.value, name);
      if (!this.tensors.has(name)) this.tensors.set(name, { ...tensor, name });
    }
  }

  run(): Translated {
    for (const node of this.graph.nodes) this.node(node);
    const user = this.graph.inputs.filter(({ kind }) => kind === 'user');
    const infoOf = (name: string): ValueInfo => ({ ...this.graph.values.get(name), name: this.nameOf(name) });
    const used = new Set(this.nodes.flatMap((node) => node.inputs));
    const tensors = new Map([...this.tensors].filter(([name]) => used.has(name)));
    return {
      nodes: this.nodes, tensors, findings: this.findings, layers: this.layers(tensors),
      inputs: user.map(({ value }) => infoOf(value)), outputs: this.graph.outputs.map(infoOf),
      declared: new Map([...this.graph.values.keys()].filter((name) => !this.names.has(name)).map((name) => [name, infoOf(name)])),
    };
  }

  private node(node: ExportNode): void {
    if (node.symbol) return this.symbol(node, node.symbol);
    if (silent.test(node.target) || !node.outputs.some(Boolean)) return;
    this.layer = this.layerOf(node);
    const before = { nodes: this.nodes.length, findings: this.findings.length };
    try {
      const rule = this.ruleOf(node);
      if (rule) {
        rule(this.call(node));
        return;
      }
    } catch (error) {
      if (!(error instanceof RangeError)) throw error;
      this.nodes.splice(before.nodes);
      this.findings.push({ severity: 'warning', place: this.layer, message: `${node.target} cannot be said in ONNX's operators here: ${error.message}` });
    }
    const inputs = [...node.args.values()].flatMap(namesIn).map((name) => this.nameOf(name));
    this.push(node.target, 'pytorch', inputs, {}, node.outputs);
  }

  private ruleOf({ target }: ExportNode): AtenRule | undefined {
    if (!target.startsWith('aten.')) return undefined;
    const own = target.slice('aten.'.length);
    const bare = own.split('.')[0]!;
    return Object.hasOwn(rules, own) ? rules[own] : Object.hasOwn(rules, bare) ? rules[bare] : undefined;
  }

  /** Sizes that are computed: one-element int64 vectors. */
  private symbol({ target, args }: ExportNode, name: string): void {
    this.layer = 'sizes';
    const [first, second] = [...args.values()];
    if (/^aten\.sym_size/.test(target)) {
      const axis = numberOf(args.get('dim')) ?? 0;
      const attributes: Attributes = { start: { type: 'int', value: axis }, ...(axis !== -1 && { end: { type: 'int', value: axis + 1 } }) };
      this.symbols.set(name, this.emit('Shape', [this.nameOf(namesIn(args.get('self'))[0] ?? '')], attributes));
      return;
    }
    const op = { mul: 'Mul', add: 'Add', sub: 'Sub', floordiv: 'Div' }[target.replace(/^_operator\./, '')];
    if (op && first && second) this.symbols.set(name, this.emit(op, [this.sizeValue(first), this.sizeValue(second)]));
    else this.findings.push({ severity: 'warning', place: name, message: `the size ${name} is computed by ${target}, which Particlize does not follow` });
  }

  private sizeValue(arg: Json): string {
    const number = numberOf(arg);
    if (number !== undefined) return this.constant(int64Array([number]));
    const name = symbolOf(arg);
    const value = name === undefined ? undefined : this.symbols.get(name);
    if (value === undefined) throw new RangeError(`the size ${name ?? '?'} is not known`);
    return value;
  }

  private call(node: ExportNode): AtenCall {
    const argument = (name: string): Json | undefined => {
      const arg = node.args.get(name);
      return isObject(arg) && arg.as_none !== undefined ? undefined : arg;
    };
    const tensor = (name: string): string => {
      const found = namesIn(argument(name))[0];
      if (found === undefined) throw new RangeError(`it has no tensor '${name}'`);
      return this.nameOf(found);
    };
    const sizeItems = (name: string): readonly Json[] => sizeList(argument(name));
    const facts = (value: string): { shape?: Shape; dtype?: DType } => this.tensors.get(value) ?? this.graph.values.get(value) ?? {};
    const shapeOf = (value: string): Shape => {
      const found = facts(value).shape;
      if (!found) throw new RangeError(`the shape of ${value} is not known`);
      return found;
    };
    const scalar = (value: number, dtype: DType | undefined): string => this.constant(scalarOf(value, dtype));
    return {
      outputs: node.outputs,
      tensor,
      optional: (name) => (namesIn(argument(name)).length ? tensor(name) : ''),
      tensors: (name) => namesIn(argument(name)).map((found) => this.nameOf(found)),
      int: (name, otherwise) => numberOf(argument(name)) ?? otherwise,
      ints: (name, otherwise, length) => {
        const found = numbersOf(argument(name)) ?? otherwise;
        return length !== undefined && found.length === 1 ? new Array<number>(length).fill(found[0]!) : found;
      },
      float: (name, otherwise) => numberOf(argument(name)) ?? otherwise,
      bool: (name, otherwise) => {
        const arg = argument(name);
        return isObject(arg) && typeof arg.as_bool === 'boolean' ? arg.as_bool : otherwise;
      },
      text: (name, otherwise) => {
        const arg = argument(name);
        return isObject(arg) && typeof arg.as_string === 'string' ? arg.as_string : otherwise;
      },
      has: (name) => argument(name) !== undefined,
      sizes: (name) => {
        const items = sizeItems(name);
        const known = items.map(numberOf);
        if (known.every((size): size is number => size !== undefined)) return this.constant(int64Array(known));
        return this.emit('Concat', items.map((item) => this.sizeValue(item)), { axis: { type: 'int', value: 0 } });
      },
      knownSizes: (name) => sizeItems(name).map((item): Dim => numberOf(item) ?? null),
      operand: (name, like) => {
        const found = namesIn(argument(name))[0];
        if (found !== undefined) return this.nameOf(found);
        const number = numberOf(argument(name));
        if (number === undefined) throw new RangeError(`'${name}' is neither a tensor nor a number`);
        return scalar(number, facts(like).dtype);
      },
      shape: shapeOf,
      rank: (value) => shapeOf(value).length,
      dtype: (value) => facts(value).dtype,
      emit: (op, inputs, attributes, outputs) => this.emit(op, inputs, attributes, outputs),
      // "To the end" is 2^63 - 1 in the file, which a number here cannot be.
      int64: (values) => this.constant(int64Array(values.map((value) => Math.max(-limit, Math.min(limit, value))))),
      constant: (array) => this.constant(array),
      scalar,
    };
  }

  private emit(op: string, inputs: readonly string[], attributes: Attributes = {}, outputs?: readonly string[]): string {
    const made = outputs ?? [unique(`${this.layer}:${op}`, this.taken)];
    this.push(op, '', inputs, attributes, made);
    return made[0]!;
  }

  private push(op: string, domain: string, inputs: readonly string[], attributes: Attributes, outputs: readonly string[]): void {
    const name = unique(outputs[0] ? `${this.layer}/${outputs[0]}` : `${this.layer}/${op}`, this.nodeNames);
    this.nodes.push({ name, op, domain, inputs: trimmed(inputs), outputs, attributes, layer: this.layer });
    const layer = this.layerNodes.get(this.layer) ?? { type: op, nodes: [] };
    layer.nodes.push(name);
    this.layerNodes.set(this.layer, layer);
  }

  private constant(array: NdArray): string {
    const name = unique(`${this.layer}:constant`, this.taken);
    this.tensors.set(name, tensorOf(name, array));
    return name;
  }

  private nameOf(value: string): string {
    return this.names.get(value) ?? value;
  }

  /** Modules of torch.nn are layers; what a model's own forward() computes is a layer by itself, in that model's folder. */
  private layerOf(node: ExportNode): string {
    const { path, type } = node.module;
    const owns = path && [...node.args.values()].flatMap(namesIn).some((name) => this.nameOf(name).startsWith(`${path}.`));
    if (path && (owns || /^torch\.nn\.modules\./.test(type))) {
      const known = this.layerNodes.get(path);
      if (!known) this.layerNodes.set(path, { type: type.split('.').at(-1) ?? type, nodes: [] });
      return path;
    }
    const own = node.outputs.find(Boolean)!;
    const name = path ? `${path}.${own}` : own;
    if (!this.layerNodes.has(name)) this.layerNodes.set(name, { type: node.target.replace(/^aten\.|\..*$/g, ''), nodes: [] });
    return name;
  }

  private layers(tensors: ReadonlyMap<string, Tensor>): Layer[] {
    const readers = new Map<string, string>();
    for (const node of this.nodes) for (const input of node.inputs) if (tensors.has(input) && !readers.has(input)) readers.set(input, node.layer);
    const weights = new Set(this.names.values());
    return [...this.layerNodes].filter(([, { nodes }]) => nodes.length).map(([name, { type, nodes }]) => ({
      name, type, nodes, tensors: [...tensors.keys()].filter((tensor) => weights.has(tensor) && readers.get(tensor) === name),
    }));
  }
}

const limit = Number.MAX_SAFE_INTEGER;

function trimmed(inputs: readonly string[]): readonly string[] {
  let length = inputs.length;
  while (length > 0 && !inputs[length - 1]) length--;
  return inputs.slice(0, length);
}

function scalarOf(value: number, dtype: DType = 'float32'): NdArray {
  if (dtype === 'int64') return int64Array([value], []);
  if (isFloat(dtype)) return fromFloat32(Float32Array.of(value), [], dtype);
  const data = allocate(dtype, 1);
  data[0] = (data instanceof BigUint64Array ? BigInt(value) : value) as never;
  return { dtype, shape: [], data };
}

function numberOf(arg: Json | undefined): number | undefined {
  if (!isObject(arg)) return undefined;
  for (const key of ['as_int', 'as_float'] as const) if (typeof arg[key] === 'number') return arg[key];
  // JSON has no infinity, so that the schema writes it as text.
  if (typeof arg.as_float === 'string') return { Infinity, '-Infinity': -Infinity, NaN }[arg.as_float];
  for (const key of ['as_sym_int', 'as_sym_float'] as const) if (isObject(arg[key])) return numberOf(arg[key]);
  return undefined;
}

function symbolOf(arg: Json): string | undefined {
  if (!isObject(arg)) return undefined;
  if (typeof arg.as_name === 'string') return arg.as_name;
  return isObject(arg.as_sym_int) ? symbolOf(arg.as_sym_int) : undefined;
}

function numbersOf(arg: Json | undefined): readonly number[] | undefined {
  const items = sizeList(arg).map(numberOf);
  if (items.length) return items.every((item): item is number => item !== undefined) ? items : undefined;
  const one = numberOf(arg);
  if (one !== undefined) return [one];
  return isObject(arg) && (Array.isArray(arg.as_ints) || Array.isArray(arg.as_sym_ints)) ? [] : undefined;
}

/** Items of a list of numbers or symbols, each as an argument of its own. */
function sizeList(arg: Json | undefined): readonly Json[] {
  if (!isObject(arg)) return [];
  if (Array.isArray(arg.as_ints)) return arg.as_ints.map((value) => ({ as_int: value }));
  if (Array.isArray(arg.as_floats)) return arg.as_floats.map((value) => ({ as_float: value }));
  return Array.isArray(arg.as_sym_ints) ? arg.as_sym_ints : [];
}
