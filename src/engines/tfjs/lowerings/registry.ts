import type { GraphNode } from '../../../core/graph/modelGraph';
import type { Lowering, LoweringFamily } from '../loweringContext';
import { activations } from './activations';
import { attention } from './attention';
import { convolution } from './convolution';
import { dense } from './dense';
import { einsum } from './einsum';
import { elementwise } from './elementwise';
import { gather } from './gather';
import { join } from './join';
import { masks } from './masks';
import { normalisation } from './normalisation';
import { pad } from './pad';
import { pooling } from './pooling';
import { recurrent } from './recurrent';
import { reductions } from './reductions';
import { resample } from './resample';
import { reshape } from './reshape';
import { scatter } from './scatter';
import { shapeArithmetic } from './shapeArithmetic';
import { softmax } from './softmax';

/** Every operator family that TensorFlow.js runs; a new one is one file and one line here. */
const families: readonly LoweringFamily[] = [
  activations,
  attention,
  convolution,
  dense,
  einsum,
  elementwise,
  gather,
  join,
  masks,
  normalisation,
  pad,
  pooling,
  recurrent,
  reductions,
  resample,
  reshape,
  scatter,
  shapeArithmetic,
  softmax,
];

const byOperator = new Map<string, LoweringFamily>(
  families.flatMap((family) => Object.keys(family.lowerings).map((op) => [op, family] as const)),
);

export function familyOfNode({ op, domain }: GraphNode): LoweringFamily | undefined {
  return domain === '' || domain === 'ai.onnx' ? byOperator.get(op) : undefined;
}

export function loweringOf(node: GraphNode): Lowering | undefined {
  return familyOfNode(node)?.lowerings[node.op];
}
