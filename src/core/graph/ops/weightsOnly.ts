import { intsOf, stringOf } from '../attributes';
import type { GraphNode, ModelGraph } from '../modelGraph';
import { barrier, firstOutput, range } from './axes';
import type { OperatorFamily, ParticleKind, ParticleRule, ShapeContext, WeightSlice } from './operator';

/** The domain of operators that exist in no file. */
export const weightsDomain = 'particlize';
export const weightsOp = 'Weights';

/** Why nothing can be run, followed or removed in a file that has weights but no graph. */
export const noGraphReason = 'the file has weights but no graph, so that it is not known which layers read these channels';

/** Whether a graph came from a file that has weights but says nothing of how they are used: it cannot be run. */
export function hasWeightsOnly(graph: Pick<ModelGraph, 'nodes'>): boolean {
  return graph.nodes.length > 0 && graph.nodes.every((node) => node.domain === weightsDomain && node.op === weightsOp);
}

/**
 * Weights of one module in a file without a graph. Its inputs are the module's tensors; attributes tell its particles:
 * `kind`, and in parallel lists the slices that each consists of (`tensors`: number of the input, `axes`, `roles`, `gates`:
 * how often the particles repeat along the axis). The output stands for the channels; nothing is known of who reads them.
 */
export const weightsOnly: OperatorFamily = {
  name: 'weightsOnly',
  ops: [`${weightsDomain}:${weightsOp}`],

  shape(node, context) {
    const count = countOf(node, context);
    const { rank, axis } = placeOf(node, context);
    const { dtype } = context.facts(node.inputs[0] ?? '');
    return [count === undefined ? { dtype } : { dtype, shape: range(0, rank).map((own) => (own === axis ? count : null)) }];
  },

  flow(node, context) {
    if (countOf(node, context) === undefined) return [];
    const channels = { value: firstOutput(node), axis: placeOf(node, context).axis };
    const ties = slicesOf(node).map(({ tensor, axis, gates }) => ({ a: channels, b: { value: tensor, axis }, outer: gates }));
    return [...ties, barrier(channels.value, channels.axis, noGraphReason)];
  },

  particles(node, context): ParticleRule | undefined {
    const count = countOf(node, context);
    if (count === undefined) return undefined;
    const slices = slicesOf(node).map(({ tensor, axis, role, gates }): WeightSlice => ({
      tensor, axis, role, ...(gates > 1 && { every: count }),
    }));
    return { kind: kindOf(node) as ParticleKind, count, output: firstOutput(node), axis: placeOf(node, context).axis, slices };
  },

  macs(node) {
    // How often a weight is used depends on the layers around it.
    return kindOf(node) ? undefined : 0;
  },
};

interface Slice {
  readonly tensor: string;
  readonly axis: number;
  readonly role: WeightSlice['role'];
  readonly gates: number;
}

function slicesOf(node: GraphNode): Slice[] {
  const axes = intsOf(node, 'axes') ?? [];
  const gates = intsOf(node, 'gates') ?? [];
  const { roles } = node.attributes;
  return (intsOf(node, 'tensors') ?? []).map((input, index) => ({
    tensor: node.inputs[input] ?? '', axis: axes[index] ?? 0, gates: gates[index] ?? 1,
    role: (roles?.type === 'strings' ? roles.value[index] : undefined) as WeightSlice['role'] | undefined ?? 'weight',
  }));
}

function kindOf(node: GraphNode): string {
  return stringOf(node, 'kind', '');
}

function countOf(node: GraphNode, context: Pick<ShapeContext, 'facts'>): number | undefined {
  const [first] = slicesOf(node);
  if (!first || !kindOf(node)) return undefined;
  const size = context.facts(first.tensor).shape?.[first.axis];
  return typeof size === 'number' ? size / first.gates : undefined;
}

/** Where the channels lie in what such a layer makes: behind the batch; embeddings and recurrent layers have time before them. */
function placeOf(node: GraphNode, context: Pick<ShapeContext, 'facts'>): { readonly rank: number; readonly axis: number } {
  const kind = kindOf(node);
  if (kind === 'factor' || kind === 'unit') return { rank: 3, axis: 2 };
  const rank = context.facts(slicesOf(node)[0]?.tensor ?? '').shape?.length ?? 2;
  return { rank: Math.max(rank, 2), axis: 1 };
}
