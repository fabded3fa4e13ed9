import path from 'node:path';
import { loadRecipe } from '../../../src/compute/recipeFiles';
import { fileSetOf } from '../../../src/compute/files';
import type { BehaviourContext } from '../../../src/core/behaviour/behaviour';
import { openModel } from '../../../src/core/formats/registry';
import type { Finding } from '../../../src/core/graph/errors';
import { decompose } from '../../../src/core/particles/decompose';
import { createEngine } from '../../../src/engines/registry';

export const root = path.resolve(__dirname, '../../..');
export const digits = path.join(root, 'media/samples/digits');

/** A model file with a recipe, ready for behaviour runs on the default engine. */
export async function openSample(
  model: string, recipe: string, options: { samples?: number; memoryBytes?: number } = {},
): Promise<BehaviourContext & { readonly findings: Finding[] }> {
  const graph = await openModel(await fileSetOf(model));
  const memoryBytes = options.memoryBytes ?? 2 ** 28;
  const { dataset } = await loadRecipe(recipe, graph, { samples: options.samples });
  const findings: Finding[] = [];
  return {
    graph, table: decompose(graph), engine: await createEngine('auto'), data: dataset, memoryBytes, findings,
    report: (finding) => findings.push(finding),
  };
}
