import { couplingOf, image, keyOf, preimage, type Cover, type CouplingGraph, type Tie } from './coupling';
import type { GraphNode, ModelGraph } from './modelGraph';
import type { AxisRef } from './ops/operator';

/** Which indices, over all axes of a graph, can only go together. */
export interface CoupledClasses {
  /** The class of each index that was started from, in their order; equal numbers go together. */
  readonly classes: Int32Array;
  /** By axis that is reached: the class of each index, -1 where nothing reaches it. */
  readonly axes: ReadonlyMap<string, { readonly ref: AxisRef; readonly classes: Int32Array }>;
  /** Operators that made blocks: by class, those because of which several indices of one axis go together. */
  readonly blocks: ReadonlyMap<number, ReadonlySet<GraphNode>>;
}

/**
 * What `coupledRemoval` finds for one index, for many at once: each index starts as a class of its own, classes spread over
 * ties and become one where they meet. Takes as many steps as there are tied indices, not that times the number of particles.
 */
export function coupledClasses(graph: ModelGraph, starts: readonly { readonly ref: AxisRef; readonly count: number }[]): CoupledClasses {
  return new Partition(couplingOf(graph), starts).run();
}

interface Labels {
  readonly ref: AxisRef;
  readonly labels: Int32Array;
}

class Partition {
  private readonly parent: Int32Array;
  private readonly axes = new Map<string, Labels>();
  private readonly open = new Set<string>();
  private readonly covers = new Set<Cover>();
  private readonly blocks: { readonly label: number; readonly node: GraphNode }[] = [];
  private joined = false;

  constructor(private readonly coupling: CouplingGraph, private readonly starts: readonly { readonly ref: AxisRef; readonly count: number }[]) {
    this.parent = Int32Array.from({ length: starts.reduce((sum, { count }) => sum + count, 0) }, (_, label) => label);
  }

  run(): CoupledClasses {
    let first = 0;
    for (const { ref, count } of this.starts) {
      const key = keyOf(ref);
      for (let index = 0; index < count; index++) this.put(ref, key, index, first + index);
      first += count;
    }
    do {
      this.joined = false;
      this.spread();
      this.completeBlocks();
      // Indices of different classes that became one may now make up all that an index behind them became.
      if (this.joined) for (const key of this.axes.keys()) this.open.add(key);
    } while (this.open.size > 0);
    return {
      classes: this.parent.map((_, label) => this.find(label)),
      axes: new Map([...this.axes].map(([key, { ref, labels }]) => [key, { ref, classes: labels.map((label) => (label < 0 ? -1 : this.find(label))) }])),
      blocks: this.blocksByClass(),
    };
  }

  private spread(): void {
    for (const key of this.open) {
      this.open.delete(key);
      for (const tie of this.coupling.ties.get(key) ?? []) {
        if (tie.size === undefined) continue;
        this.covers.add(this.coupling.covers.get(tie)!);
        if (tie.aKey === key) this.forwards(tie);
        if (tie.bKey === key) this.backwards(tie);
      }
    }
  }

  private forwards(tie: Tie): void {
    const from = this.axes.get(tie.aKey)!.labels;
    const plain = tie.inner === 1 && tie.outer === 1;
    from.forEach((label, index) => {
      if (label < 0) return;
      if (plain) this.put(tie.b, tie.bKey, index + tie.offset, label);
      else for (const target of image(tie, index)) this.put(tie.b, tie.bKey, target, label, tie.node);
    });
  }

  private backwards(tie: Tie): void {
    const to = this.axes.get(tie.bKey)!.labels;
    const plain = tie.inner === 1 && tie.outer === 1;
    for (let index = 0; index < tie.size!; index++) {
      if (plain) {
        const label = to[index + tie.offset] ?? -1;
        if (label >= 0) this.put(tie.a, tie.aKey, index, label);
        continue;
      }
      const targets = image(tie, index);
      const [first] = targets;
      const label = first === undefined ? -1 : to[first] ?? -1;
      if (label >= 0 && targets.every((target) => to[target]! >= 0 && this.find(to[target]!) === this.find(label))) this.put(tie.a, tie.aKey, index, label);
    }
  }

  private completeBlocks(): void {
    for (const { bKey, ties, chosen } of this.covers) {
      const to = this.axes.get(bKey)?.labels;
      if (!to || (ties.length === 1 && chosen.inner === 1 && chosen.outer === 1)) continue;
      to.forEach((label, index) => {
        const place = label < 0 ? -1 : preimage(chosen, index);
        if (place < 0 || ties.some((tie) => this.has(tie.aKey, preimage(tie, index), label))) return;
        this.put(chosen.a, chosen.aKey, place, label, chosen.node);
      });
    }
  }

  private has(key: string, index: number, label: number): boolean {
    const own = this.axes.get(key)?.labels[index] ?? -1;
    return own >= 0 && this.find(own) === this.find(label);
  }

  private put(ref: AxisRef, key: string, index: number, label: number, block?: GraphNode): void {
    let axis = this.axes.get(key);
    if (!axis) this.axes.set(key, (axis = { ref, labels: new Int32Array(this.coupling.size(ref) ?? 0).fill(-1) }));
    const before = axis.labels[index];
    if (before === undefined) return;
    if (before < 0) {
      axis.labels[index] = label;
      this.open.add(key);
      return;
    }
    const [one, two] = [this.find(before), this.find(label)];
    if (one === two) return;
    // The smaller number stays, so that a class is named by its first index.
    this.parent[Math.max(one, two)] = Math.min(one, two);
    this.joined = true;
    this.open.add(key);
    if (block) this.blocks.push({ label: one, node: block });
  }

  private find(label: number): number {
    let root = label;
    while (this.parent[root] !== root) root = this.parent[root]!;
    for (let at = label; at !== root;) {
      const next = this.parent[at]!;
      this.parent[at] = root;
      at = next;
    }
    return root;
  }

  private blocksByClass(): Map<number, Set<GraphNode>> {
    const result = new Map<number, Set<GraphNode>>();
    for (const { label, node } of this.blocks) {
      const root = this.find(label);
      result.set(root, (result.get(root) ?? new Set()).add(node));
    }
    return result;
  }
}
