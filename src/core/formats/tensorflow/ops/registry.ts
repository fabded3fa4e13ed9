import type { OpRule } from '../opContext';
import { activationOps } from './activation';
import { convolutionOps } from './convolution';
import { denseOps } from './dense';
import { elementwiseOps } from './elementwise';
import { normOps } from './norm';
import { poolingOps } from './pooling';
import { reductionOps } from './reduction';
import { resizeOps } from './resize';
import { shapeOps } from './shape';
import { sliceOps } from './slice';

/** Every TensorFlow operator that Particlize reads; a new group is one file and one line here. */
const rules = new Map<string, OpRule>(Object.entries({
  ...activationOps,
  ...convolutionOps,
  ...denseOps,
  ...elementwiseOps,
  ...normOps,
  ...poolingOps,
  ...reductionOps,
  ...resizeOps,
  ...shapeOps,
  ...sliceOps,
}));

/** The rule of an operator, or undefined when it is opaque. */
export function ruleOf(op: string): OpRule | undefined {
  return rules.get(op);
}
