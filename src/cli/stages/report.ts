import { writeFile } from 'node:fs/promises';
import path from 'node:path';
import { ParticlizeError } from '../../core/graph/errors';
import { htmlReport } from '../htmlReport';
import { notebookReport } from '../notebookReport';
import { dataOption, openModel, recipePath, samplesOption, text, UsageError, whole, type Stage } from '../stage';
import { maxDrop, suggestOptions } from './suggest';

export const report: Stage = {
  name: 'report',
  summary: 'Everything about a model on one page: a heatmap of its particles, tables, suggestions',
  positionals: ['FILE'],
  required: ['data', 'out'],
  options: {
    ...dataOption, ...samplesOption, 'max-drop': suggestOptions['max-drop'],
    out: { type: 'string', value: 'FILE', text: 'report.html (one file, opens in a browser) or report.ipynb; written over when it exists' },
  },
  async run(args, services) {
    const out = text(args, 'out')!;
    const make = ({ '.html': htmlReport, '.ipynb': notebookReport } as const)[path.extname(out).toLowerCase()];
    if (!make) throw new UsageError(`--out ends in .html or .ipynb, not '${path.basename(out)}'`);
    const { sessions, task } = services;
    const drop = maxDrop(args);
    const samples = whole(args, 'samples', 1);
    const summary = await openModel(args, services);
    const recipe = recipePath(args);
    await sessions.behaviour({ model: summary.model, recipe, samples }, task);
    const suggestions = await sessions.suggest({ model: summary.model, recipe, samples, maxDrop: drop }, task);
    const columns = await sessions.columns({ model: summary.model }, task);
    const content = make({ summary, columns, suggestions, maxDrop: drop, recipe: path.basename(recipe) });
    try {
      await writeFile(out, content);
    } catch (error) {
      throw new ParticlizeError({ file: out, cause: `the report cannot be written (${(error as NodeJS.ErrnoException).code})` }, { cause: error });
    }
    return { json: { file: path.resolve(out), sizeBytes: Buffer.byteLength(content) }, text: () => `Wrote ${out}\n` };
  },
};
