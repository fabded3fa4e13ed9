import { readsOf } from '../graph/attributes';
import { contextOf } from '../graph/inferShapes';
import { indexOf, type GraphNode, type ModelGraph } from '../graph/modelGraph';
import { isBarrier, type AxisRef, type LinearRule } from '../graph/ops/operator';
import { familyOf } from '../graph/ops/registry';
import { standInsOf } from '../graph/standIns';
import type { Act, ParticleGroup } from '../particles/particle';

/** A linear operator that reads a group's particles, and which of its input's indices each of them is. */
export interface LinearConsumer {
  readonly node: GraphNode;
  readonly rule: LinearRule;
  /** By particle: its indices on `rule.axis` of `rule.input`; all lists are equally long. */
  readonly indices: readonly (readonly number[])[];
}

export interface Consumers {
  readonly linear: readonly LinearConsumer[];
  /** Whether everything that reads the particles is among them: then cutting a particle is subtracting its contributions. */
  readonly complete: boolean;
}

/**
 * The linear operators right behind the places where a group acts, through operators that only rearrange. `judged`: an
 * output that counts as a reader too.
 */
export function consumersOf(graph: ModelGraph, group: ParticleGroup, judged?: string): Consumers {
  const walk = new Walk(graph, judged);
  for (const act of group.acts) walk.from(act, particleIndices(graph, act, group.count));
  return { linear: walk.linear, complete: walk.complete };
}

/** By particle: its indices on the axis of an act. */
export function particleIndices(graph: ModelGraph, act: Act, count: number): readonly (readonly number[])[] | undefined {
  if (act.placed) {
    const { offset, block, outer, every } = act.placed;
    return Array.from({ length: count }, (_, particle) => Array.from({ length: outer * block }, (__, place) =>
      offset + Math.floor(place / block) * every + particle * block + (place % block)));
  }
  const size = contextOf(graph).facts(act.value).shape?.[act.axis];
  if (typeof size !== 'number' || size % count !== 0) return undefined;
  const block = size / count;
  return Array.from({ length: count }, (_, particle) => Array.from({ length: block }, (__, offset) => particle * block + offset));
}

const rearranging = new Set(['Reshape', 'Flatten', 'Squeeze', 'Unsqueeze', 'Transpose', 'Identity', 'Dropout', 'Concat']);

class Walk {
  readonly linear: LinearConsumer[] = [];
  complete = true;

  constructor(private readonly graph: ModelGraph, private readonly judged: string | undefined) {}

  from(at: AxisRef, indices: readonly (readonly number[])[] | undefined): void {
    if (!indices || at.value === this.judged) {
      this.complete = false;
      return;
    }
    const context = contextOf(this.graph);
    for (const node of indexOf(this.graph).consumers.get(at.value) ?? []) {
      // Reading a size is not reading a value.
      if (node.op === 'Shape' || node.op === 'Size') continue;
      const family = familyOf(node);
      const rule = family?.linear?.(node, context);
      const reads = readsOf(node).filter((name) => name === at.value).length;
      if (rule && rule.input === at.value && rule.axis === at.axis && reads === 1) {
        this.linear.push({ node, rule, indices });
        if (rule.inside) this.complete = false;
        continue;
      }
      const output = node.outputs[0]!;
      const moved = rearranging.has(node.op) && (node.op === 'Concat' ? reads === 1 : node.inputs[0] === at.value);
      const relations = moved ? family?.flow?.(node, standInsOf(this.graph)) ?? [] : [];
      const onward = relations.find((relation) => !isBarrier(relation) && relation.a.value === at.value && relation.a.axis === at.axis
        && relation.b.value === output);
      const size = context.facts(at.value).shape?.[at.axis];
      if (!onward || typeof size !== 'number') {
        this.complete = false;
        continue;
      }
      const { outer = 1, inner = 1, offset = 0 } = onward;
      this.from(onward.b, indices.map((list) => list.flatMap((index) => images(index, { size, outer, inner, offset }))));
    }
  }
}

function images(index: number, { size, outer, inner, offset }: { size: number; outer: number; inner: number; offset: number }): number[] {
  const result: number[] = [];
  for (let block = 0; block < outer; block++) {
    for (let rest = 0; rest < inner; rest++) result.push(offset + (block * size + index) * inner + rest);
  }
  return result;
}
