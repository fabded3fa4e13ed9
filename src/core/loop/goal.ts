import { ParticlizeError } from '../graph/errors';
import type { Round } from './round';

/** What the loop is to reach. */
export interface Goal {
  /** Shares of what the original costs. */
  readonly target: { readonly macs?: number; readonly parameters?: number };
  /** Largest accepted drop of the deciding metric against the original: 0.005 is half a point of accuracy. */
  readonly maxDrop: number;
  /** The loop ends after so many rounds that were not the last. */
  readonly rounds: number;
}

export type Decision =
  /** Start from round `parent` and aim at these shares of *its* cost. */
  | { readonly kind: 'go'; readonly parent: number; readonly target: Goal['target']; readonly learningRateFactor: number }
  | { readonly kind: 'end'; readonly outcome: Outcome };

export interface Outcome {
  readonly status: 'met' | 'unreachable' | 'roundsUsed';
  /** The round that is the result: the cheapest within the drop. */
  readonly best: number;
  /** One sentence for the user. */
  readonly message: string;
}

/** Share of the way that a round aims to go at first, how finely it may be cut, and how fast it grows again after a success. */
const [firstStep, smallestStep, growth] = [0.5, 0.94, 1.25];

/** Training that diverged is tried again more slowly, so often. */
const mostDivergences = 3;

/** A round that removes less than this achieves nothing. */
const leastProgress = 0.995;

/**
 * What comes next, from the rounds alone, so that a loop that was interrupted goes on as if it had not been. Each round aims at half of
 * what its parent costs; one that loses too much is returned from, and the next one takes half of that step (on a logarithmic scale).
 */
export function decide(rounds: readonly Round[], goal: Goal): Decision {
  const original = originalOf(rounds);
  let [base, step, divergences] = [original, firstStep, 0];
  for (const round of rounds.slice(1)) {
    const diverged = round.training?.stopped === 'diverged';
    if (diverged) divergences++;
    if (isWithin(round, original, goal)) {
      if (excess(round, original, goal) <= excess(base, original, goal)) base = round;
      if (!diverged) step = Math.max(firstStep, step ** growth);
    } else if (!diverged) {
      step = Math.sqrt(step);
    }
    // A removal that removed nothing will not remove more next time.
    if (round.action === 'remove' && excess(round, original, goal) >= leastProgress * excess(rounds[round.parent!] ?? original, original, goal)) step = 1;
  }
  const left = excess(base, original, goal);
  if (left <= 1) return end('met', rounds, goal);
  if (step > smallestStep || divergences >= mostDivergences) return end('unreachable', rounds, goal);
  if (rounds.length > goal.rounds) return end('roundsUsed', rounds, goal);
  // Where more than one thing is to shrink, each by its own way to go.
  const part = (name: 'macs' | 'parameters'): number | undefined => {
    const wanted = goal.target[name];
    if (wanted === undefined) return undefined;
    return Math.min(1, Math.max(step, (wanted * original.evaluation[name]) / Math.max(1, base.evaluation[name])));
  };
  const target = { ...(goal.target.macs !== undefined && { macs: part('macs') }), ...(goal.target.parameters !== undefined && { parameters: part('parameters') }) };
  return { kind: 'go', parent: base.round, target, learningRateFactor: 10 ** -divergences };
}

/** The result when nothing more can be removed at all. */
export function endOf(rounds: readonly Round[], goal: Goal): Outcome {
  const original = originalOf(rounds);
  return outcome(excess(bestOf(rounds, goal), original, goal) <= 1 ? 'met' : 'unreachable', rounds, goal);
}

/** The cheapest within the drop; of equally cheap ones the best. */
export function bestOf(rounds: readonly Round[], goal: Pick<Goal, 'target' | 'maxDrop'>): Round {
  const original = originalOf(rounds);
  return rounds.filter((round) => isWithin(round, original, goal)).reduce((best, round) => {
    const [one, two] = [excess(round, original, goal), excess(best, original, goal)];
    return one < two || (one === two && dropOf(round, original) < dropOf(best, original)) ? round : best;
  }, original);
}

/** How much of the deciding metric is lost against the original; negative is a gain. */
export function dropOf(round: Round, original: Round): number {
  const { name, higherIsBetter } = original.evaluation.decisive;
  const change = (round.evaluation.metrics[name] ?? NaN) - original.evaluation.metrics[name]!;
  return Number.isNaN(change) ? Infinity : higherIsBetter ? 0 - change : change;
}

export function isWithin(round: Round, original: Round, { maxDrop }: Pick<Goal, 'maxDrop'>): boolean {
  return dropOf(round, original) <= maxDrop + 1e-9;
}

/** Rounds that no other one beats in both: fewer multiply-accumulates and a better metric. */
export function paretoRounds(rounds: readonly Round[]): readonly number[] {
  const original = originalOf(rounds);
  const beats = (one: Round, two: Round): boolean => {
    const [macs, drop] = [one.evaluation.macs - two.evaluation.macs, dropOf(one, original) - dropOf(two, original)];
    return macs <= 0 && drop <= 0 && (macs < 0 || drop < 0);
  };
  return rounds.filter((round) => dropOf(round, original) < Infinity && !rounds.some((other) => beats(other, round))).map(({ round }) => round);
}

/** How far above the target: 1 and below is there. */
function excess(round: Round, original: Round, { target }: Pick<Goal, 'target'>): number {
  const part = (name: 'macs' | 'parameters'): number => {
    const wanted = target[name];
    return wanted === undefined ? 0 : round.evaluation[name] / Math.max(1, wanted * original.evaluation[name]);
  };
  return Math.max(part('macs'), part('parameters'));
}

function end(status: Outcome['status'], rounds: readonly Round[], goal: Goal): Decision {
  return { kind: 'end', outcome: outcome(status, rounds, goal) };
}

function outcome(status: Outcome['status'], rounds: readonly Round[], goal: Goal): Outcome {
  const original = originalOf(rounds);
  const best = bestOf(rounds, goal);
  const names = (['macs', 'parameters'] as const).filter((name) => goal.target[name] !== undefined);
  const wanted = names.map((name) => `${percent(goal.target[name]!)} of the ${words[name]}`).join(' and ');
  const has = names.map((name) => `${percent(best.evaluation[name] / Math.max(1, original.evaluation[name]))} of the ${words[name]}`).join(' and ');
  const { name } = original.evaluation.decisive;
  const cost = `${name} ${figure(original.evaluation.metrics[name]!)} → ${figure(best.evaluation.metrics[name]!)}`;
  const which = best.round === 0 ? 'the original itself' : `round ${best.round} with ${has} (${cost})`;
  const message = {
    met: `The target of ${wanted} is met by round ${best.round}: ${has}, ${cost}`,
    unreachable: `${wanted} cannot be reached within a drop of ${figure(goal.maxDrop)}; the smallest model within it is ${which}`,
    roundsUsed: `${wanted} is not reached after ${rounds.length - 1} rounds; the smallest model within a drop of ${figure(goal.maxDrop)} is ${which}`,
  }[status];
  return { status, best: best.round, message };
}

const words = { macs: 'MACs', parameters: 'parameters' } as const;

function originalOf(rounds: readonly Round[]): Round {
  const [original] = rounds;
  if (original?.round === 0) return original;
  throw new ParticlizeError({ cause: 'the rounds have no record of the original', action: 'Choose another folder' });
}

function percent(share: number): string {
  return `${Number((100 * share).toPrecision(3))} %`;
}

function figure(value: number): string {
  return Number(value.toPrecision(4)).toString();
}
