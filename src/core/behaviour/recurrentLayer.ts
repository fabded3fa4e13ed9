import type { BatchModel } from '../evaluate/batching';
import { openRunner } from '../evaluate/batching';
import type { Engine } from '../graph/engine';
import { indexOf, type GraphNode, type ModelGraph } from '../graph/modelGraph';
import { asFloat32, asNumbers } from '../graph/numeric';
import { partsOf } from '../graph/ops/recurrent';
import type { NdArray } from '../graph/tensor';
import type { ParticleGroup } from '../particles/particle';
import { unfold, type RecurrentOperands, type Unfolded } from './recurrentUnfold';

/** The recurrent operator whose units a group is, with what it reads. */
export interface RecurrentLayer {
  readonly node: GraphNode;
  readonly directions: number;
  readonly hidden: number;
  /** Runs samples and returns all operands with time first: x [T, N, C], states [D, N, H], weights as they are, y [T, D, N, H]. */
  read(inputs: ReadonlyMap<string, NdArray>): Promise<RecurrentReading>;
  dispose(): Promise<void>;
}

export interface RecurrentReading {
  readonly x: NdArray;
  readonly w: NdArray;
  readonly r: NdArray;
  readonly b?: NdArray;
  readonly h?: NdArray;
  readonly c?: NdArray;
  readonly peepholes?: NdArray;
  readonly lengths?: readonly number[];
  /** Undefined where the model only reads the last state. */
  readonly y?: NdArray;
}

export function recurrentNode(graph: ModelGraph, group: ParticleGroup): GraphNode | undefined {
  const node = group.kind === 'unit' ? indexOf(graph).producer.get(group.producer.value) : undefined;
  return node && ['LSTM', 'GRU', 'RNN'].includes(node.op) && node.domain === '' ? node : undefined;
}

export async function openRecurrent(engine: Engine, model: BatchModel, group: ParticleGroup): Promise<RecurrentLayer | undefined> {
  const { graph } = model;
  const node = recurrentNode(graph, group);
  if (!node) return undefined;
  const { x, w, r, b, lengths, peepholes, y, batchFirst } = partsOf(node);
  const [h = '', c = ''] = [node.inputs[5], node.inputs[6]];
  const stored = new Map<string, NdArray>();
  for (const name of [w, r, b, h, c, peepholes, lengths]) {
    const tensor = name ? graph.tensors.get(name) : undefined;
    if (tensor) stored.set(name, await tensor.read());
  }
  const inputs = graph.inputs.map(({ name }) => name);
  const fetches = [...new Set([x, w, r, b, h, c, peepholes, lengths, y])].filter((name) => name && !stored.has(name) && !inputs.includes(name));
  const runner = fetches.length ? await openRunner(engine, model, inputs, fetches) : undefined;
  const turned = (array: NdArray | undefined, perm: readonly number[]): NdArray | undefined => array && (batchFirst ? transposed(array, perm) : array);
  const hidden = group.count;
  return {
    node, hidden, directions: graph.values.get(w)?.shape?.[0] ?? stored.get(w)?.shape[0] ?? 1,
    async read(feeds) {
      const known = new Map([...stored, ...feeds, ...(await runner?.run(feeds)) ?? []]);
      const of = (name: string): NdArray | undefined => (name ? known.get(name) : undefined);
      const lengthArray = of(lengths);
      return {
        x: turned(of(x), [1, 0, 2])!, w: of(w)!, r: of(r)!, b: of(b), peepholes: of(peepholes),
        h: turned(of(h), [1, 0, 2]), c: turned(of(c), [1, 0, 2]), y: turned(of(y), [1, 2, 0, 3]),
        ...(lengthArray && { lengths: asNumbers(lengthArray) }),
      };
    },
    dispose: async () => void await runner?.dispose(),
  };
}

/** Unfolds one direction, and says how far its states are from what the operator gave (relative to the largest; 0 when it gave none). */
export function unfoldReading(node: GraphNode, direction: number, reading: RecurrentReading): Unfolded & { readonly error: number } {
  const operands = operandsOf(reading, direction);
  const unfolded = unfold(node, direction, operands);
  const { steps, batch, hidden } = operands;
  const y = reading.y && asFloat32(reading.y);
  const directions = reading.w.shape[0]!;
  let [difference, largest] = [0, 1e-6];
  if (y) {
    for (let time = 0; time < steps; time++) {
      const own = unfolded.states.subarray(time * batch * hidden, (time + 1) * batch * hidden);
      const given = (time * directions + direction) * batch * hidden;
      own.forEach((value, index) => {
        if (Number.isNaN(value)) return;
        largest = Math.max(largest, Math.abs(y[given + index]!));
        difference = Math.max(difference, Math.abs(value - y[given + index]!));
      });
    }
  }
  return { ...unfolded, error: difference / largest };
}

function operandsOf({ x, w, r, b, h, c, peepholes, lengths }: RecurrentReading, direction: number): RecurrentOperands {
  const [steps, batch, features] = x.shape as [number, number, number];
  const part = (array: NdArray | undefined): Float32Array | undefined => {
    if (!array) return undefined;
    const each = array.data.length / array.shape[0]!;
    return asFloat32(array).subarray(direction * each, (direction + 1) * each);
  };
  return {
    steps, batch, features, hidden: r.shape[2]!, x: asFloat32(x), w: part(w)!, r: part(r)!, b: part(b), peepholes: part(peepholes), h: part(h), c: part(c), lengths,
  };
}

export function transposed(array: NdArray, perm: readonly number[]): NdArray {
  const source = asFloat32(array);
  const shape = perm.map((axis) => array.shape[axis]!);
  const strides = array.shape.map((_, axis) => array.shape.slice(axis + 1).reduce((product, size) => product * size, 1));
  const data = new Float32Array(source.length);
  const at = new Array<number>(shape.length).fill(0);
  for (let index = 0; index < data.length; index++) {
    let from = 0;
    for (let axis = 0; axis < perm.length; axis++) from += at[axis]! * strides[perm[axis]!]!;
    data[index] = source[from]!;
    for (let axis = shape.length - 1; axis >= 0 && ++at[axis]! === shape[axis]; axis--) at[axis] = 0;
  }
  return { dtype: 'float32', shape, data };
}
