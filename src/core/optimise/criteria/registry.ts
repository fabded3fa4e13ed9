import { ParticlizeError } from '../../graph/errors';
import { ablation, activation, estimate, redundancy } from './columns';
import type { Criterion } from './criterion';
import { geometricMedian } from './geometricMedian';
import { hessian, taylor } from './gradients';
import { batchNormScale, lamp, magnitudeL1, magnitudeL2 } from './magnitude';
import { random } from './random';

/** Every way of ranking what may go; a new one is one file and one line here. */
export const criteria: readonly Criterion[] = [
  ablation, estimate, magnitudeL1, magnitudeL2, geometricMedian, batchNormScale, taylor, lamp, hessian, activation, redundancy, random,
];

export function criterionNamed(name: string): Criterion {
  const found = criteria.find((criterion) => criterion.name === name);
  if (found) return found;
  throw new ParticlizeError({ cause: `there is no criterion '${name}'`, action: `There are ${criteria.map((criterion) => criterion.name).join(', ')}` });
}
