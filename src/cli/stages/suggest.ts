import { writeFile } from 'node:fs/promises';
import path from 'node:path';
import type { SuggestResult } from '../../compute/protocol';
import { ParticlizeError } from '../../core/graph/errors';
import { normalisations, reductions } from '../../core/optimise/criteria/criterion';
import { criteria } from '../../core/optimise/criteria/registry';
import type { CriterionChoice } from '../../core/optimise/criteria/scoreBundles';
import { planOf, type Plan, type Suggestion } from '../../core/optimise/plan';
import type { Target } from '../../core/optimise/suggestOptions';
import { dataOption, list, number, openModel, recipePath, samplesOption, text, UsageError, whole, type Arguments, type Stage } from '../stage';
import { figure, textFacts, textTable } from '../textTable';

export const defaultMaxDrop = 0.01;

export const suggestOptions = {
  target: { type: 'string', value: 'macs=0.5', text: 'Share of MACs, parameters, bytes or latency to reach; several with commas', multiple: true },
  'max-drop': { type: 'string', value: '0.01', text: 'Largest accepted drop of the metric; 0.01 by default' },
} as const;

export const suggest: Stage = {
  name: 'suggest',
  summary: 'What can be removed within an accepted drop, measured with all of it switched off together',
  positionals: ['FILE'],
  required: ['data'],
  options: {
    ...dataOption, ...suggestOptions, ...samplesOption,
    limit: { type: 'string', value: 'LAYER=0.5', text: 'Largest share of a layer that may go, 0 to leave it alone; several with commas', multiple: true },
    'multiple-of': { type: 'string', value: '8', text: 'Layers keep a number of particles that this divides' },
    criterion: { type: 'string', value: 'NAME', text: `Rank by this alone instead of ablation in several ways: ${criteria.map(({ name }) => name).join(', ')}` },
    reduce: { type: 'string', value: reductions.join('|'), text: 'How the criterion puts layers together that lose the same channels' },
    normalise: { type: 'string', value: normalisations.join('|'), text: 'How the criterion makes layers comparable' },
    plan: { type: 'string', value: 'FILE', text: 'Also write a suggestion as a plan, for apply' },
    choose: { type: 'string', value: 'ID', text: 'The suggestion that becomes the plan; the first by default' },
  },
  async run(args, services) {
    const request = { maxDrop: maxDrop(args), target: parseTarget(list(args, 'target')), samples: whole(args, 'samples', 1), limits: parseLimits(list(args, 'limit')), multipleOf: whole(args, 'multiple-of', 1), criterion: parseCriterion(args) };
    const summary = await openModel(args, services);
    const result = await services.sessions.suggest({ model: summary.model, recipe: recipePath(args), ...request }, services.task);
    const model = { file: path.basename(summary.path), sha256: summary.sha256 };
    const planFile = text(args, 'plan');
    if (planFile) {
      await writePlan(planFile, planOf(model, [chosen(options(result), text(args, 'choose'), model.file)]));
      services.note(`Wrote ${planFile}.`);
    }
    return { json: { model, ...result }, text: () => suggestionText(result) };
  },
};

export function maxDrop(args: Parameters<typeof number>[0]): number {
  const drop = number(args, 'max-drop') ?? defaultMaxDrop;
  if (drop < 0) throw new UsageError('--max-drop is a number from 0 up');
  return drop;
}

export function chosen(suggestions: readonly Suggestion[], id: string | undefined, file: string): Suggestion {
  const found = id === undefined ? suggestions[0] : suggestions.find((suggestion) => suggestion.id === id);
  if (found) return found;
  throw new ParticlizeError({
    file, cause: id === undefined ? 'there is no suggestion to choose' : `there is no suggestion '${id}'`,
    action: suggestions.length ? `There are ${suggestions.map((suggestion) => suggestion.id).join(', ')}` : 'Accept a larger drop',
  });
}

export function suggestionText({ baseline, suggestions, refusals, front }: SuggestResult): string {
  const { name } = baseline.decisive;
  const share = (after: number, before: number): string => (before ? `${Math.round((100 * after) / before)} %` : '');
  const row = ({ id, particles, predicted, lossless }: Suggestion): (string | number | undefined)[] => [
    id, particles.length, predicted.metric?.change, share(predicted.parameters, baseline.parameters), share(predicted.macs, baseline.macs),
    predicted.latencyMs ? share(predicted.latencyMs.after, predicted.latencyMs.before) : '', lossless ? 'yes' : '',
  ];
  return [
    textFacts([['loss', baseline.loss], ...Object.entries(baseline.metrics), ['samples', baseline.samples],
      ['parameters', baseline.parameters], ['multiply-accumulates', baseline.macs]]),
    suggestions.length
      ? textTable(['suggestion', 'particles', `change of ${name}`, 'parameters left', 'MACs left', 'time left', 'lossless'], suggestions.map(row))
      : 'Nothing can be removed within the accepted drop.\n',
    front.length > 1 ? `None of these is better than another in ${name} and multiply-accumulates both: ${front.map(({ id, predicted }) =>
      `${id} (${figure(predicted.metric?.change ?? 0)}, ${share(predicted.macs, baseline.macs)} of MACs)`).join(', ')}.\n` : '',
    suggestions.map(({ id, evidence }) => `${id}: ${evidence}\n`).join(''),
    refusals.map(({ layer, reason }) => `${layer} stays as it is: ${reason}.\n`).join(''),
  ].filter(Boolean).join('\n');
}

export function changeText(before: number, after: number): string {
  return `${figure(before)} → ${figure(after)}`;
}

async function writePlan(file: string, plan: Plan): Promise<void> {
  try {
    await writeFile(file, `${JSON.stringify(plan, null, 2)}\n`, { flag: 'wx' });
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    const cause = code === 'EEXIST' ? 'the file exists already and is not written over' : `the plan cannot be written (${code})`;
    throw new ParticlizeError({ file, cause }, { cause: error });
  }
}

export function parseTarget(parts: readonly string[] | undefined): Target | undefined {
  if (!parts?.length) return undefined;
  const target: { -readonly [name in keyof Target]: Target[name] } = {};
  for (const part of parts) {
    const [, name, value] = /^(macs|parameters|bytes|latency)=(.+)$/.exec(part) ?? [];
    const share = Number(value);
    if (!name || !(share > 0 && share <= 1)) throw new UsageError(`--target is macs=0.5, parameters=0.5, bytes=0.5 or latency=0.5 (a share of what there is), not '${part}'`);
    target[name as keyof Target] = share;
  }
  return target;
}

function parseCriterion(args: Arguments): CriterionChoice | undefined {
  const criterion = text(args, 'criterion');
  const [reduce, normalise] = [oneOf(args, 'reduce', reductions), oneOf(args, 'normalise', normalisations)];
  if (criterion === undefined) {
    if (reduce ?? normalise) throw new UsageError('--reduce and --normalise go with --criterion');
    return undefined;
  }
  if (!criteria.some(({ name }) => name === criterion)) throw new UsageError(`--criterion is one of ${criteria.map(({ name }) => name).join(', ')}, not '${criterion}'`);
  return { criterion, reduce, normalise };
}

function oneOf<Name extends string>(args: Arguments, option: string, names: readonly Name[]): Name | undefined {
  const given = text(args, option);
  const found = names.find((name) => name === given);
  if (given !== undefined && found === undefined) throw new UsageError(`--${option} is one of ${names.join(', ')}, not '${given}'`);
  return found;
}

function parseLimits(parts: readonly string[] | undefined): Record<string, number> | undefined {
  if (!parts?.length) return undefined;
  return Object.fromEntries(parts.map((part) => {
    const [, layer, value] = /^(.+)=(.+)$/.exec(part) ?? [];
    const share = Number(value);
    if (!layer || !(share >= 0 && share <= 1)) throw new UsageError(`--limit is LAYER=0.5 (a share of its particles), not '${part}'`);
    return [layer, share];
  }));
}

/** Suggestions, and options that are only on the front. */
export function options({ suggestions, front }: Pick<SuggestResult, 'suggestions' | 'front'>): Suggestion[] {
  return [...suggestions, ...front.filter(({ id }) => !suggestions.some((other) => other.id === id))];
}
