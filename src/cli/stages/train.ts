import path from 'node:path';
import type { TrainResult, TrainSettings } from '../../compute/protocol';
import { CancelledError } from '../../core/graph/errors';
import type { EpochRow } from '../../core/train/fineTune';
import { dataOption, list, number, openModel, recipePath, text, UsageError, whole, type Arguments, type Stage } from '../stage';
import { figure, textFacts } from '../textTable';

export const train: Stage = {
  name: 'train',
  summary: 'Trains the model further on the recipe\'s training rows; the best weights go into a new file',
  positionals: ['FILE'],
  required: ['data', 'epochs', 'out'],
  options: {
    ...dataOption,
    epochs: { type: 'string', value: 'N', text: 'Times that all training samples are seen' },
    out: { type: 'string', value: 'DIR', text: 'Folder for the trained model and, meanwhile, the checkpoint' },
    name: { type: 'string', value: 'NAME', text: 'Name of the new model file' },
    optimiser: { type: 'string', value: 'adam', text: 'adam (default), adamw or sgd' },
    lr: { type: 'string', value: '1e-3', text: 'Learning rate; 0.001 by default, 0.01 with sgd' },
    batch: { type: 'string', value: '64', text: 'Samples a step; more than memory holds are summed up from pieces' },
    steps: { type: 'string', value: 'N', text: 'Stop after so many steps' },
    momentum: { type: 'string', value: '0.9', text: 'Of sgd; 0.9 by default' },
    nesterov: { type: 'boolean', text: 'Nesterov\'s momentum' },
    decay: { type: 'string', value: 'D', text: 'Weight decay' },
    clip: { type: 'string', value: 'NORM', text: 'Largest norm of all gradients together' },
    schedule: { type: 'string', value: 'cosine', text: 'constant (default), cosine, or step: a tenth after each third' },
    'warm-up': { type: 'string', value: 'STEPS', text: 'Steps over which the learning rate rises' },
    patience: { type: 'string', value: 'N', text: 'Stop when so many epochs in a row were no better' },
    distil: { type: 'string', value: 'ORIGINAL', text: 'Learn from this model\'s outputs too (the one before pruning)' },
    temperature: { type: 'string', value: '4', text: 'Of the distillation' },
    alpha: { type: 'string', value: '0.9', text: 'Share of the distillation in the loss' },
    loss: { type: 'string', value: 'pairwise', text: 'For ranking: binary (default) or pairwise' },
    freeze: { type: 'string', value: 'LAYERS', text: 'Layers or folders of layers whose weights stay', multiple: true },
    'freeze-norm': { type: 'boolean', text: 'Batch normalisation keeps its statistics' },
    dropout: { type: 'boolean', text: 'Dropout layers drop; off by default' },
    seed: { type: 'string', value: 'S', text: 'Decides orders and masks; 0 by default' },
    resume: { type: 'boolean', text: 'Go on where an interrupted run in DIR was' },
  },
  async run(args, services) {
    const settings = settingsOf(args);
    const json = args.flags.has('json');
    const summary = await openModel(args, services);
    const folder = path.resolve(text(args, 'out')!);
    const table = liveTable(services.line);
    const show = (rows: readonly EpochRow[]): void => {
      for (const row of rows) {
        if (json) services.line(JSON.stringify(row));
        else table(row);
      }
    };
    const distil = text(args, 'distil');
    const request = {
      model: summary.model, recipe: recipePath(args), settings, folder, name: text(args, 'name'), distil: distil && path.resolve(distil), resume: args.flags.has('resume'),
    };
    try {
      const result = await services.sessions.train(request, { ...services.task, training: (_, { rows }) => show(rows) });
      for (const { place, message } of result.findings) services.note(`${place}: ${message}`);
      if (result.validationSamples === 0) services.note('There are too few samples to hold some out, so that the last weights were kept, not the best.');
      return { json: result, text: () => trainedText(result) };
    } catch (error) {
      if (error instanceof CancelledError) services.note('What was reached is kept in the folder; the same command with --resume goes on.');
      throw error;
    }
  },
};

function settingsOf(args: Arguments): TrainSettings {
  const positive = (name: string): number | undefined => {
    const value = number(args, name);
    if (value !== undefined && !(value > 0)) throw new UsageError(`--${name} is a number above 0, not '${text(args, name)}'`);
    return value;
  };
  const share = (name: string): number | undefined => {
    const value = number(args, name);
    if (value !== undefined && !(value >= 0 && value <= 1)) throw new UsageError(`--${name} is a number from 0 to 1, not '${text(args, name)}'`);
    return value;
  };
  const oneOf = <T extends string>(name: string, choices: readonly T[]): T | undefined => {
    const value = text(args, name);
    if (value === undefined) return undefined;
    const known = choices.find((choice) => choice === value);
    if (!known) throw new UsageError(`--${name} is one of ${choices.join(', ')}, not '${value}'`);
    return known;
  };
  const momentum = share('momentum');
  if (momentum === 1) throw new UsageError('--momentum is below 1');
  const decay = number(args, 'decay');
  if (decay !== undefined && decay < 0) throw new UsageError('--decay is a number from 0 up');
  const given: TrainSettings = {
    epochs: whole(args, 'epochs', 1)!, steps: whole(args, 'steps', 1), batch: whole(args, 'batch', 1), seed: whole(args, 'seed'),
    optimiser: oneOf('optimiser', ['adam', 'adamw', 'sgd']), learningRate: positive('lr'), momentum, nesterov: args.flags.has('nesterov') || undefined,
    weightDecay: decay, clipNorm: positive('clip'), schedule: oneOf('schedule', ['constant', 'cosine', 'step']), warmUpSteps: whole(args, 'warm-up'),
    patience: whole(args, 'patience', 1), loss: oneOf('loss', ['crossEntropy', 'binary', 'squaredError', 'nextToken', 'pairwise']),
    distillation: text(args, 'distil') === undefined ? undefined : { temperature: positive('temperature') ?? 4, alpha: share('alpha') ?? 0.9 },
    frozenLayers: list(args, 'freeze'), freezeBatchNorm: args.flags.has('freeze-norm') || undefined, dropout: args.flags.has('dropout') || undefined,
  };
  return Object.fromEntries(Object.entries(given).filter(([, value]) => value !== undefined)) as unknown as TrainSettings;
}

/** Rows as they come, under a head that is printed with the first. */
function liveTable(line: (text: string) => void): (row: EpochRow) => void {
  let heads: readonly string[] | undefined;
  return (row) => {
    const cells: Readonly<Record<string, string>> = {
      epoch: String(row.epoch), step: String(row.step), 'learning rate': row.learningRate === undefined ? '' : row.learningRate.toPrecision(3),
      loss: row.loss === undefined ? '' : figure(row.loss), 'validation loss': row.validationLoss === undefined ? '' : figure(row.validationLoss),
      ...Object.fromEntries(Object.entries(row.metrics ?? {}).map(([name, value]) => [name, figure(value)])), best: row.best ? 'best' : '',
    };
    const print = (values: readonly string[]): void => line(values.map((value, index) => value.padEnd(Math.max(heads![index]!.length, 9))).join('  ').trimEnd());
    if (!heads) print(heads = Object.keys(cells));
    print(heads.map((head) => cells[head] ?? ''));
  };
}

function trainedText({ rows, bestEpoch, steps, message, files, engine, trainingSamples, validationSamples }: TrainResult): string {
  const best = rows.find(({ epoch }) => epoch === bestEpoch);
  return [
    '',
    ...(message ? [`${message}.\n`] : []),
    textFacts([
      ['kept weights of epoch', bestEpoch], ...Object.entries(best?.metrics ?? {}), ['steps', steps], ['training samples', trainingSamples],
      ['validation samples', validationSamples], ['engine', engine],
    ]),
    files.map((file) => `Wrote ${path.relative(process.cwd(), file) || file}\n`).join(''),
  ].join('\n');
}
