import type * as Tf from '@tensorflow/tfjs-core';
import type { Program } from '../../core/graph/engine';
import { ParticlizeError } from '../../core/graph/errors';
import type { GraphNode, ModelGraph } from '../../core/graph/modelGraph';
import { asFloat32, asNumbers, fromFloat32, isInteger } from '../../core/graph/numeric';
import { elementCount, type DType, type NdArray } from '../../core/graph/tensor';
import { LoweringContext } from './loweringContext';
import { loweringOf } from './lowerings/registry';
import { inOrder, isInOrder, tfData, tfType, type TfModule, type Value } from './value';

/** Elements up to which integer weights are kept as numbers too: shapes, axes, indices. */
const smallElements = 4096;

/** Runs the nodes of a slice one after the other, freeing each value behind its last reader. */
export class TfjsProgram implements Program {
  /** For each node the values that nobody reads behind it. */
  private readonly done: readonly (readonly string[])[];
  private disposed = false;

  private constructor(
    private readonly tf: TfModule, private readonly backend: string, private readonly title: string, private readonly part: ModelGraph,
    private readonly constants: ReadonlyMap<string, Value>, private readonly kept: ReadonlyMap<string, NdArray>,
    readonly feeds: readonly string[], readonly fetches: readonly string[],
  ) {
    this.done = lastReads(part.nodes, new Set(fetches));
  }

  /** `part` holds what lies between feeds and fetches and nothing else; reads its weights. */
  static async create(
    tf: TfModule, backend: string, title: string, part: ModelGraph, feeds: readonly string[], fetches: readonly string[],
  ): Promise<TfjsProgram> {
    await useBackend(tf, backend);
    const constants = new Map<string, Value>();
    const kept = new Map<string, NdArray>();
    try {
      for (const [name, tensor] of part.tensors) {
        const array = await tensor.read();
        if (fetches.includes(name)) kept.set(name, array);
        constants.set(name, constantOf(tf, array));
      }
    } catch (error) {
      release(constants);
      throw error;
    }
    return new TfjsProgram(tf, backend, title, part, constants, kept, feeds, fetches);
  }

  async run(feeds: ReadonlyMap<string, NdArray>): Promise<Map<string, NdArray>> {
    if (this.disposed) throw new Error('the program has been disposed of');
    await useBackend(this.tf, this.backend);
    const live = new Live(this.constants);
    try {
      for (const name of this.feeds) live.set(name, this.fed(name, feeds.get(name)));
      for (const [index, node] of this.part.nodes.entries()) {
        this.runNode(node, live);
        for (const name of this.done[index]!) live.delete(name);
      }
      const results = new Map<string, NdArray>();
      for (const name of this.fetches) results.set(name, this.kept.get(name) ?? await this.fetched(name, live.get(name)));
      return results;
    } finally {
      live.dispose();
    }
  }

  dispose(): Promise<void> {
    if (!this.disposed) release(this.constants);
    this.disposed = true;
    return Promise.resolve();
  }

  private runNode(node: GraphNode, live: Live): void {
    const { tf } = this;
    const made: { values: readonly Value[] } = { values: [] };
    try {
      tf.tidy(() => {
        const inputs = node.inputs.map((name) => name ? live.get(name) : undefined);
        const result = loweringOf(node)!(new LoweringContext(tf, node, this.part.opset, inputs));
        made.values = Array.isArray(result) ? result as readonly Value[] : [result as Value];
        return made.values.map((value) => value.tensor);
      });
    } catch (error) {
      throw this.explain(error, node);
    }
    const wanted = node.outputs.map((name, index) => ({ name, value: made.values[index] }));
    for (const { name, value } of wanted) if (name && value) live.set(name, value);
    for (const value of made.values) live.forget(value);
  }

  private fed(name: string, array: NdArray | undefined): Value {
    if (!array) throw new ParticlizeError({ place: name, cause: 'this value must be fed, but is missing' });
    if (array.data.length !== elementCount(array.shape)) {
      throw new ParticlizeError({ place: name, cause: `${array.data.length} elements do not make the shape [${array.shape.join(', ')}]` });
    }
    const wanted = this.part.inputs.find((input) => input.name === name)?.dtype ?? array.dtype;
    const tensor = this.tf.tensor(tfData(array, asFloat32), [...array.shape], tfType(array.dtype));
    if (tfType(wanted) === tensor.dtype) return { tensor, order: inOrder(tensor.rank), dtype: wanted };
    const cast = this.tf.cast(tensor, tfType(wanted));
    tensor.dispose();
    return { tensor: cast, order: inOrder(cast.rank), dtype: wanted };
  }

  private async fetched(name: string, value: Value): Promise<NdArray> {
    const { tf } = this;
    const plain = isInOrder(value.order) ? value.tensor
      : tf.transpose(value.tensor, value.order.map((_, axis) => value.order.indexOf(axis)));
    try {
      const dtype = this.part.values.get(name)?.dtype ?? value.dtype;
      return fromTf(await plain.data() as Float32Array | Int32Array | Uint8Array, plain.shape, dtype);
    } finally {
      if (plain !== value.tensor) plain.dispose();
    }
  }

  private explain(error: unknown, node: GraphNode): ParticlizeError {
    const reason = (error instanceof Error ? error.message : String(error)).replace(/\s+/g, ' ').replace(/\.$/, '');
    return new ParticlizeError({
      place: `layer ${node.layer} (${node.op})`, cause: `${this.title} cannot run this: ${reason.slice(0, 300)}`,
    }, { cause: error });
  }
}

/** Values that are alive in a run; tensors that several share are freed with the last. */
class Live {
  private readonly values = new Map<string, Value>();
  private readonly uses = new Map<Tf.Tensor, number>();
  private readonly permanent: ReadonlySet<Tf.Tensor>;

  constructor(private readonly constants: ReadonlyMap<string, Value>) {
    this.permanent = new Set([...constants.values()].map((value) => value.tensor));
  }

  get(name: string): Value {
    const value = this.values.get(name) ?? this.constants.get(name);
    if (!value) throw new Error(`the value '${name}' is missing`);
    return value;
  }

  set(name: string, value: Value): void {
    this.values.set(name, value);
    this.uses.set(value.tensor, (this.uses.get(value.tensor) ?? 0) + 1);
  }

  delete(name: string): void {
    const value = this.values.get(name);
    if (!value) return;
    this.values.delete(name);
    const uses = this.uses.get(value.tensor)! - 1;
    this.uses.set(value.tensor, uses);
    if (uses === 0) this.forget(value);
  }

  /** Frees a tensor that no live value holds. */
  forget({ tensor }: Value): void {
    if (this.uses.get(tensor) || this.isPermanent(tensor)) return;
    this.uses.delete(tensor);
    if (!tensor.isDisposed) tensor.dispose();
  }

  dispose(): void {
    for (const name of [...this.values.keys()]) this.delete(name);
  }

  /** A weight or one of its other forms. */
  private isPermanent(tensor: Tf.Tensor): boolean {
    return this.permanent.has(tensor) || tensor.kept;
  }
}

function constantOf(tf: TfModule, array: NdArray): Value {
  const tensor = tf.keep(tf.tensor(tfData(array, asFloat32), [...array.shape], tfType(array.dtype)));
  const small = isInteger(array.dtype) && elementCount(array.shape) <= smallElements;
  return {
    tensor, order: inOrder(array.shape.length), dtype: array.dtype, forms: new Map(), ...(small && { numbers: asNumbers(array) }),
  };
}

function release(constants: ReadonlyMap<string, Value>): void {
  for (const { tensor, forms } of constants.values()) {
    for (const form of forms?.values() ?? []) form.dispose();
    tensor.dispose();
  }
}

/** One process may run both kinds of TensorFlow.js; the backend is a global of theirs. */
async function useBackend(tf: TfModule, backend: string): Promise<void> {
  if (tf.getBackend() !== backend) await tf.setBackend(backend);
}

function lastReads(nodes: readonly GraphNode[], fetches: ReadonlySet<string>): readonly (readonly string[])[] {
  const last = new Map<string, number>();
  nodes.forEach((node, index) => {
    for (const name of [...node.inputs, ...node.outputs]) if (name && !fetches.has(name)) last.set(name, index);
  });
  const done: string[][] = nodes.map(() => []);
  for (const [name, index] of last) done[index]!.push(name);
  return done;
}

function fromTf(data: Float32Array | Int32Array | Uint8Array, shape: readonly number[], dtype: DType): NdArray {
  if (dtype === 'int64') return { dtype, shape, data: BigInt64Array.from(data, BigInt) };
  if (dtype === 'uint64') return { dtype, shape, data: BigUint64Array.from(data, (value) => BigInt.asUintN(64, BigInt(value))) };
  if (dtype === 'bool' || dtype === 'uint8') return { dtype, shape, data: Uint8Array.from(data) };
  if (dtype === 'int8') return { dtype, shape, data: Int8Array.from(data) };
  if (dtype === 'int16') return { dtype, shape, data: Int16Array.from(data) };
  if (dtype === 'uint16') return { dtype, shape, data: Uint16Array.from(data) };
  if (dtype === 'uint32') return { dtype, shape, data: Uint32Array.from(data) };
  if (dtype === 'int32') return { dtype, shape, data: data instanceof Int32Array ? data : Int32Array.from(data) };
  const floats = data instanceof Float32Array ? data : Float32Array.from(data);
  return dtype === 'float32' || /float8|complex|string/.test(dtype)
    ? { dtype: 'float32', shape, data: floats }
    : fromFloat32(floats, shape, dtype);
}
