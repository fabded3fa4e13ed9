import path from 'node:path';
import type { ComputeTask, MethodTable, ModelSummary } from '../compute/protocol';

/** One stage of the command line: one file in stages/, one register line in registry.ts. */
export interface Stage {
  readonly name: string;
  /** One line, without a full stop. */
  readonly summary: string;
  readonly positionals: readonly string[];
  /** The last positional may be given several times. */
  readonly more?: boolean;
  readonly options: OptionKinds;
  /** Options without which it cannot run. */
  readonly required?: readonly string[];
  run(args: Arguments, services: StageServices): Promise<StageResult>;
}

export type OptionKinds = Readonly<Record<string, {
  readonly type: 'string' | 'boolean';
  /** Stands for the value in the help. */
  readonly value?: string;
  readonly text: string;
  readonly multiple?: boolean;
}>>;

export interface Arguments {
  readonly positionals: readonly string[];
  readonly flags: ReadonlySet<string>;
  readonly values: ReadonlyMap<string, readonly string[]>;
}

export interface StageServices {
  readonly sessions: MethodTable;
  readonly task: ComputeTask;
  /** A line of the result that need not wait for the rest. */
  line(text: string): void;
  /** A remark for the user that is not part of the result. */
  note(text: string): void;
}

export interface StageResult {
  readonly json: unknown;
  /** For people; made only when it is wanted. */
  text(): string;
}

/** Wrong usage: exit code 2. The message is a sentence without a full stop. */
export class UsageError extends Error {
  override readonly name = 'UsageError';
}

export function openModel({ positionals }: Arguments, { sessions, task }: StageServices): Promise<ModelSummary> {
  return sessions.open({ path: positionals[0]! }, task);
}

export function text({ values }: Arguments, name: string): string | undefined {
  return values.get(name)?.[0];
}

export function recipePath(args: Arguments): string {
  return path.resolve(text(args, 'data')!);
}

/** `a,b` or the option given several times. */
export function list({ values }: Arguments, name: string): readonly string[] | undefined {
  return values.get(name)?.flatMap((value) => value.split(',')).map((value) => value.trim()).filter(Boolean);
}

export function whole(args: Arguments, name: string, least = 0): number | undefined {
  const value = number(args, name);
  if (value !== undefined && (!Number.isSafeInteger(value) || value < least)) throw new UsageError(`--${name} is a whole number from ${least} up, not '${text(args, name)}'`);
  return value;
}

export function number(args: Arguments, name: string): number | undefined {
  const value = text(args, name);
  if (value === undefined) return undefined;
  if (value.trim() === '' || !Number.isFinite(Number(value))) throw new UsageError(`--${name} is a number, not '${value}'`);
  return Number(value);
}

export const dataOption = { data: { type: 'string', value: 'RECIPE', text: 'The *.particlize.json that says where the data is' } } as const;
export const samplesOption = { samples: { type: 'string', value: 'N', text: 'Use only the first N samples of the split' } } as const;
