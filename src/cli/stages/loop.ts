import path from 'node:path';
import type { LoopResult, RoundSummary } from '../../compute/protocol';
import { CancelledError } from '../../core/graph/errors';
import { dataOption, list, number, openModel, recipePath, text, UsageError, whole, type Stage } from '../stage';
import { figure, textFacts, textFindings, textTable } from '../textTable';
import { maxDrop, parseTarget, suggestOptions } from './suggest';

const defaultEpochs = 20;

export const loop: Stage = {
  name: 'loop',
  summary: 'Removes, trains and evaluates, round after round, until the target is met or the drop exceeded',
  positionals: ['FILE'],
  required: ['data', 'target', 'out'],
  options: {
    ...dataOption, ...suggestOptions,
    out: { type: 'string', value: 'DIR', text: 'Folder for the rounds; the same command goes on where it was' },
    'epochs-per-round': { type: 'string', value: 'N', text: `Times that all training samples are seen in a round; ${defaultEpochs} by default` },
    rounds: { type: 'string', value: 'N', text: 'At most so many rounds; 12 by default' },
    criterion: { type: 'string', value: 'C', text: 'compensated (default where MACs are the target) or ablation' },
    distil: { type: 'boolean', text: 'Also learn from the original\'s outputs' },
    lr: { type: 'string', value: '1e-3', text: 'Learning rate; 0.001 by default' },
    batch: { type: 'string', value: '64', text: 'Samples a step' },
    samples: { type: 'string', value: 'N', text: 'Training rows that are looked at to choose; 512 by default' },
    seed: { type: 'string', value: 'S', text: 'Decides orders; 0 by default' },
  },
  async run(args, services) {
    const json = args.flags.has('json');
    const learningRate = number(args, 'lr');
    if (learningRate !== undefined && !(learningRate > 0)) throw new UsageError(`--lr is a number above 0, not '${text(args, 'lr')}'`);
    const criterion = text(args, 'criterion');
    if (criterion !== undefined && criterion !== 'compensated' && criterion !== 'ablation') throw new UsageError(`--criterion is compensated or ablation, not '${criterion}'`);
    const request = {
      recipe: recipePath(args), folder: path.resolve(text(args, 'out')!), target: parseTarget(list(args, 'target'))!, maxDrop: maxDrop(args), rounds: whole(args, 'rounds', 1),
      settings: { epochs: whole(args, 'epochs-per-round', 1) ?? defaultEpochs, batch: whole(args, 'batch', 1), learningRate },
      distil: args.flags.has('distil'), criterion, samples: whole(args, 'samples', 1), seed: whole(args, 'seed'),
    } as const;
    const { model } = await openModel(args, services);
    const show = (round: RoundSummary): void => services.line(json ? JSON.stringify(round) : roundLine(round));
    try {
      const result = await services.sessions.loop({ model, ...request, settings: known(request.settings) }, { ...services.task, round: (_, round) => show(round) });
      return { json: result, text: () => loopText(result) };
    } catch (error) {
      if (error instanceof CancelledError) services.note('What was reached is kept in the folder; the same command goes on.');
      throw error;
    }
  },
};

function known<T extends object>(settings: T): T {
  return Object.fromEntries(Object.entries(settings).filter(([, value]) => value !== undefined)) as T;
}

function roundLine({ round, title, evaluation, drop, withinDrop }: RoundSummary): string {
  const { name } = evaluation.decisive;
  return `Round ${round}: ${title}, ${name} ${figure(evaluation.metrics[name]!)}${round === 0 ? '' : withinDrop ? '' : `, ${figure(drop)} lost: too much, goes back`}`;
}

function loopText({ rounds, message, model, pareto, findings }: LoopResult): string {
  const [original] = rounds;
  const name = original!.evaluation.decisive.name;
  const share = (now: number, then: number): string => (then ? `${((100 * now) / then).toFixed(1)} %` : '');
  return [
    '',
    textTable(['round', 'from', 'action', name, 'drop', 'parameters', 'MACs', 'MACs left', 'file bytes', 'ms a sample', ''], rounds.map((round) => [
      round.round, round.parent, round.title, round.evaluation.metrics[name], round.drop, round.evaluation.parameters, round.evaluation.macs,
      share(round.evaluation.macs, original!.evaluation.macs), round.fileBytes, round.latency?.medianMs,
      [round.best ? 'best' : '', round.withinDrop ? '' : 'too much lost', pareto.includes(round.round) ? 'Pareto' : ''].filter(Boolean).join(', '),
    ])),
    textFacts([
      ['measured on', `${figure(original!.evaluation.samples)} samples${original!.data.split === undefined ? '' : ` of the split ${original!.data.split}`}`],
      ['latency', original!.latency && `median of ${original!.latency.runs} runs, ${original!.latency.engine}, ${original!.latency.threads} threads, one sample at a time`],
    ]),
    textFindings(findings),
    `${message}.`,
    `Result: ${path.relative(process.cwd(), model) || model}`,
    '',
  ].filter((part, index) => index === 0 || part !== '').join('\n');
}
