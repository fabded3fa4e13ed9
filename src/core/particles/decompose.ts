import { contextOf } from '../graph/inferShapes';
import { indexOf, type GraphIndex, type GraphNode, type ModelGraph } from '../graph/modelGraph';
import { isBarrier, type AxisRef, type ParticleRule, type Relation, type ShapeContext, type WeightSlice } from '../graph/ops/operator';
import { familyOf } from '../graph/ops/registry';
import { standInsOf } from '../graph/standIns';
import { plainAct, type Act, type ParticleGroup, type Placement } from './particle';
import { ParticleTable } from './particleTable';
import { recogniseAttention, type RecognisedAttention } from './recogniseAttention';

/**
 * Takes a model apart: one group of particles for each operator that has some. What follows an operator channel by
 * channel (bias, normalisation, activation, pooling) belongs to its particles; they act where that ends.
 */
export function decompose(graph: ModelGraph): ParticleTable {
  const walk = new Walk(graph);
  const merged = new Map<string, Found>();
  const attention = attentionBy(recogniseAttention(graph));
  for (const node of graph.nodes) {
    const heads = attention.get(node);
    if (heads) {
      // Queries, keys and values are the inside of heads: what goes is a head.
      if (!merged.has(heads.node.name)) merged.set(heads.node.name, walk.heads(heads));
      continue;
    }
    const rule = walk.judged(() => familyOf(node)?.particles?.(node, walk.context));
    if (!rule || rule.count <= 0) continue;
    const found = walk.follow(node, rule);
    // Operators that share their weights (a tower used twice) are the same particles, acting in several places.
    const key = `${found.slices[0]?.tensor ?? node.name}\0${found.slices[0]?.axis ?? 0}`;
    const twin = merged.get(key);
    merged.set(key, twin ? { ...twin, acts: distinct([...twin.acts, ...found.acts]), slices: distinctSlices([...twin.slices, ...found.slices]) } : found);
  }
  const names = groupNames(graph, [...merged.values()]);
  const groups: ParticleGroup[] = [];
  let firstRow = 0;
  for (const { node, rule, acts, slices } of merged.values()) {
    groups.push({
      layer: names.get(node)!, kind: rule.kind, count: rule.count, firstRow, acts, slices,
      producer: { value: rule.output, axis: rule.axis },
    });
    firstRow += rule.count;
  }
  return new ParticleTable(groups);
}

/** Recognised attention by the projections that it takes the particles of. */
function attentionBy(found: readonly RecognisedAttention[]): ReadonlyMap<GraphNode, RecognisedAttention> {
  return new Map(found.flatMap((one) => one.projections.map((node) => [node, one] as const)));
}

interface Found {
  /** The layer, where it is not the node's. */
  readonly layer?: string;
  readonly node: GraphNode;
  readonly rule: ParticleRule;
  readonly acts: readonly Act[];
  readonly slices: readonly WeightSlice[];
}

/** Layer names; the second particle-bearing operator of one layer gets a number, the first keeps the name. */
function groupNames(graph: ModelGraph, found: readonly Found[]): Map<GraphNode, string> {
  const taken = new Set(graph.layers.map((layer) => layer.name));
  const seen = new Set<string>();
  const names = new Map<GraphNode, string>();
  for (const { node, layer = node.layer } of found) {
    let name = layer;
    for (let number = 1; seen.has(name) || (name !== layer && taken.has(name)); number++) name = `${layer}.${number}`;
    seen.add(name);
    names.set(node, name);
  }
  return names;
}

class Walk {
  readonly context: ShapeContext;
  private readonly index: GraphIndex;
  private readonly outputs: ReadonlySet<string>;
  private readonly order: ReadonlyMap<GraphNode, number>;
  private readonly flows = new Map<GraphNode, readonly Relation[]>();

  constructor(private readonly graph: ModelGraph) {
    this.context = contextOf(graph);
    this.index = indexOf(graph);
    this.order = new Map(graph.nodes.map((node, index) => [node, index]));
    this.outputs = new Set(graph.outputs.map((output) => output.name));
  }

  /** From the producer through every operator that keeps channels apart, to where they are mixed. */
  follow(node: GraphNode, rule: ParticleRule): Found {
    const slices: WeightSlice[] = rule.slices.flatMap((slice) =>
      this.storedSlices({ value: slice.tensor, axis: slice.axis }, slice.role).map((stored) => ({ ...slice, ...stored })));
    const starts: Act[] = [{ value: rule.output, axis: rule.axis }, ...rule.others ?? []];
    const region = new Map<string, Act>(starts.map((ref) => [ref.value, ref]));
    const before = new Map<string, Act>();
    const mixing = new Set<GraphNode>();
    const open = new Set(starts.flatMap(({ value }) => this.index.consumers.get(value) ?? []));
    // In the graph's order, so that an operator is judged when all of its operands have been (x * sigmoid(x)).
    for (let next = this.first(open); next; next = this.first(open)) {
      open.delete(next);
      const step = this.channelwise(next, region) ?? this.moved(next, region, rule.count);
      if (!step) {
        mixing.add(next);
        continue;
      }
      const source = next.inputs.flatMap((input) => region.get(input) ?? [])[0]!;
      if (rearranging.has(next.op)) for (const { value } of step.to) before.set(value, source);
      slices.push(...step.slices);
      for (const ref of step.to) {
        region.set(ref.value, ref);
        for (const consumer of this.index.consumers.get(ref.value) ?? []) open.add(consumer);
      }
    }
    const acts = [...region.values()].filter(({ value }) => this.outputs.has(value)
      || this.index.consumers.get(value)?.some((consumer) => mixing.has(consumer) && !sizeOnly.has(consumer.op)));
    // What is only moved about acts where it was before.
    const back = (act: Act): Act => (act.placed && before.has(act.value) ? back(before.get(act.value)!) : act);
    return { node, rule, acts: distinct(acts.map(back)), slices: distinctSlices(slices) };
  }

  heads({ node, layer, count, producer, acts, slices }: RecognisedAttention): Found {
    const rule: ParticleRule = { kind: 'head', count, output: producer.value, axis: producer.axis, slices };
    const stored = slices.flatMap((slice) => this.storedSlices({ value: slice.tensor, axis: slice.axis }, slice.role).map((own) => ({ ...slice, ...own })));
    return { node, layer, rule, acts, slices: distinctSlices(stored) };
  }

  private first(nodes: ReadonlySet<GraphNode>): GraphNode | undefined {
    let best: GraphNode | undefined;
    for (const node of nodes) if (!best || this.order.get(node)! < this.order.get(best)!) best = node;
    return best;
  }

  /** Where channels go on by themselves, and what belongs to them there; undefined when the operator mixes channels. */
  private channelwise(
    node: GraphNode, region: ReadonlyMap<string, Act>,
  ): { to: Act[]; slices: WeightSlice[] } | undefined {
    const inputs = node.inputs.filter(Boolean);
    const constants = inputs.filter((input) => this.context.isConstant(input));
    const sources = inputs.filter((input) => !constants.includes(input)).map((input) => region.get(input));
    if (!sources.length || !sources.every((source) => source !== undefined)) return undefined;
    const relations = this.flowOf(node);
    if (!relations || sources.some((at) => relations.some((relation) => isBarrier(relation) && same(relation.a, at)))) return undefined;
    const outputs = node.outputs.filter((output) => output && (this.index.consumers.has(output) || this.outputs.has(output)));
    const placed = sources[0]!.placed;
    // Every operand must bring the channels to the same places of the same axis.
    if (!sources.every((at) => samePlaces(at!.placed, placed))) return undefined;
    const to = outputs.map((output): Act | undefined => {
      const reached = sources.map((at) => this.reached(relations, at!, this.sizeOf(at!)).find(({ value }) => value === output));
      return reached[0] && reached.every((ref) => ref?.axis === reached[0]!.axis) ? { ...reached[0], ...(placed && { placed }) } : undefined;
    });
    if (!to.length || !to.every((ref) => ref !== undefined)) return undefined;
    // A depthwise kernel is a particle itself: the channel passes through it, its weights stay its own.
    if (this.judged(() => familyOf(node)?.particles?.(node, this.context))) return { to, slices: [] };
    // Behind a concatenation a norm's weights are those of several layers.
    if (placed) return { to, slices: [] };
    const role = adding.has(node.op) ? 'bias' : 'norm';
    const slices = to.flatMap((ref) => this.reached(relations, ref, this.sizeOf(ref)))
      .filter(({ value }) => constants.includes(value))
      .flatMap((ref) => this.storedSlices(ref, role));
    return { to, slices };
  }

  /** Where an operator that only moves elements puts the channels: a block of a flattened axis, a stretch of a concatenated one. */
  private moved(node: GraphNode, region: ReadonlyMap<string, Act>, count: number): { to: Act[]; slices: WeightSlice[] } | undefined {
    const [output] = node.outputs;
    const sources = node.inputs.flatMap((input) => region.get(input) ?? []);
    const [at] = sources;
    if (!moving.has(node.op) || sources.length !== 1 || !at || !output || !(this.index.consumers.has(output) || this.outputs.has(output))) return undefined;
    const onward = (this.flowOf(node) ?? []).filter((relation) => !isBarrier(relation) && same(relation.a, at) && relation.b.value === output);
    const [tie] = onward;
    const size = this.sizeOf(at);
    if (onward.length !== 1 || !tie || size === undefined) return undefined;
    // Joined along another axis, the same place holds other particles too.
    if (node.op === 'Concat' && tie.offset === undefined) return undefined;
    const { offset, block, outer, every, from } = at.placed ?? { offset: 0, block: 1, outer: 1, every: count, from: plainAct(at) };
    const { outer: times = 1, inner = 1, offset: shift = 0 } = tie;
    // Repeats of repeats have no one distance.
    if ((outer > 1 && times > 1) || (!at.placed && size !== count)) return undefined;
    return {
      slices: [],
      to: [{
        ...tie.b,
        placed: { offset: shift + offset * inner, block: block * inner, outer: outer * times, every: (times > 1 ? size : every) * inner, from },
      }],
    };
  }

  /** Axes tied to this one, index by index. */
  private reached(relations: readonly Relation[], at: AxisRef, count: number | undefined): AxisRef[] {
    return relations.filter(isPlain).flatMap(({ a, b }) => {
      const other = same(a, at) ? b : same(b, at) ? a : undefined;
      return other && count !== undefined && this.sizeOf(other) === count ? [other] : [];
    });
  }

  /** The tensors behind a constant: itself, or what it is made of by operators that keep the axis. */
  private storedSlices(ref: AxisRef, role: WeightSlice['role']): WeightSlice[] {
    if (this.graph.tensors.has(ref.value)) return [{ tensor: ref.value, axis: ref.axis, role }];
    const node = this.index.producer.get(ref.value);
    const count = this.sizeOf(ref);
    const relations = node && this.flowOf(node);
    if (!node || !relations || count === undefined) return [];
    return this.reached(relations, ref, count)
      .filter(({ value }) => node.inputs.includes(value))
      .flatMap((source) => this.storedSlices(source, role));
  }

  /** What a rule says; nothing of an operator that contradicts itself (an axis that its input does not have). */
  judged<Result>(rule: () => Result): Result | undefined {
    try {
      return rule();
    } catch (error) {
      if (error instanceof RangeError) return undefined;
      throw error;
    }
  }

  private flowOf(node: GraphNode): readonly Relation[] | undefined {
    let relations = this.flows.get(node);
    if (!relations) {
      // Only with numbers for open sizes is it clear what a reshape does with batch and time.
      relations = this.judged(() => familyOf(node)?.flow?.(node, standInsOf(this.graph)));
      if (relations) this.flows.set(node, relations);
    }
    return relations;
  }

  private sizeOf({ value, axis }: AxisRef): number | undefined {
    return this.context.facts(value).shape?.[axis] ?? undefined;
  }
}

const adding = new Set(['Add', 'Sub', 'Sum', 'FastGelu', 'BiasGelu']);

/** Operators that put channels to other places. */
const moving = new Set(['Concat', 'Flatten', 'Reshape']);
/** Operators that change no element. */
const rearranging = new Set([...moving, 'Transpose', 'Squeeze', 'Unsqueeze', 'Identity', 'Dropout']);

/** Reading a size is not reading channels. */
const sizeOnly = new Set(['Shape', 'Size']);

function isPlain({ outer = 1, inner = 1, offset = 0, ...relation }: Relation): boolean {
  return outer === 1 && inner === 1 && offset === 0 && !('reason' in relation);
}

function same(one: AxisRef, two: AxisRef): boolean {
  return one.value === two.value && one.axis === two.axis;
}

function samePlaces(one: Placement | undefined, two: Placement | undefined): boolean {
  return one === two || (one !== undefined && two !== undefined
    && one.offset === two.offset && one.block === two.block && one.outer === two.outer && one.every === two.every);
}

function distinct(refs: readonly Act[]): Act[] {
  return refs.filter((ref, index) => refs.findIndex((other) => same(ref, other)) === index);
}

/** A recurrent layer's own weights are sliced along two axes. */
function distinctSlices(slices: readonly WeightSlice[]): WeightSlice[] {
  return slices.filter((slice, index) =>
    slices.findIndex((other) => other.tensor === slice.tensor && other.axis === slice.axis) === index);
}
