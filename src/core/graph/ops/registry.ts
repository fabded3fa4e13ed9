import type { GraphNode } from '../modelGraph';
import type { OperatorFamily } from './operator';

/** Every operator family; a new one is one file and one line here. */
export const families: readonly OperatorFamily[] = [];

const byOperator = new Map<string, OperatorFamily>(
  families.flatMap((family) => family.ops.map((op) => [op, family] as const)),
);

/** The family that knows this operator, or undefined when it is opaque. */
export function familyOf(node: Pick<GraphNode, 'op' | 'domain'>): OperatorFamily | undefined {
  const standard = node.domain === '' || node.domain === 'ai.onnx';
  return byOperator.get(standard ? node.op : `${node.domain}:${node.op}`);
}
