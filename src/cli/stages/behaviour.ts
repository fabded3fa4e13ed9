import { columnCsv, columnRows, columnText } from '../columnRows';
import { detailJson, detailText } from '../detailText';
import { dataOption, list, openModel, recipePath, samplesOption, whole, text, UsageError, type Arguments, type Stage, type StageResult, type StageServices } from '../stage';
import type { ModelSummary } from '../../compute/protocol';
import { details } from '../../core/behaviour/details/registry';
import { behaviourColumns } from '../../core/behaviour/registry';
import { parseParticleId } from '../../core/particles/particle';

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
    detail: { type: 'string', value: 'NAME', text: `Look closely at one particle or layer instead, with one of ${details.map(({ name }) => name).join(', ')}` },
    particle: { type: 'string', value: 'ID', text: 'The particle that --detail is about, as in conv1/kernel:17; --layers L for details of a layer' },
    sample: { type: 'string', value: 'N', text: 'The sample that --detail shows, when it shows one' },
    csv: { type: 'boolean', text: 'Print CSV' },
  },
  async run(args, services) {
    const summary = await openModel(args, services);
    if (text(args, 'detail') !== undefined) return detail(args, services, summary);
    const layers = list(args, 'layers');
    const columns = await services.sessions.behaviour({
      model: summary.model, recipe: recipePath(args), columns: list(args, 'columns'), layers, samples: whole(args, 'samples', 1), seed: whole(args, 'seed'),
    }, services.task);
    const wanted = list(args, 'columns');
    const result = columnRows(summary, wanted ? columns.filter(({ name }) => wanted.includes(name)) : columns, layers);
    return { json: result, text: () => (args.flags.has('csv') ? columnCsv(result) : columnText(result)) };
  },
};

async function detail(args: Arguments, { sessions, task }: StageServices, summary: ModelSummary): Promise<StageResult> {
  const id = text(args, 'particle');
  const particle = id === undefined ? undefined : parseParticleId(id);
  if (id !== undefined && !particle) throw new UsageError(`--particle is an id such as conv1/kernel:17, not '${id}'`);
  const name = text(args, 'detail')!;
  const layer = particle?.layer ?? list(args, 'layers')?.[0];
  if (layer === undefined || (particle === undefined && details.find((known) => known.name === name)?.of === 'particle')) {
    throw new UsageError('--detail wants to know what to look at: --particle ID, or --layers L for details of a layer');
  }
  const result = await sessions.detail({
    model: summary.model, name, layer, particle: particle?.index, recipe: recipePath(args), sample: whole(args, 'sample'), samples: whole(args, 'samples', 1),
    seed: whole(args, 'seed'),
  }, task);
  return { json: detailJson(result, summary), text: () => detailText(result, summary) };
}
