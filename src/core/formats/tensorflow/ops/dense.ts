import { int, ints, string } from '../../../graph/attributes';
import type { OpContext, OpGroup } from '../opContext';
import { finishFused, fused, fusedBias } from './convolution';

export const denseOps: OpGroup = {
  MatMul: matMul,
  _FusedMatMul: matMul,
  BatchMatMul: batchMatMul,
  BatchMatMulV2: batchMatMul,
  BatchMatMulV3: batchMatMul,
  Einsum: (context) => context.add('Einsum', range(context.inputCount).map((index) => context.input(index)), { equation: string(context.text('equation', '')) }),
};

/** Kernel [in, out], used as it is: neuron j is column j. */
function matMul(context: OpContext): string {
  const [transA, transB] = [context.flag('transpose_a', false), context.flag('transpose_b', false)];
  const kernel = context.weight(1, { axes: [0, 1] })
    ?? { name: context.input(1), shape: context.facts(context.input(1)).shape ?? [] };
  const units = kernel.shape[transB ? 0 : 1];
  const bias = fusedBias(context, 2)
    ?? (fused(context).length || typeof units !== 'number' ? undefined : context.followingBias(units, false));
  const y = context.add('Gemm', [context.input(0), kernel.name, ...(bias ? [bias] : [])], { transA: int(transA ? 1 : 0), transB: int(transB ? 1 : 0) });
  return finishFused(context, y);
}

function batchMatMul(context: OpContext): string {
  const inputs = [context.flag('adj_x', false), context.flag('adj_y', false)].map((swapped, index) => {
    const value = context.input(index);
    if (!swapped) return value;
    const rank = context.facts(value).shape?.length ?? context.fail('the rank of its input is not known');
    return context.add('Transpose', [value], { perm: ints([...range(rank - 2), rank - 1, rank - 2]) });
  });
  return context.add('MatMul', inputs);
}

function range(count: number): number[] {
  return Array.from({ length: count }, (_, index) => index);
}
