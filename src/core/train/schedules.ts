export type Schedule =
  | { readonly kind: 'constant' }
  /** Down to `floor` (a share of the rate; 0 by default) along half a cosine (Loshchilov and Hutter, SGDR, 2017). */
  | { readonly kind: 'cosine'; readonly floor?: number }
  /** Times `factor` after every `every` epochs. */
  | { readonly kind: 'step'; readonly every: number; readonly factor: number };

export interface RateOptions {
  readonly learningRate: number;
  readonly schedule: Schedule;
  /** Steps over which the rate rises in a line from nearly nothing. */
  readonly warmUpSteps: number;
}

/** The learning rate of a step (from 0) of `steps`; the same question has the same answer, so a resumed run goes on as it was. */
export function learningRateAt({ learningRate, schedule, warmUpSteps }: RateOptions, step: number, steps: number, stepsPerEpoch: number): number {
  if (step < warmUpSteps) return (learningRate * (step + 1)) / (warmUpSteps + 1);
  switch (schedule.kind) {
    case 'constant': return learningRate;
    case 'step': return learningRate * schedule.factor ** Math.floor(step / stepsPerEpoch / schedule.every);
    case 'cosine': {
      const floor = schedule.floor ?? 0;
      const done = Math.min(1, (step - warmUpSteps) / Math.max(1, steps - warmUpSteps));
      return learningRate * (floor + (1 - floor) * 0.5 * (1 + Math.cos(Math.PI * done)));
    }
  }
}
