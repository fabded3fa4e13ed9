import type { GraphNode } from '../modelGraph';
import { activations, parametricRelu } from './activations';
import { attention, rotary } from './attention';
import { batchNorm } from './batchNorm';
import { concat } from './concat';
import { convolution } from './convolution';
import { dense } from './dense';
import { dropout } from './dropout';
import { einsum } from './einsum';
import { elementwise } from './elementwise';
import { fusedActivations, fusedBlocks } from './fused';
import { fusedAttention, projectedAttention } from './fusedAttention';
import { gather } from './gather';
import { masks } from './masks';
import { normalisation } from './normalisation';
import { pad } from './pad';
import { pixelShuffle } from './pixelShuffle';
import { pooling } from './pooling';
import { recurrent } from './recurrent';
import { reductions } from './reductions';
import { resample } from './resample';
import { reshape } from './reshape';
import { copies, repetition, shapeArithmetic } from './shapeArithmetic';
import { rmsNorm } from './rmsNorm';
import { scatter } from './scatter';
import { slice } from './slice';
import { softmax } from './softmax';
import { split } from './split';
import { transpose } from './transpose';
import { weightsOnly } from './weightsOnly';
import type { OperatorFamily } from './operator';

/** Every operator family; a new one is one file and one line here. */
export const families: readonly OperatorFamily[] = [
  activations,
  parametricRelu,
  attention,
  batchNorm,
  concat,
  convolution,
  copies,
  dense,
  dropout,
  einsum,
  elementwise,
  fusedActivations,
  fusedAttention,
  fusedBlocks,
  gather,
  masks,
  normalisation,
  pad,
  pixelShuffle,
  pooling,
  projectedAttention,
  recurrent,
  reductions,
  repetition,
  resample,
  reshape,
  rmsNorm,
  rotary,
  scatter,
  shapeArithmetic,
  slice,
  softmax,
  split,
  transpose,
  weightsOnly,
];

const byOperator = new Map<string, OperatorFamily>(
  families.flatMap((family) => family.ops.map((op) => [op, family] as const)),
);

/** The family that knows this operator, or undefined when it is opaque. */
export function familyOf(node: Pick<GraphNode, 'op' | 'domain'>): OperatorFamily | undefined {
  const standard = node.domain === '' || node.domain === 'ai.onnx';
  return byOperator.get(standard ? node.op : `${node.domain}:${node.op}`);
}
