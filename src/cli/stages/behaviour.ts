import { columnCsv, columnRows, columnText } from '../columnRows';
import { dataOption, list, openModel, recipePath, samplesOption, whole, type Stage } from '../stage';
import { behaviourColumns } from '../../core/behaviour/registry';

export const behaviour: Stage = {
  name: 'behaviour',
  summary: 'What each particle does when the model runs: activations, selectivity, contribution, ablation',
  positionals: ['FILE'],
  required: ['data'],
  options: {
    ...dataOption,
    columns: { type: 'string', value: 'A,B', text: `Only these columns, of ${behaviourColumns.map(({ name }) => name).join(', ')}`, multiple: true },
    layers: { type: 'string', value: 'L', text: 'Only these layers', multiple: true },
    ...samplesOption,
    seed: { type: 'string', value: 'S', text: 'Recorded with the numbers; nothing here is random yet' },
    csv: { type: 'boolean', text: 'Print CSV' },
  },
  async run(args, services) {
    const summary = await openModel(args, services);
    const layers = list(args, 'layers');
    const columns = await services.sessions.behaviour({
      model: summary.model, recipe: recipePath(args), columns: list(args, 'columns'), layers, samples: whole(args, 'samples', 1), seed: whole(args, 'seed'),
    }, services.task);
    const wanted = list(args, 'columns');
    const result = columnRows(summary, wanted ? columns.filter(({ name }) => wanted.includes(name)) : columns, layers);
    return { json: result, text: () => (args.flags.has('csv') ? columnCsv(result) : columnText(result)) };
  },
};
