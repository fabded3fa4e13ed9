import { indexOf, type GraphNode, type ModelGraph } from '../graph/modelGraph';
import { isBarrier, type AxisRef, type Relation, type ShapeContext } from '../graph/ops/operator';
import { familyOf } from '../graph/ops/registry';
import { contextOf } from '../graph/inferShapes';

/**
 * What removing indices of some axes entails everywhere else: slices that go together because operators tie their axes
 * (DepGraph, Fang et al. 2023, at the level of single indices and of any operator's flow rule).
 */
export interface Removal {
  /** Indices that go, by axis; every tensor and value axis that shrinks is in it. */
  readonly removed: AxisSets;
  /** Places where the removal meets something that must keep its size. */
  readonly blocked: readonly Block[];
}

export interface Block {
  readonly at: AxisRef;
  readonly reason: string;
}

/** Sets of indices by axis. */
export class AxisSets {
  private readonly sets = new Map<string, { ref: AxisRef; indices: Set<number> }>();

  get(ref: AxisRef): ReadonlySet<number> | undefined {
    return this.sets.get(keyOf(ref))?.indices;
  }

  /** Adds indices and returns those that are new. */
  add(ref: AxisRef, indices: Iterable<number>): number[] {
    const key = keyOf(ref);
    let entry = this.sets.get(key);
    if (!entry) this.sets.set(key, (entry = { ref, indices: new Set() }));
    const added: number[] = [];
    for (const index of indices) {
      if (entry.indices.has(index)) continue;
      entry.indices.add(index);
      added.push(index);
    }
    return added;
  }

  *[Symbol.iterator](): IterableIterator<{ readonly ref: AxisRef; readonly indices: ReadonlySet<number> }> {
    yield* this.sets.values();
  }
}

interface Tie {
  readonly node: string;
  readonly relation: Relation;
  readonly outer: number;
  readonly inner: number;
  readonly offset: number;
  /** Size of axis a; undefined when it is not known, and then nothing can be mapped. */
  readonly size: number | undefined;
}

interface CouplingGraph {
  readonly ties: ReadonlyMap<string, readonly Tie[]>;
  readonly barriers: ReadonlyMap<string, string>;
  size(ref: AxisRef): number | undefined;
}

const couplings = new WeakMap<ModelGraph, CouplingGraph>();

/** Follows a removal through the whole graph. Nothing is changed; `blocked` says whether it may be done. */
export function coupledRemoval(graph: ModelGraph, start: Iterable<{ ref: AxisRef; indices: Iterable<number> }>): Removal {
  let coupling = couplings.get(graph);
  if (!coupling) couplings.set(graph, (coupling = buildCoupling(graph)));
  const spread = new Spread(coupling);
  for (const { ref, indices } of start) spread.remove(ref, indices);
  spread.settle();
  return { removed: spread.removed, blocked: [...spread.blocked.values()] };
}

/** A removal on its way: a work list over ties, until every tie is satisfied. */
class Spread {
  readonly removed = new AxisSets();
  readonly blocked = new Map<string, Block>();
  private readonly queue: { ref: AxisRef; indices: number[] }[] = [];
  private readonly touched = new Set<Tie>();

  constructor(private readonly coupling: CouplingGraph) {}

  remove(ref: AxisRef, indices: Iterable<number>): void {
    const added = this.removed.add(ref, indices);
    if (added.length === 0) return;
    const reason = this.coupling.barriers.get(keyOf(ref));
    if (reason) this.block(ref, reason);
    const size = this.coupling.size(ref);
    if (size !== undefined && this.removed.get(ref)!.size >= size) this.block(ref, 'nothing would be left of it');
    this.queue.push({ ref, indices: added });
  }

  settle(): void {
    do {
      for (let item = this.queue.shift(); item; item = this.queue.shift()) {
        for (const tie of this.coupling.ties.get(keyOf(item.ref)) ?? []) this.follow(tie, item.ref, item.indices);
      }
      this.completeBlocks();
    } while (this.queue.length > 0);
  }

  private follow(tie: Tie, from: AxisRef, indices: readonly number[]): void {
    if (tie.size === undefined) return this.block(from, 'the size of this axis is not known before the model runs');
    this.touched.add(tie);
    if (sameAxis(from, tie.relation.a)) this.remove(tie.relation.b, indices.flatMap((index) => image(tie, index)));
    // Backwards an index goes only when all that it became is gone: flattening [C, H, W] ties the flat axis to three axes,
    // and a removed channel must not drag every row of pixels along.
    if (sameAxis(from, tie.relation.b)) {
      const gone = this.removed.get(from)!;
      const candidates = new Set(indices.map((index) => preimage(tie, index)).filter((index) => index >= 0));
      this.remove(tie.relation.a, [...candidates].filter((index) => image(tie, index).every((target) => gone.has(target))));
    }
  }

  /** A removed index that is only part of what some axis ties together drags that whole block along. */
  private completeBlocks(): void {
    const groups = new Map<string, Tie[]>();
    for (const tie of this.touched) {
      // Axes of one value that a reshape folded into one share the work of covering it.
      const key = `${tie.node}\0${tie.relation.a.value}\0${keyOf(tie.relation.b)}\0${tie.offset}`;
      groups.set(key, [...(groups.get(key) ?? []), tie]);
    }
    for (const ties of groups.values()) {
      const { b } = ties[0]!.relation;
      const gone = this.removed.get(b);
      if (!gone) continue;
      const covered = new Set<number>();
      for (const tie of ties) for (const index of this.removed.get(tie.relation.a) ?? []) for (const target of image(tie, index)) covered.add(target);
      const loose = [...gone].filter((index) => !covered.has(index) && preimage(ties[0]!, index) >= 0);
      if (loose.length === 0) continue;
      const cheapest = ties
        .map((tie) => ({ tie, indices: [...new Set(loose.map((index) => preimage(tie, index)))] }))
        .sort((one, two) => one.indices.length * one.tie.outer * one.tie.inner - two.indices.length * two.tie.outer * two.tie.inner)[0]!;
      this.remove(cheapest.tie.relation.a, cheapest.indices);
    }
  }

  private block(at: AxisRef, reason: string): void {
    const key = keyOf(at);
    if (!this.blocked.has(key)) this.blocked.set(key, { at, reason });
  }
}

function buildCoupling(graph: ModelGraph): CouplingGraph {
  const context = contextOf(graph);
  const ties = new Map<string, Tie[]>();
  const barriers = new Map<string, string>();
  const size = ({ value, axis }: AxisRef): number | undefined => context.facts(value).shape?.[axis] ?? undefined;
  const forbid = (value: string, reason: string): void => {
    const rank = context.facts(value).shape?.length ?? 0;
    for (let axis = 0; axis < rank; axis++) barriers.set(keyOf({ value, axis }), reason);
  };
  for (const node of graph.nodes) {
    const relations = relationsOf(node, context);
    if (!relations) {
      const reason = `${describe(node)} is an operator through which Particlize cannot follow channels`;
      if (producesConstant(graph, node)) continue;
      for (const value of [...node.inputs, ...node.outputs]) if (value) forbid(value, reason);
      continue;
    }
    for (const relation of relations) {
      if (isBarrier(relation)) {
        barriers.set(keyOf(relation.a), relation.reason);
        continue;
      }
      const { outer = 1, inner = 1, offset = 0 } = relation;
      const tie: Tie = { node: node.name, relation, outer, inner, offset, size: size(relation.a) };
      for (const ref of [relation.a, relation.b]) {
        const list = ties.get(keyOf(ref));
        if (list) list.push(tie);
        else ties.set(keyOf(ref), [tie]);
      }
    }
  }
  for (const input of graph.inputs) forbid(input.name, `it is the model's input ${input.name}`);
  // An output that other layers read on (models that show every layer) shrinks with them; removeAxes says so.
  const { consumers } = indexOf(graph);
  for (const output of graph.outputs) if (!consumers.has(output.name)) forbid(output.name, `it is the model's output ${output.name}`);
  return { ties, barriers, size };
}

/** Undefined without a rule, and where the rule cannot make sense of a damaged node: both are barriers. */
function relationsOf(node: GraphNode, context: ShapeContext): readonly Relation[] | undefined {
  try {
    return familyOf(node)?.flow?.(node, context);
  } catch {
    return undefined;
  }
}

/** Shape arithmetic follows by itself: its results are computed anew from the smaller shapes. */
function producesConstant(graph: ModelGraph, node: GraphNode): boolean {
  return node.outputs.every((output) => graph.constants.has(output));
}

function image(tie: Tie, index: number): number[] {
  const indices: number[] = [];
  for (let outer = 0; outer < tie.outer; outer++) {
    const start = tie.offset + (outer * tie.size! + index) * tie.inner;
    for (let inner = 0; inner < tie.inner; inner++) indices.push(start + inner);
  }
  return indices;
}

/** The index of axis a behind an index of axis b, or -1 when the tie does not reach it. */
function preimage(tie: Tie, index: number): number {
  const position = index - tie.offset;
  if (position < 0 || position >= tie.outer * tie.size! * tie.inner) return -1;
  return Math.floor(position / tie.inner) % tie.size!;
}

function describe(node: GraphNode): string {
  return `${node.op} (${node.layer || node.name})`;
}

export function keyOf({ value, axis }: AxisRef): string {
  return `${value}\0${axis}`;
}

function sameAxis(one: AxisRef, two: AxisRef): boolean {
  return one.value === two.value && one.axis === two.axis;
}

/** The layer in which a value or tensor lives, for messages. */
export function layerOfValue(graph: ModelGraph, value: string): string | undefined {
  const { producer, consumers } = indexOf(graph);
  return (producer.get(value) ?? consumers.get(value)?.[0])?.layer;
}
