import { columnCsv, columnRows, columnText } from '../columnRows';
import { list, openModel, UsageError, type Stage } from '../stage';
import { attributeColumns, attributeFamilies } from '../../core/attributes/registry';

export const attributes: Stage = {
  name: 'attributes',
  summary: 'What the weights alone say of each particle',
  positionals: ['FILE'],
  options: {
    columns: { type: 'string', value: 'A,B', text: `Only these columns, of ${attributeColumns.map(({ name }) => name).join(', ')}`, multiple: true },
    layers: { type: 'string', value: 'L', text: 'Only these layers', multiple: true },
    csv: { type: 'boolean', text: 'Print CSV' },
    arrow: { type: 'boolean', text: 'Print an Arrow file (not there yet)' },
  },
  async run(args, services) {
    if (args.flags.has('arrow')) throw new UsageError('Arrow files cannot be written yet, --csv and --json can');
    const summary = await openModel(args, services);
    const names = list(args, 'columns') ?? attributeFamilies.filter(({ onRequest }) => !onRequest).flatMap(({ columns }) => columns.map(({ name }) => name));
    const columns = await services.sessions.columns({ model: summary.model, names }, services.task);
    const result = columnRows(summary, columns, list(args, 'layers'));
    return { json: result, text: () => (args.flags.has('csv') ? columnCsv(result) : columnText(result)) };
  },
};
