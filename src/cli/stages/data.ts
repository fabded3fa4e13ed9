import path from 'node:path';
import { openRecipe } from '../../compute/recipeFiles';
import { dataReport } from '../../core/data/dataReport';
import type { Stage } from '../stage';
import { textFacts, textFindings, textTable } from '../textTable';

export const data: Stage = {
  name: 'data',
  summary: 'The data report: counts, classes, ranges, drift between splits, findings',
  positionals: ['RECIPE'],
  options: {},
  async run({ positionals }, { task }) {
    const { recipe, files } = await openRecipe(path.resolve(positionals[0]!));
    const report = await dataReport(recipe, files, { task });
    return {
      json: report,
      text: () => [
        textFacts([['recipe', report.recipe], ['task', report.task], ['rows', report.rows]]),
        textTable(['role', 'array', 'type', 'shape', 'smallest', 'largest', 'mean', 'deviation'],
          report.arrays.map((array) => [array.role, array.from, array.dtype, array.shape.join('×'), array.minimum, array.maximum, array.mean, array.deviation])),
        report.splits.length ? textTable(['split', 'from', 'to', 'rows', 'shift of the mean', 'other classes'],
          report.splits.map(({ name, from, to, rows, drift }) => [name, from, to, rows, drift?.meanShift, drift?.classes])) : '',
        report.classes ? textTable(['class', 'rows'], report.classes.map(({ name, count }) => [name, count])) : '',
        textFindings(report.findings),
      ].filter(Boolean).join('\n'),
    };
  },
};
