import type { Targets } from '../evaluate/metrics';

/**
 * What attributions are about, as weights of the outputs [samples, width]: the logit of the right class; where there are no
 * classes, the sum of all outputs.
 */
export function attributedOutput({ classes }: Targets, samples: number, width: number): Float32Array {
  const weights = new Float32Array(samples * width);
  if (!classes || width === 1) return weights.fill(1);
  classes.forEach((label, sample) => (weights[sample * width + label] = 1));
  return weights;
}

export const attributedTitle = 'the logit of the right class (of all outputs together where there are no classes)';
