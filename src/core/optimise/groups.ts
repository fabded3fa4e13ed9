import { intOf } from '../graph/attributes';
import { coupledClasses, type CoupledClasses } from '../graph/coupledClasses';
import { couplingOf, keyOf, nothingLeft, unknownSize, type Block, type Tie } from '../graph/coupling';
import { contextOf } from '../graph/inferShapes';
import { indexOf, type GraphNode, type ModelGraph } from '../graph/modelGraph';
import type { ParticleGroup } from '../particles/particle';
import { particleRemoval } from '../particles/particleRemoval';
import type { ParticleTable } from '../particles/particleTable';
import { blockedReason } from './removal';

/** Particles that can only go together: the unit of removal. Most often one of each layer of its coupling group. */
export interface Bundle {
  /** In ascending order; its first row names it. */
  readonly rows: readonly number[];
  /** Why it has to stay, in the user's words; undefined when it may go. */
  readonly stays?: string;
}

/** Layers whose particles must go together, index by index. */
export interface CouplingGroup {
  readonly members: readonly ParticleGroup[];
  /** All units of removal; every row of every member is in exactly one. */
  readonly bundles: readonly Bundle[];
  /** Operators that tie its layers to each other, in the graph's order; empty for one layer by itself. */
  readonly ties: readonly GraphNode[];
  /** In a sentence: 'these 5 layers lose the same channels because of the sum layer1.0.add'. */
  readonly reason: string;
  /** Every operator that a removal changes, once for what it makes or passes on and once for what it only reads. */
  readonly operators: readonly GroupOperator[];
  /** Why none of it can be removed; undefined when some of it may. */
  readonly stays?: string;
}

export interface GroupOperator {
  readonly node: GraphNode;
  readonly role: 'makes' | 'passes' | 'reads';
}

export interface Coupling {
  readonly groups: readonly CouplingGroup[];
  bundleOf(row: number): Bundle;
  groupOf(row: number): CouplingGroup;
}

const couplings = new WeakMap<ParticleTable, { readonly graph: ModelGraph; readonly coupling: Coupling }>();

/** What goes together in a model, found once for a table (the dependency groups of DepGraph, Fang et al. 2023). */
export function couplingGroups(graph: ModelGraph, table: ParticleTable): Coupling {
  const known = couplings.get(table);
  if (known?.graph === graph) return known.coupling;
  const coupling = new Finder(graph, table).find();
  couplings.set(table, { graph, coupling });
  return coupling;
}

/** These rows and all that can only go together with them, ascending. */
export function closeOver(graph: ModelGraph, table: ParticleTable, rows: Iterable<number>): number[] {
  return [...new Set([...rows, ...particleRemoval(graph, table, rows).rows])].sort((one, two) => one - two);
}

class Finder {
  private readonly found: CoupledClasses;
  /** By class: why it stays. */
  private readonly stays: ReadonlyMap<number, string>;

  constructor(private readonly graph: ModelGraph, private readonly table: ParticleTable) {
    this.found = coupledClasses(graph, table.groups.map(({ producer, count }) => ({ ref: producer, count })));
    this.stays = this.barredClasses();
  }

  find(): Coupling {
    const { table, found: { classes } } = this;
    const bundles = new Map<number, number[]>();
    classes.forEach((own, row) => {
      const rows = bundles.get(own);
      if (rows) rows.push(row);
      else bundles.set(own, [row]);
    });
    // Layers that share a bundle are one group; so are all bundles of a layer.
    const head = new Map<ParticleGroup, ParticleGroup>(table.groups.map((group) => [group, group]));
    const headOf = (group: ParticleGroup): ParticleGroup => {
      let at = group;
      while (head.get(at) !== at) at = head.get(at)!;
      return at;
    };
    for (const rows of bundles.values()) {
      const first = headOf(table.groupOf(rows[0]!));
      for (const row of rows) {
        const own = headOf(table.groupOf(row));
        if (own !== headOf(first)) head.set(own, headOf(first));
      }
    }
    const members = new Map<ParticleGroup, ParticleGroup[]>();
    for (const group of table.groups) members.set(headOf(group), [...members.get(headOf(group)) ?? [], group]);
    const own = new Map<ParticleGroup, Bundle[]>([...members.keys()].map((group) => [group, []]));
    const bundleByRow = new Array<Bundle>(classes.length);
    for (const [root, rows] of bundles) {
      const stays = this.stays.get(root);
      const bundle: Bundle = { rows, ...(stays !== undefined && { stays }) };
      own.get(headOf(table.groupOf(rows[0]!)))!.push(bundle);
      for (const row of rows) bundleByRow[row] = bundle;
    }
    const operators = this.operatorsByGroup(headOf);
    const ties = this.tiesByGroup(headOf);
    const groups = new Map([...members].map(([group, list]) => [group, this.describe(list, own.get(group)!, operators.get(group) ?? [], ties.get(group) ?? [])]));
    return {
      groups: [...groups.values()],
      bundleOf: (row) => bundleByRow[row] ?? outside(row),
      groupOf: (row) => groups.get(headOf(table.groupOf(row)))!,
    };
  }

  private describe(members: readonly ParticleGroup[], bundles: readonly Bundle[], operators: readonly GroupOperator[], ties: readonly GraphNode[]): CouplingGroup {
    const stays = bundles.every((bundle) => bundle.stays !== undefined) ? bundles[0]?.stays : undefined;
    const blocks = [...new Set(bundles.flatMap(({ rows }) => [...this.found.blocks.get(this.found.classes[rows[0]!]!) ?? []]))];
    const single = members.length === 1;
    return {
      members, bundles, operators, ties: single ? blocks : ties,
      reason: single ? this.single(members[0]!, bundles, blocks) : this.several(members, ties.length ? ties : blocks),
      ...(stays !== undefined && { stays }),
    };
  }

  private single({ layer, kind }: ParticleGroup, bundles: readonly Bundle[], blocks: readonly GraphNode[]): string {
    const largest = Math.max(...bundles.map(({ rows }) => rows.length));
    if (largest === 1) return `each ${kind} of ${layer} can go by itself`;
    return `the ${kind}s of ${layer} go in blocks of ${largest}${because(this.graph, blocks)}`;
  }

  private several(members: readonly ParticleGroup[], ties: readonly GraphNode[]): string {
    const kinds = new Set(members.map(({ kind }) => kind));
    const what = kinds.size === 1 ? words[members[0]!.kind] : 'channels';
    return `these ${members.length} layers lose the same ${what}${because(this.graph, ties)}`;
  }

  /** Operators on which a group's classes lie. */
  private operatorsByGroup(headOf: (group: ParticleGroup) => ParticleGroup): Map<ParticleGroup, GroupOperator[]> {
    const { graph, table, found } = this;
    const heads = (value: string): Set<ParticleGroup> => {
      const result = new Set<ParticleGroup>();
      for (let axis = 0; axis < (contextOf(graph).facts(value).shape?.length ?? 0); axis++) {
        const labels = found.axes.get(keyOf({ value, axis }))?.classes;
        if (!labels) continue;
        // A class is named by its first row. One class stands for the others of its group, so each is looked up once.
        let before = -1;
        for (const label of labels) {
          if (label < 0 || label === before) continue;
          before = label;
          result.add(headOf(table.groupOf(label)));
        }
      }
      return result;
    };
    const context = contextOf(graph);
    const makers = new Set(table.groups.map(({ producer }) => indexOf(graph).producer.get(producer.value)));
    const operators = new Map<ParticleGroup, GroupOperator[]>();
    const add = (group: ParticleGroup, operator: GroupOperator): void => void operators.set(group, [...operators.get(group) ?? [], operator]);
    for (const node of graph.nodes) {
      if (node.outputs.every((output) => context.isConstant(output) || graph.constants.has(output))) continue;
      const out = new Set(node.outputs.filter(Boolean).flatMap((output) => [...heads(output)]));
      const read = new Set(node.inputs.filter((input) => input && !context.isConstant(input)).flatMap((input) => [...heads(input)]));
      for (const group of out) add(group, { node, role: makers.has(node) ? 'makes' : 'passes' });
      for (const group of read) if (!out.has(group)) add(group, { node, role: 'reads' });
    }
    return operators;
  }

  /** Operators at which what different layers make comes together, by following values forwards. */
  private tiesByGroup(headOf: (group: ParticleGroup) => ParticleGroup): Map<ParticleGroup, GraphNode[]> {
    const { graph, table, found } = this;
    const coupling = couplingOf(graph);
    const origin = new Map<string, ParticleGroup>();
    const joined = new Map<ParticleGroup, ParticleGroup>(table.groups.map((group) => [group, group]));
    const rootOf = (group: ParticleGroup): ParticleGroup => {
      let at = group;
      while (joined.get(at) !== at) at = joined.get(at)!;
      return at;
    };
    for (const group of table.groups) {
      origin.set(keyOf(group.producer), group);
      for (const { tensor, axis } of group.slices) {
        if (!origin.has(keyOf({ value: tensor, axis }))) origin.set(keyOf({ value: tensor, axis }), group);
      }
    }
    const byNode = new Map<GraphNode, Set<Tie>>();
    for (const list of coupling.ties.values()) for (const tie of list) byNode.set(tie.node, (byNode.get(tie.node) ?? new Set()).add(tie));
    const result = new Map<ParticleGroup, GraphNode[]>();
    for (const node of graph.nodes) {
      const open = new Set([...byNode.get(node) ?? []].filter(({ aKey, bKey }) => found.axes.has(aKey) && found.axes.has(bKey) && this.meet(aKey, bKey)));
      for (let progress = true; progress && open.size;) {
        progress = false;
        for (const tie of open) {
          const [one, two] = [origin.get(tie.aKey), origin.get(tie.bKey)];
          if (!one && !two) continue;
          open.delete(tie);
          progress = true;
          if (!one) origin.set(tie.aKey, two!);
          else if (!two) origin.set(tie.bKey, one);
          else if (rootOf(one) !== rootOf(two)) {
            joined.set(rootOf(two), rootOf(one));
            const head = headOf(one);
            const list = result.get(head) ?? [];
            if (!list.includes(node)) result.set(head, [...list, node]);
          }
        }
      }
    }
    return result;
  }

  /** Whether some class lies on both axes. */
  private meet(aKey: string, bKey: string): boolean {
    const own = new Set(this.found.axes.get(aKey)!.classes);
    return this.found.axes.get(bKey)!.classes.some((label) => label >= 0 && own.has(label));
  }

  private barredClasses(): Map<number, string> {
    const { graph, table, found } = this;
    const coupling = couplingOf(graph);
    const result = new Map<number, string>();
    const bar = (label: number, block: Block): void => {
      if (!result.has(label)) result.set(label, blockedReason(graph, table.groupOf(label).layer, block));
    };
    for (const [key, { ref, classes }] of found.axes) {
      const unknown = coupling.ties.get(key)?.find(({ size }) => size === undefined);
      const barrier = coupling.barriers.get(key) ?? (unknown && { at: ref, reason: unknownSize, layer: unknown.node.layer });
      if (barrier) for (const label of new Set(classes)) if (label >= 0) bar(label, barrier);
      const [first] = classes;
      if (first !== undefined && first >= 0 && classes.every((label) => label === first)) bar(first, { at: ref, reason: nothingLeft });
    }
    return result;
  }
}

function outside(row: number): never {
  throw new RangeError(`no particle in row ${row}`);
}

const words: Readonly<Record<ParticleGroup['kind'], string>> = {
  kernel: 'channels', neuron: 'neurons', unit: 'units', head: 'heads', factor: 'factors',
};

/** Most operators that a sentence names. */
const mostNamed = 3;

function because(graph: ModelGraph, nodes: readonly GraphNode[]): string {
  if (!nodes.length) return '';
  const named = nodes.slice(0, mostNamed).map((node) => tieWords(graph, node));
  const more = nodes.length > mostNamed ? ` and ${nodes.length - mostNamed} more` : '';
  return ` because of ${named.join(', ')}${more}`;
}

function tieWords(graph: ModelGraph, node: GraphNode): string {
  const place = node.layer || node.name;
  const weights = node.inputs.find((input) => graph.tensors.has(input) && (indexOf(graph).consumers.get(input)?.length ?? 0) > 1);
  if (node.op in operatorWords) return `${operatorWords[node.op]} ${place}`;
  if (weights !== undefined) return `the shared weights ${weights}`;
  if (node.op === 'Conv' || node.op === 'ConvTranspose') {
    const channels = contextOf(graph).facts(node.inputs[0]!).shape?.[1];
    return `the ${intOf(node, 'group', 1) === channels ? 'depthwise' : 'grouped'} convolution ${place}`;
  }
  return `${node.op} ${place}`;
}

const operatorWords: Readonly<Record<string, string>> = {
  Add: 'the sum', Sum: 'the sum', Sub: 'the difference', Mul: 'the product', Div: 'the quotient', Concat: 'the concatenation', Split: 'the split',
  Min: 'the minimum', Max: 'the maximum', Reshape: 'the reshaping', DepthToSpace: 'the pixel shuffle', GroupNormalization: 'the groups of',
  LSTM: 'the state passed on to', GRU: 'the state passed on to', RNN: 'the state passed on to',
};
