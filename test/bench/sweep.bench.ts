import path from 'node:path';
import { addBehaviour } from '../../src/core/behaviour/registry';
import { loadDataset } from '../../src/core/data/loadDataset';
import { parseRecipe } from '../../src/core/data/recipe';
import { openModel } from '../../src/core/formats/registry';
import { evaluate } from '../../src/core/evaluate/evaluate';
import { decompose } from '../../src/core/particles/decompose';
import { fileSetOf, fileSource } from '../../src/compute/files';
import { createEngine } from '../../src/engines/registry';
import { faster, inTurn, milliseconds, type Bench, type Row } from './measure';

const sample = path.resolve(__dirname, '../../media/samples/digits');
const memoryBytes = 2 ** 30;

/** Exact ablation of every particle against the plain way: the whole model once a particle, same engine, same batches. */
export const bench: Bench = {
  title: 'Exact ablation of every particle of the digits sample (360 test images)',
  async run() {
    const engine = await createEngine('auto');
    const graph = await openModel(await fileSetOf(path.join(sample, 'model.onnx')));
    const recipeFile = await fileSource(path.join(sample, 'digits.particlize.json'));
    const text = new TextDecoder().decode(await recipeFile.read(0, recipeFile.sizeBytes));
    const recipe = parseRecipe(text, 'digits.particlize.json');
    const { dataset } = await loadDataset(recipe, { open: (name) => fileSource(path.join(sample, name)) }, graph.inputs);
    const rows: Row[] = [];
    const layers = decompose(graph).groups.map(({ layer, count }) => ({ layer, count }));
    for (const { name, chosen } of [{ name: 'all layers', chosen: layers }, ...layers.map((layer) => ({ name: layer.layer, chosen: [layer] }))]) {
      const particles = chosen.reduce((sum, { count }) => sum + count, 0);
      const ours = (): Promise<void> => addBehaviour(
        { graph, table: decompose(graph), engine, data: dataset, memoryBytes, layers: new Set(chosen.map(({ layer }) => layer)), report: () => undefined },
        new Set(['ablationLossChange']),
      );
      const naive = async (): Promise<void> => {
        for (let particle = 0; particle < particles; particle++) await evaluate(graph, engine, dataset, { memoryBytes });
      };
      const { oursMs, theirsMs, ratio } = await inTurn(ours, naive, 3);
      rows.push({
        what: `${name}: ${particles} particles`, ours: milliseconds(oursMs), against: 'the whole model once a particle', theirs: milliseconds(theirsMs), ratio: faster(ratio),
      });
    }
    return rows;
  },
};
