import { contextOf, inferShapes, type ShapeInference } from './inferShapes';
import type { Dim, GraphNode, ModelGraph, Shape, ValueInfo } from './modelGraph';
import { product } from './ops/axes';
import type { ShapeContext, ValueFacts } from './ops/operator';
import type { Tensor } from './tensor';

/** Facts in which every size that the model leaves open has a number that stands for it. */
export interface StandIns extends ShapeContext {
  /** Small integer contents with the same stand-ins (the target of a reshape that is computed when the model runs). */
  contents(value: string): readonly Dim[] | undefined;
  /** The same sizes for another version of the graph: facts of its nodes are added one by one. */
  again(tensors: ReadonlyMap<string, Tensor>, constants: ReadonlyMap<string, readonly Dim[]>): ShapeInference;
}

const known = new WeakMap<ModelGraph, StandIns>();

/**
 * A prime for each open size, which no size of the model is a multiple of, so that what a reshape does with batch and time
 * follows from numbers: [batch, 12] -> [batch * 3, 4] can only be read in one way. What cannot be inferred with them stays open.
 */
export function standInsOf(graph: ModelGraph): StandIns {
  let standIns = known.get(graph);
  if (!standIns) known.set(graph, (standIns = makeStandIns(graph)));
  return standIns;
}

function makeStandIns(graph: ModelGraph): StandIns {
  const plain = contextOf(graph);
  const tensors = [...graph.constants].filter(([name]) => graph.tensors.has(name));
  const infer = (inputs: readonly ValueInfo[], nodes: readonly GraphNode[]): ShapeInference =>
    inferShapes({ opset: graph.opset, tensors: graph.tensors, constants: new Map(tensors), inputs }, nodes);
  const open = graph.inputs.some(({ shape }) => shape?.includes(null));
  const primes = open ? primesFor(graph) : [];
  // Each input for itself first: sizes of two inputs that must agree show by rules that fail.
  const attempts = open ? [apart(graph.inputs, primes), byAxis(graph.inputs, primes)] : [graph.inputs];
  const tried = attempts.map((inputs) => ({ inputs, inference: infer(inputs, graph.nodes) }));
  let best = tried.reduce((least, one) => (one.inference.failures.length < least.inference.failures.length ? one : least));
  for (let round = 0; open && round < 8; round++) {
    const equal = forcedSize(graph, best.inference, primes);
    if (!equal) break;
    const inputs = best.inputs.map((input) => ({ ...input, shape: input.shape?.map((dim) => (dim === equal.standIn ? equal.size : dim)) }));
    best = { inputs, inference: infer(inputs, graph.nodes) };
  }
  const { inputs, inference } = best;
  return {
    opset: graph.opset,
    isConstant: (value) => plain.isConstant(value),
    facts(value): ValueFacts {
      const facts = plain.facts(value);
      return { ...facts, shape: filled(facts.shape, inference.facts(value).shape) };
    },
    contents: (value) => inference.constants.get(value) ?? graph.constants.get(value),
    again: (newTensors, constants) => inferShapes({ opset: graph.opset, tensors: newTensors, constants, inputs }, []),
  };
}

/**
 * An open size that a reshape leaves no choice about: [time, batch, 12] made [5, batch * 3, 4] says that time is 5, whatever
 * the model declares, and [others, keys, 12] made [batch * 3, keys, 4] that there are as many others as there are in the batch.
 */
function forcedSize(graph: ModelGraph, inference: ShapeInference, primes: readonly number[]): { readonly standIn: number; readonly size: number } | undefined {
  const declared = new Set(graph.inputs.flatMap(({ name, shape }) => (inference.facts(name).shape ?? []).filter((dim, axis) => dim !== null && shape?.[axis] === null)));
  for (const node of graph.nodes) {
    if (node.op !== 'Reshape' || node.domain) continue;
    const [have, want] = [inference.facts(node.inputs[0] ?? '').shape, inference.facts(node.outputs[0] ?? '').shape].map((shape) => shape && product(shape));
    if (!have || !want || have === want) continue;
    const standIn = primes.find((prime) => declared.has(prime) && have % prime === 0 && want % prime !== 0);
    const size = standIn === undefined ? NaN : (want / have) * standIn;
    if (standIn !== undefined && Math.abs(size - Math.round(size)) < 1e-6 && size >= 1) return { standIn, size: Math.round(size) };
  }
  return undefined;
}

/** Known sizes as they are, open ones with their stand-ins. */
function filled(shape: Shape | undefined, numbers: Shape | undefined): Shape | undefined {
  if (!shape || numbers?.length !== shape.length) return shape ?? numbers;
  return shape.map((dim, axis) => dim ?? numbers[axis]!);
}

function apart(inputs: readonly ValueInfo[], primes: readonly number[]): readonly ValueInfo[] {
  let next = 0;
  return inputs.map((input) => ({ ...input, shape: input.shape?.map((dim) => dim ?? primes[next++ % primes.length]!) }));
}

/** The first axis of all inputs is the batch, the second the time. */
function byAxis(inputs: readonly ValueInfo[], primes: readonly number[]): readonly ValueInfo[] {
  return inputs.map((input) => ({ ...input, shape: input.shape?.map((dim, axis) => dim ?? primes[axis % primes.length]!) }));
}

/** Small, as indices of axes that contain them are listed; and no divisor of a size that the model knows. */
function primesFor(graph: ModelGraph): readonly number[] {
  const sizes = new Set<number>();
  for (const { shape } of [...graph.values.values(), ...graph.tensors.values()]) for (const dim of shape ?? []) if (dim) sizes.add(dim);
  for (const contents of graph.constants.values()) if (contents.length <= 8) for (const entry of contents) if (entry && entry > 1) sizes.add(entry);
  const wanted = Math.min(64, graph.inputs.reduce((count, { shape }) => count + (shape?.filter((dim) => dim === null).length ?? 0), 0));
  const free = candidates.filter((prime) => [...sizes].every((size) => size % prime !== 0));
  // Models with very many different sizes: then no more can be told than without stand-ins.
  return free.length >= wanted ? free : candidates;
}

const candidates: readonly number[] = Array.from({ length: 600 }, (_, index) => index + 11)
  .filter((number) => Array.from({ length: 24 }, (_, k) => k + 2).every((divisor) => divisor * divisor > number || number % divisor !== 0));
