import { readsOf } from '../graph/attributes';
import { contextOf } from '../graph/inferShapes';
import { indexOf, type GraphNode, type ModelGraph } from '../graph/modelGraph';
import { familyOf } from '../graph/ops/registry';
import { ancestorsOf } from './suffix';

/** What a change of some values is carried through exactly, and where it is handed on. */
export interface Horizon {
  readonly starts: readonly string[];
  /** Operators between starts and ends, in order. */
  readonly inside: readonly GraphNode[];
  /** Values that `inside` reads and that do not change. */
  readonly beside: readonly string[];
  readonly ends: readonly HorizonEnd[];
}

/** A changed value as it is read from outside. All ways from the starts to the output lead through exactly one of the ends. */
export interface HorizonEnd {
  readonly value: string;
  /** The readers outside; undefined when everything that leads from the value to the output is outside. */
  readonly readers?: readonly GraphNode[];
}

/**
 * Follows a change from the places where it is made through at most `layers` weighted sums and all that lies between (norms,
 * activations, pooling, both ways of a branch) to where the next weighted sum reads it. `through`: weighted sums that the
 * starts have behind them. Undefined when what is in front cannot be run by itself.
 */
export function horizonOf(graph: ModelGraph, starts: readonly string[], output: string, { layers, through = 0 }: { layers: number; through?: number }): Horizon | undefined {
  const context = contextOf(graph);
  const { consumers } = indexOf(graph);
  const ancestors = ancestorsOf(graph, output);
  const depths = new Map(starts.map((value) => [value, through]));
  const beyond = new Set<string>();
  const within: GraphNode[] = [];
  for (const node of graph.nodes) {
    const reads = readsOf(node);
    // A start is cut: what it was made from no longer matters to it.
    if (node.outputs.some((made) => depths.has(made)) || !node.outputs.some((made) => ancestors.has(made))) continue;
    const changed = reads.filter((name) => depths.has(name));
    const outside = reads.some((name) => beyond.has(name));
    if (!changed.length && !outside) continue;
    const depth = Math.max(...changed.map((name) => depths.get(name)!)) + (familyOf(node)?.linear?.(node, context) ? 1 : 0);
    const apart = outside || depth > layers || recurrent.has(node.op) || reads.length > node.inputs.filter(Boolean).length;
    if (!apart) within.push(node);
    for (const made of node.outputs) if (made && apart) beyond.add(made);
      else if (made) depths.set(made, depth);
  }
  const cut = new Set(starts);
  const members = new Set(within);
  const ends: HorizonEnd[] = [];
  for (const value of depths.keys()) {
    if (value === output) {
      ends.push({ value });
      continue;
    }
    const readers = (consumers.get(value) ?? []).filter((node) => node.outputs.some((made) => ancestors.has(made)));
    const outside = readers.filter((node) => !members.has(node) && !node.outputs.some((made) => cut.has(made)) && !sizeOnly.has(node.op));
    if (!outside.length) continue;
    if (context.facts(value).dtype !== undefined && context.facts(value).dtype !== 'float32') return undefined;
    ends.push({ value, ...(outside.length < readers.length && { readers: outside }) });
  }
  const needed = new Set<string>(ends.map(({ value }) => value));
  const inside = within.reverse().filter((node) => {
    if (!node.outputs.some((made) => needed.has(made))) return false;
    for (const name of readsOf(node)) needed.add(name);
    return true;
  }).reverse();
  const made = new Set([...starts, ...inside.flatMap(({ outputs }) => outputs)]);
  const beside = [...new Set(inside.flatMap(readsOf))].filter((name) => name && !made.has(name) && !graph.tensors.has(name) && !context.isConstant(name));
  return ends.length ? { starts, inside, beside, ends } : undefined;
}

const recurrent = new Set(['LSTM', 'GRU', 'RNN', 'Loop', 'Scan', 'If']);
const sizeOnly = new Set(['Shape', 'Size']);
