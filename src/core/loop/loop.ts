import { throwIfCancelled, type Task } from '../graph/errors';
import { decide, endOf, type Decision, type Goal, type Outcome } from './goal';
import type { Round } from './round';

/** Where rounds are made and kept. A round is there wholly or not at all. */
export interface RoundsPort {
  /** In their order; empty at first. */
  rounds(): Promise<readonly Round[]>;
  /** Measures the original and keeps that as round 0. */
  original(): Promise<Round>;
  /** Removes, trains, evaluates and keeps the result; undefined when nothing can be removed. */
  make(step: Extract<Decision, { kind: 'go' }>, number: number): Promise<Round | undefined>;
}

export interface LoopTask extends Task {
  /** Each round as it comes, those of an earlier run first; and whether it is within the drop is for whoever asks `isWithin`. */
  round?(round: Round): void;
}

/** Round after round until the target is met or cannot be met. Interrupted at any moment, the next call goes on. */
export async function runLoop(port: RoundsPort, goal: Goal, task?: LoopTask): Promise<{ readonly rounds: readonly Round[]; readonly outcome: Outcome }> {
  const rounds = [...await port.rounds()];
  if (rounds.length === 0) rounds.push(await port.original());
  for (const round of rounds) task?.round?.(round);
  for (;;) {
    throwIfCancelled(task);
    const decision = decide(rounds, goal);
    if (decision.kind === 'end') return { rounds, outcome: decision.outcome };
    const made = await port.make(decision, rounds.length);
    if (!made) return { rounds, outcome: endOf(rounds, goal) };
    rounds.push(made);
    task?.round?.(made);
  }
}
