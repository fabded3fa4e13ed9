import { intOf, stringOf } from '../attributes';
import { barriers, firstInput, firstOutput, plain, range, unknownShapes } from './axes';
import type { OperatorFamily, Relation } from './operator';

/** DepthToSpace and SpaceToDepth: blocks of b x b pixels become channels, or the other way round. x: [N, C, H, W]. */
export const pixelShuffle: OperatorFamily = {
  name: 'pixelShuffle',
  ops: ['DepthToSpace', 'SpaceToDepth'],

  shape(node, context) {
    const { dtype, shape } = context.facts(firstInput(node));
    const block = intOf(node, 'blocksize', 1);
    if (shape?.length !== 4 || block < 1) return [{ dtype }];
    const [batch, channels, height, width] = shape as readonly [number | null, number | null, number | null, number | null];
    const [depth, side] = node.op === 'DepthToSpace' ? [1 / (block * block), block] : [block * block, 1 / block];
    const times = (size: number | null, factor: number): number | null => (size === null ? null : Math.round(size * factor));
    return [{ dtype, shape: [batch, times(channels, depth), times(height, side), times(width, side)] }];
  },

  flow(node, context): Relation[] {
    const [x, y] = [firstInput(node), firstOutput(node)];
    if (context.facts(x).shape?.length !== 4) return unknownShapes(node, context);
    const pixels = intOf(node, 'blocksize', 1) ** 2;
    const [few, many] = node.op === 'DepthToSpace' ? [y, x] : [x, y];
    // A channel's pixels lie side by side in the column order only; else one picture lies behind the other.
    const together = node.op === 'DepthToSpace' && stringOf(node, 'mode', 'DCR') === 'CRD';
    return [
      plain(x, 0, y, 0), { ...plain(few, 1, many, 1), ...(together ? { inner: pixels } : { outer: pixels }) },
      ...[x, y].flatMap((value) => barriers(value, range(2, 4), `${node.op} moves pixels of this axis`)),
    ];
  },
};
