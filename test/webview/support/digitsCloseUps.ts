import path from 'node:path';
import { createSessions } from '../../../src/compute/session';

const sample = path.resolve(__dirname, '../../../media/samples/digits');

/** What the compute process really answers for the digits model: all details of some places, and predictions with particles muted. */
export async function digitsCloseUps(
  places: readonly { readonly layer: string; readonly particle: number }[], muted: readonly (readonly number[])[],
): Promise<Record<string, Record<string, unknown>>> {
  const sessions = createSessions({ engine: 'auto', threads: 1, memoryMegabytes: 512, workers: 1 });
  const { model } = await sessions.open({ path: path.join(sample, 'model.onnx') }, {});
  const recipe = path.join(sample, 'digits.particlize.json');
  const answers: Record<string, Record<string, unknown>> = { details: {}, detail: {}, mutedPrediction: {} };
  for (const { layer, particle } of places) {
    // The digits have no noise levels or other groups.
    const infos = (await sessions.details({ model, layer }, {})).filter(({ name }) => name !== 'effectByGroup');
    answers.details![layer] = infos;
    for (const { name } of infos) {
      answers.detail![`${layer} ${name}`] = await sessions.detail({ model, recipe, name, layer, particle }, {});
    }
  }
  for (const rows of muted) answers.mutedPrediction![String(rows)] = await sessions.mutedPrediction({ model, recipe, sample: 0, rows }, {});
  return answers;
}
