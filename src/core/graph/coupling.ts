import { indexOf, type GraphNode, type ModelGraph } from './modelGraph';
import { isBarrier, type AxisRef, type Relation, type ShapeContext } from './ops/operator';
import { familyOf } from './ops/registry';
import { standInsOf } from './standIns';

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
  /** The layer that wants it so; undefined for what belongs to none. */
  readonly layer?: string;
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

/** One relation between two axes of a node's values and tensors. */
export interface Tie {
  readonly node: GraphNode;
  readonly a: AxisRef;
  readonly b: AxisRef;
  readonly aKey: string;
  readonly bKey: string;
  readonly outer: number;
  readonly inner: number;
  readonly offset: number;
  readonly rank: number;
  /** Size of axis a; undefined when it is not known, and then nothing can be mapped. */
  readonly size: number | undefined;
}

/** Ties that cover the same part of one axis: a merged or split axis and those it is made of. Any one of them is enough. */
export interface Cover {
  readonly b: AxisRef;
  readonly bKey: string;
  readonly ties: readonly Tie[];
  /** The one through which an index that none covers drags its block along. */
  readonly chosen: Tie;
}

export interface CouplingGraph {
  readonly ties: ReadonlyMap<string, readonly Tie[]>;
  readonly covers: ReadonlyMap<Tie, Cover>;
  readonly barriers: ReadonlyMap<string, Block>;
  size(ref: AxisRef): number | undefined;
}

const couplings = new WeakMap<ModelGraph, CouplingGraph>();

export function couplingOf(graph: ModelGraph): CouplingGraph {
  let coupling = couplings.get(graph);
  if (!coupling) couplings.set(graph, (coupling = buildCoupling(graph)));
  return coupling;
}

/** Follows a removal through the whole graph. Nothing is changed; `blocked` says whether it may be done. */
export function coupledRemoval(graph: ModelGraph, start: Iterable<{ ref: AxisRef; indices: Iterable<number> }>): Removal {
  const spread = new Spread(couplingOf(graph));
  for (const { ref, indices } of start) spread.remove(ref, indices);
  spread.settle();
  return { removed: spread.removed, blocked: [...spread.blocked.values()] };
}

/** A removal on its way: a work list over ties, until every tie is satisfied. */
class Spread {
  readonly removed = new AxisSets();
  readonly blocked = new Map<string, Block>();
  private readonly queue: { ref: AxisRef; indices: number[] }[] = [];
  private readonly touched = new Set<Cover>();

  constructor(private readonly coupling: CouplingGraph) {}

  remove(ref: AxisRef, indices: Iterable<number>): void {
    const added = this.removed.add(ref, indices);
    if (added.length === 0) return;
    const barrier = this.coupling.barriers.get(keyOf(ref));
    if (barrier) this.block(barrier);
    const size = this.coupling.size(ref);
    if (size !== undefined && this.removed.get(ref)!.size >= size) this.block({ at: ref, reason: nothingLeft });
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
    if (tie.size === undefined) return this.block({ at: from, reason: unknownSize, layer: tie.node.layer });
    this.touched.add(this.coupling.covers.get(tie)!);
    if (sameAxis(from, tie.a)) this.remove(tie.b, indices.flatMap((index) => image(tie, index)));
    // Backwards an index goes only when all that it became is gone: flattening [C, H, W] ties the flat axis to three axes,
    // and a removed channel must not drag every row of pixels along.
    if (sameAxis(from, tie.b)) {
      const gone = this.removed.get(from)!;
      const candidates = new Set(indices.map((index) => preimage(tie, index)).filter((index) => index >= 0));
      this.remove(tie.a, [...candidates].filter((index) => image(tie, index).every((target) => gone.has(target))));
    }
  }

  /** A removed index that is only part of what some axis ties together drags that whole block along. */
  private completeBlocks(): void {
    for (const { b, ties, chosen } of this.touched) {
      const gone = this.removed.get(b);
      if (!gone) continue;
      const sets = ties.map((tie) => ({ tie, gone: this.removed.get(tie.a) }));
      const loose = [...gone].filter((index) => preimage(chosen, index) >= 0 && !sets.some(({ tie, gone: own }) => own?.has(preimage(tie, index))));
      if (loose.length) this.remove(chosen.a, new Set(loose.map((index) => preimage(chosen, index))));
    }
  }

  private block(block: Block): void {
    const key = keyOf(block.at);
    if (!this.blocked.has(key)) this.blocked.set(key, block);
  }
}

export const nothingLeft = 'nothing would be left of it';
export const unknownSize = 'the size of this axis is not known before the model runs';

function buildCoupling(graph: ModelGraph): CouplingGraph {
  const context = standInsOf(graph);
  const ties = new Map<string, Tie[]>();
  const sets = new Map<string, Tie[]>();
  const barriers = new Map<string, Block>();
  const inner = new Map<string, number>();
  const size = (ref: AxisRef): number | undefined => inner.get(keyOf(ref)) ?? context.facts(ref.value).shape?.[ref.axis] ?? undefined;
  const bar = (at: AxisRef, reason: string, layer?: string): void => void barriers.set(keyOf(at), { at, reason, ...(layer && { layer }) });
  const forbid = (value: string, reason: string, layer?: string): void => {
    const rank = context.facts(value).shape?.length ?? 0;
    for (let axis = 0; axis < rank; axis++) bar({ value, axis }, reason, layer);
  };
  for (const node of graph.nodes) {
    const relations = relationsOf(node, context);
    if (!relations) {
      const reason = `${describe(node)} is an operator through which Particlize cannot follow channels`;
      if (producesConstant(graph, node)) continue;
      for (const value of [...node.inputs, ...node.outputs]) if (value) forbid(value, reason, node.layer);
      continue;
    }
    for (const relation of relations) {
      if (isBarrier(relation)) {
        // The first operator that stops it says why.
        if (!barriers.has(keyOf(relation.a))) bar(relation.a, relation.reason, node.layer);
        continue;
      }
      if (relation.size !== undefined) inner.set(keyOf(relation.a), relation.size);
      const { a, b, outer = 1, inner: block = 1, offset = 0, rank = 0 } = relation;
      const tie: Tie = { node, a, b, aKey: keyOf(a), bKey: keyOf(b), outer, inner: block, offset, rank, size: relation.size ?? size(a) };
      for (const key of new Set([tie.aKey, tie.bKey])) {
        const list = ties.get(key);
        if (list) list.push(tie);
        else ties.set(key, [tie]);
      }
      // Axes of one value that a reshape folded into one share the work of covering it.
      const set = `${node.name}\0${a.value}\0${tie.bKey}\0${offset}`;
      const list = sets.get(set);
      if (list) list.push(tie);
      else sets.set(set, [tie]);
    }
  }
  for (const input of graph.inputs) forbid(input.name, `its channels are tied to the model's input ${input.name}`);
  // An output that other layers read on (models that show every layer) shrinks with them; removeAxes says so.
  const { consumers, producer } = indexOf(graph);
  for (const { name } of graph.outputs) if (!consumers.has(name)) forbid(name, `it is the model's output ${name}`, producer.get(name)?.layer);
  const fixed = fixedAxes({ ties, barriers, size }, [...sets.values()]);
  const covers = new Map<Tie, Cover>();
  for (const set of sets.values()) {
    const cover: Cover = { b: set[0]!.b, bKey: set[0]!.bKey, ties: set, chosen: cheapest(set.filter(({ aKey }) => !fixed.has(aKey))) ?? cheapest(set)! };
    for (const tie of set) covers.set(tie, cover);
  }
  return { ties, covers, barriers, size };
}

/** The tie that is to be taken first, or whose block is smallest, so that least goes along. */
function cheapest(ties: readonly Tie[]): Tie | undefined {
  return [...ties].sort((one, two) => one.rank - two.rank || one.outer * one.inner - two.outer * two.inner)[0];
}

/** Axes of which no index can go, because each would reach a barrier. */
function fixedAxes({ ties, barriers, size }: Pick<CouplingGraph, 'ties' | 'barriers' | 'size'>, sets: readonly (readonly Tie[])[]): ReadonlySet<string> {
  const setsOf = new Map<Tie, readonly Tie[]>(sets.flatMap((set) => set.map((tie) => [tie, set] as const)));
  const fixed = new Set(barriers.keys());
  const open = [...fixed];
  const fix = (key: string): void => {
    if (fixed.has(key)) return;
    fixed.add(key);
    open.push(key);
  };
  for (let key = open.pop(); key !== undefined; key = open.pop()) {
    for (const tie of ties.get(key) ?? []) {
      if (tie.bKey === key) fix(tie.aKey);
      const whole = tie.size !== undefined && tie.offset === 0 && tie.outer * tie.size * tie.inner === size(tie.b);
      if (tie.aKey === key && whole && setsOf.get(tie)!.every((one) => fixed.has(one.aKey))) fix(tie.bKey);
    }
  }
  return fixed;
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

/** The indices of axis b that one of axis a became. */
export function image(tie: Tie, index: number): number[] {
  const indices: number[] = [];
  for (let outer = 0; outer < tie.outer; outer++) {
    const start = tie.offset + (outer * tie.size! + index) * tie.inner;
    for (let inner = 0; inner < tie.inner; inner++) indices.push(start + inner);
  }
  return indices;
}

/** The index of axis a behind an index of axis b, or -1 when the tie does not reach it. */
export function preimage(tie: Tie, index: number): number {
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
