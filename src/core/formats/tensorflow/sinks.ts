import { splitRef, type TfNode } from './tfGraph';

/** Nodes that compute something which no other node reads: the outputs of a graph that does not name them. */
export function sinksOf(nodes: Iterable<TfNode>): readonly string[] {
  const all = [...nodes];
  const read = new Set(all.flatMap((node) => node.inputs.map((input) => splitRef(input)[0])));
  return all.filter((node) => !read.has(node.name) && !effects.has(node.op) && node.inputs.length > 0).map((node) => node.name);
}

/** They are run for what they do, not for a result. */
const effects = new Set([
  'NoOp', 'Assert', 'Assign', 'AssignVariableOp', 'SaveV2', 'RestoreV2', 'MergeV2Checkpoints', 'VarIsInitializedOp', 'Print', 'ReadVariableOp',
]);
