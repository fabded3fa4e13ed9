import type { Evaluation } from '../evaluate/evaluation';
import type { Latency } from '../evaluate/latency';
import { ParticlizeError } from '../graph/errors';

/** What one round of removing, training and evaluating came to: the contents of its metrics.json. */
export interface Round {
  readonly version: 1;
  /** 0 is the original. */
  readonly round: number;
  /** The round whose model it started from; the original has none. */
  readonly parent?: number;
  readonly action: RoundAction;
  /** What was done, in one line. */
  readonly title: string;
  /** Relative to the round's folder; only that of round 0 lies outside of it. */
  readonly model: { readonly file: string; readonly sha256: string };
  /** Measured on a split that no choice was made on. */
  readonly evaluation: Omit<Evaluation, 'groups'>;
  /** What the model's files take on the disk. */
  readonly fileBytes: number;
  readonly latency?: Latency;
  /** Where the data came from. */
  readonly data: { readonly recipe: string; readonly split?: string; readonly seed: number };
  /** The deciding metric after the removal, before any training. */
  readonly untrained?: number;
  readonly training?: RoundTraining;
  readonly elapsedMs?: number;
}

export type RoundAction = 'original' | 'remove' | 'ownTraining';

export interface RoundTraining {
  readonly steps: number;
  readonly bestEpoch: number;
  readonly stopped: 'done' | 'early' | 'diverged';
  readonly learningRate: number;
  readonly message?: string;
}

export const roundActions: readonly RoundAction[] = ['original', 'remove', 'ownTraining'];

/** What a larger file than this holds is no record of a round. */
export const largestRoundText = 1 << 20;

/** Reads a metrics.json, which anybody may have edited. Throws a ParticlizeError that names the field. */
export function parseRound(text: string, file: string): Round {
  const fail = (place: string, cause: string): never => {
    throw new ParticlizeError({ file, place, cause, action: 'Repair the file, or delete the folder of this round' });
  };
  if (text.length > largestRoundText) fail('', 'this is too large for the record of a round');
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    fail('', 'this is not valid JSON');
  }
  const root = record(value) ?? fail('', 'this is no record of a round');
  if (root['version'] !== 1) fail('version', 'this is not the record of a round of version 1');
  const whole = (from: unknown, place: string): void => {
    if (!Number.isSafeInteger(from) || (from as number) < 0 || (from as number) > mostRounds) fail(place, `this should be a whole number from 0 to ${mostRounds}`);
  };
  whole(root['round'], 'round');
  const { round } = root as { round: number };
  if (round === 0 ? root['parent'] !== undefined : !(Number.isSafeInteger(root['parent']) && (root['parent'] as number) >= 0 && (root['parent'] as number) < round)) {
    fail('parent', 'this should be an earlier round');
  }
  if (!roundActions.includes(root['action'] as RoundAction) || (root['action'] === 'original') !== (round === 0)) fail('action', `this should be one of ${roundActions.join(', ')}`);
  if (typeof root['title'] !== 'string') fail('title', 'this should be a text');
  const model = record(root['model']);
  if (typeof model?.['file'] !== 'string' || typeof model['sha256'] !== 'string' || model['file'] === '') fail('model', 'it should name the file and its digest');
  if (round > 0 && !isInside(model!['file'] as string)) fail('model.file', 'this should be a file in the folder of the round');
  checkEvaluation(root['evaluation'], fail);
  if (!isCount(root['fileBytes'])) fail('fileBytes', 'this should be a number from 0 up');
  const data = record(root['data']);
  if (typeof data?.['recipe'] !== 'string' || !Number.isSafeInteger(data['seed'])) fail('data', 'it should name the recipe and the seed');
  if (root['untrained'] !== undefined && root['untrained'] !== null && typeof root['untrained'] !== 'number') fail('untrained', 'this should be a number');
  checkOptional(root, fail);
  return withNaN(value as Round);
}

/** JSON has null for what is not a number. */
function withNaN(round: Round): Round {
  const number = (value: number | null): number => value ?? NaN;
  const { evaluation } = round;
  const metrics = Object.fromEntries(Object.entries(evaluation.metrics).map(([name, value]) => [name, number(value)]));
  return { ...round, evaluation: { ...evaluation, loss: number(evaluation.loss), metrics }, ...(round.untrained !== undefined && { untrained: number(round.untrained) }) };
}

const mostRounds = 9999;

type Fail = (place: string, cause: string) => never;

function checkEvaluation(value: unknown, fail: Fail): void {
  const evaluation = record(value) ?? fail('evaluation', 'this is missing');
  const metrics = record(evaluation['metrics']) ?? fail('evaluation.metrics', 'this is missing');
  const decisive = record(evaluation['decisive']);
  if (typeof decisive?.['name'] !== 'string' || typeof decisive['higherIsBetter'] !== 'boolean') fail('evaluation.decisive', 'it should name a metric');
  for (const [name, number] of Object.entries(metrics)) if (typeof number !== 'number' && number !== null) fail(`evaluation.metrics.${name}`, 'this should be a number');
  if (!Object.hasOwn(metrics, decisive!['name'] as string)) fail('evaluation.metrics', 'the deciding metric is missing');
  if (typeof evaluation['loss'] !== 'number' && evaluation['loss'] !== null) fail('evaluation.loss', 'this should be a number');
  for (const name of ['samples', 'parameters', 'macs', 'bytes']) if (!isCount(evaluation[name])) fail(`evaluation.${name}`, 'this should be a number from 0 up');
  if (typeof evaluation['engine'] !== 'string') fail('evaluation.engine', 'this should be a text');
}

function checkOptional(root: Readonly<Record<string, unknown>>, fail: Fail): void {
  const { latency, training } = root;
  if (latency !== undefined) {
    const found = record(latency);
    if (!isCount(found?.['medianMs']) || !isCount(found['runs']) || typeof found['engine'] !== 'string') fail('latency', 'it should hold medianMs, runs and engine');
  }
  if (training === undefined) return;
  const found = record(training);
  if (!isCount(found?.['steps']) || !['done', 'early', 'diverged'].includes(found['stopped'] as string) || !isCount(found['learningRate'])) fail('training', 'it should hold steps, stopped and learningRate');
}

function record(value: unknown): Readonly<Record<string, unknown>> | undefined {
  return typeof value === 'object' && value !== null && !Array.isArray(value) ? (value as Readonly<Record<string, unknown>>) : undefined;
}

function isCount(value: unknown): value is number {
  return typeof value === 'number' && Number.isFinite(value) && value >= 0;
}

/** A relative path that does not lead out of its folder. */
function isInside(file: string): boolean {
  return !/^[\\/]|^[a-z]:|\\|\0/i.test(file) && !file.split('/').includes('..');
}
