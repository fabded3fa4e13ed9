import path from 'node:path';
import { openRecipe } from '../../compute/recipeFiles';
import type { LayerDrift } from '../../core/behaviour/activationDrift';
import { dataReport, type DataReport, type SplitReport } from '../../core/data/dataReport';
import { text, UsageError, whole, type Arguments, type Stage, type StageResult, type StageServices } from '../stage';
import { textFacts, textFindings, textTable } from '../textTable';

export const data: Stage = {
  name: 'data',
  summary: 'The data report: counts, classes, ranges, repeated and leaked rows, drift between splits; with --for and data files it writes a recipe',
  positionals: ['RECIPE|FILES'],
  more: true,
  options: {
    for: { type: 'string', value: 'MODEL', text: 'With a recipe: drift in this model\'s activations as well. With data files: the model that a recipe is written for' },
    out: { type: 'string', value: 'RECIPE', text: 'Where the new recipe goes (*.particlize.json); beside the model without it' },
    samples: { type: 'string', value: 'N', text: 'Samples of each split for drift in activations; 256 by default' },
  },
  run(args, services) {
    const isRecipe = args.positionals[0]!.endsWith('.particlize.json');
    if (isRecipe && args.positionals.length > 1) throw new UsageError(`'${args.positionals[1]!}' is one argument too many`);
    if (!isRecipe && text(args, 'for') === undefined) throw new UsageError('a recipe ends in .particlize.json; for data files --for MODEL says for which model to write one');
    return isRecipe ? report(args, services) : write(args, services);
  },
};

async function write(args: Arguments, { sessions, task }: StageServices): Promise<StageResult> {
  const out = text(args, 'out');
  if (out !== undefined && !out.endsWith('.particlize.json')) throw new UsageError(`--out should end in .particlize.json, not '${path.basename(out)}'`);
  const { model, path: file } = await sessions.open({ path: text(args, 'for')! }, task);
  const beside = path.join(path.dirname(file), `${path.basename(file).replace(/\.[^.]*$/, '')}.particlize.json`);
  const guess = await sessions.guessRecipe({ model, files: args.positionals, out: out ?? beside }, task);
  return {
    json: guess,
    text: () => [
      textTable(['field', 'guessed', 'because'], guess.guesses.map(({ field, value, why }) => [field, value, why])),
      guess.misfit ? `It does not fit yet: ${guess.misfit}\n` : 'It fits the model.\n',
      `Written to ${guess.path}.`,
    ].join('\n'),
  };
}

interface ActivationReport {
  readonly split: string;
  readonly comparedWith: string;
  readonly layers: readonly LayerDrift[];
}

async function report(args: Arguments, services: StageServices): Promise<StageResult> {
  const file = path.resolve(args.positionals[0]!);
  const { recipe, files } = await openRecipe(file);
  const found = await dataReport(recipe, files, { task: services.task });
  const model = text(args, 'for');
  const activations = model === undefined ? [] : await activationReports(model, file, found.splits, args, services);
  return { json: model === undefined ? found : { ...found, activations }, text: () => reportText(found, activations) };
}

async function activationReports(
  model: string, recipe: string, splits: readonly SplitReport[], args: Arguments, { sessions, task }: StageServices,
): Promise<readonly ActivationReport[]> {
  const { model: id } = await sessions.open({ path: model }, task);
  const result: ActivationReport[] = [];
  for (const { name: split, drift } of splits) {
    if (!drift) continue;
    const { comparedWith } = drift;
    result.push({ split, comparedWith, layers: await sessions.activationDrift({ model: id, recipe, split, comparedWith, samples: whole(args, 'samples', 2) }, task) });
  }
  return result;
}

function reportText(found: DataReport, activations: readonly ActivationReport[]): string {
  const tested = (split: SplitReport): string | undefined => split.drift && split.drift.inputs.map(({ shifted, featuresTested }) => `${shifted} of ${featuresTested}`).join(', ');
  return [
    textFacts([['recipe', found.recipe], ['task', found.task], ['rows', found.rows], ['repeated rows', found.duplicates.rows]]),
    textTable(['role', 'array', 'type', 'shape', 'smallest', 'largest', 'mean', 'deviation', 'not finite'],
      found.arrays.map((array) => [array.role, array.from, array.dtype, array.shape.join('×'), array.minimum, array.maximum, array.mean, array.deviation, array.badValues])),
    found.splits.length ? textTable(['split', 'from', 'to', 'rows', 'shift of the mean', 'other classes', 'features shifted', 'rows outside', 'leaked rows'],
      found.splits.map((split) => [split.name, split.from, split.to, split.rows, split.drift?.meanShift, split.drift?.classes, tested(split),
        split.drift?.inputs.map(({ outsideRows }) => outsideRows).join(', '), split.drift?.leakedRows])) : '',
    found.classes ? textTable(['class', 'rows'], found.classes.map(({ name, count }) => [name, count])) : '',
    ...activations.map(({ split, comparedWith, layers }) => textTable([`layer (${split} against ${comparedWith})`, 'difference', 'by chance (95 %)', 'p', 'shifted'],
      layers.map(({ layer, statistic, baseline, pValue, shifted }) => [layer, statistic, baseline, pValue, shifted ? 'yes' : 'no']))),
    textFindings(found.findings),
  ].filter(Boolean).join('\n');
}
