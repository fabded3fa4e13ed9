import { finishGraph } from '../../graph/finishGraph';
import type { GraphNode, Layer, ModelGraph } from '../../graph/modelGraph';
import { asFloat32, fromFloat32 } from '../../graph/numeric';
import { tensorOf, type Tensor } from '../../graph/tensor';
import type { ParticleTable } from '../../particles/particleTable';
import type { PlanStep, Refusal } from '../plan';

/** One kind of step: one file, one register line in registry.ts. */
export interface Action<S extends PlanStep = PlanStep> {
  readonly name: S['action'];
  /** Whether operators come or go, which only formats that hold a graph can say. */
  readonly structural?: boolean;
  /** Reads its fields from JSON. Throws a FieldError. */
  check(fields: Fields): S;
  /** Rejects with a StepError when the step cannot be meant (no such layer, an impossible rank); what may not be done is refused. */
  apply(step: S, model: Operating): Promise<StepResult>;
  /** What it does, for a preview: 'merge 2 kernels into conv1/kernel:3'. */
  words(step: S): string;
}

/** The model as the steps in front have made it. */
export interface Operating {
  readonly graph: ModelGraph;
  readonly table: ParticleTable;
  /** The row of a particle by its id in the model that the plan is for. Throws a StepError when there is none (any more). */
  row(id: string): number;
  /** The id of a row in the model that the plan is for. */
  id(row: number): string;
}

export interface StepResult {
  readonly graph: ModelGraph;
  readonly refusals?: readonly Refusal[];
  /** Rows that are gone, and rows that are there twice now (the copy comes right behind). */
  readonly gone?: Iterable<number>;
  readonly doubled?: Iterable<number>;
  /** What else there is to say, one sentence each. */
  readonly notes?: readonly string[];
}

/** The step cannot be meant: becomes a ParticlizeError that names file and step. */
export class StepError extends Error {
  constructor(readonly place: string, message: string) {
    super(message);
  }
}

/** A field of a step that is not as it should be. */
export class FieldError extends Error {
  constructor(readonly field: string, message: string) {
    super(message);
  }
}

/** Reads fields of a step out of JSON. */
export class Fields {
  constructor(private readonly json: Readonly<Record<string, unknown>>) {}

  text(name: string): string {
    const value = this.json[name];
    if (typeof value !== 'string' || !value) throw new FieldError(name, 'it should be a name');
    return value;
  }

  oneOf<T extends string>(name: string, choices: readonly T[]): T | undefined {
    const value = this.json[name];
    if (value === undefined || choices.includes(value as T)) return value as T | undefined;
    throw new FieldError(name, `it should be ${choices.map((choice) => `'${choice}'`).join(' or ')}`);
  }

  number(name: string, range: string, fits: (value: number) => boolean): number {
    const value = this.json[name];
    if (typeof value !== 'number' || !fits(value)) throw new FieldError(name, `it should be ${range}`);
    return value;
  }

  has(name: string): boolean {
    return this.json[name] !== undefined;
  }

  particles(name = 'particles'): string[] {
    const value = this.json[name];
    if (!Array.isArray(value) || !value.every((id) => typeof id === 'string')) throw new FieldError(name, 'it should be a list of particle ids');
    return value as string[];
  }

  numbers(name: string, count: number): number[] {
    const value = this.json[name];
    if (!Array.isArray(value) || value.length !== count || !value.every((entry) => Number.isFinite(entry))) {
      throw new FieldError(name, 'it should be a list of one number for each particle');
    }
    return value as number[];
  }

  list(name: string): readonly unknown[] {
    const value = this.json[name];
    if (!Array.isArray(value)) throw new FieldError(name, 'it should be a list');
    return value;
  }
}

/** A graph with other nodes, tensors or layers, checked and inferred anew. */
export function redrawn(
  graph: ModelGraph, changes: { readonly nodes?: readonly GraphNode[]; readonly tensors?: ReadonlyMap<string, Tensor>; readonly layers?: readonly Layer[] },
): Promise<ModelGraph> {
  const nodes = changes.nodes ?? graph.nodes;
  const tensors = new Map(changes.tensors ?? graph.tensors);
  if (changes.nodes) {
    const used = new Set(nodes.flatMap(({ inputs }) => inputs));
    const before = new Set(graph.nodes.flatMap(({ inputs }) => inputs));
    for (const name of tensors.keys()) if (before.has(name) && !used.has(name)) tensors.delete(name);
  }
  const made = new Set(nodes.flatMap(({ outputs }) => outputs));
  return finishGraph({
    format: graph.format, producer: graph.producer, opset: graph.opset, domains: graph.domains, inputs: graph.inputs, outputs: graph.outputs,
    nodes, tensors,
    layers: (changes.layers ?? graph.layers).map(({ outputShape: _stale, ...layer }) => layer),
    declared: new Map([...graph.values].filter(([name]) => made.has(name))),
    findings: [], origin: graph.origin,
  });
}

/** The elements of a tensor as float32, to be changed: always a copy. */
export async function readWeights(graph: ModelGraph, name: string): Promise<{ readonly values: Float32Array; readonly shape: readonly number[] }> {
  const array = await graph.tensors.get(name)!.read();
  return { values: Float32Array.from(asFloat32(array)), shape: array.shape };
}

/** A tensor with other elements in the type of the old one. Throws a StepError where that is not a floating type. */
export function rewritten(tensor: Tensor, values: Float32Array, shape: readonly number[] = tensor.shape): Tensor {
  try {
    return tensorOf(tensor.name, fromFloat32(values, shape, tensor.dtype));
  } catch (error) {
    if (error instanceof RangeError) throw new StepError(tensor.name, `its weights are ${tensor.dtype}, which new values cannot be written as`);
    throw error;
  }
}

/** Every position of one index of an axis. */
export function forEachAt(shape: readonly number[], axis: number, index: number, visit: (position: number, place: number) => void): void {
  const inner = shape.slice(axis + 1).reduce((product, size) => product * size, 1);
  const outer = shape.slice(0, axis).reduce((product, size) => product * size, 1);
  const size = shape[axis]!;
  for (let block = 0; block < outer; block++) {
    for (let rest = 0; rest < inner; rest++) visit((block * size + index) * inner + rest, block * inner + rest);
  }
}

export function counted(count: number, noun: string): string {
  return `${count} ${noun}${count === 1 ? '' : 's'}`;
}
