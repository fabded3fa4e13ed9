import { batchModel, batchSize, bytesPerSample } from '../evaluate/batching';
import { decidingOutput } from '../evaluate/metrics';
import { throwIfCancelled } from '../graph/errors';
import { asFloat32 } from '../graph/numeric';
import type { ParticleGroup } from '../particles/particle';
import { openCut } from './ablation/cut';
import type { BehaviourContext } from './behaviour';

/** How far the model's output moves for each sample when a particle is silent: mean magnitude over its numbers, [particles, samples]. */
export async function outputChanges(context: BehaviourContext, group: ParticleGroup, particles: readonly number[]): Promise<Float64Array> {
  const { data, engine, memoryBytes, task } = context;
  const model = await batchModel(context.graph);
  const output = decidingOutput(model.graph, data).name;
  const samples = Math.min(data.count, batchSize(memoryBytes / 2, bytesPerSample(model.graph) * (data.rowsPerSample ?? 1)));
  const result = new Float64Array(particles.length * data.count);
  const cut = await openCut(model, group, { engine, output, samples: samples * (data.rowsPerSample ?? 1), memoryBytes });
  try {
    for (let from = 0; from < data.count; from += samples) {
      const to = Math.min(data.count, from + samples);
      const known = await cut.prefix(await data.inputs(from, to));
      const before = asFloat32(known.get(output)!);
      // A ranking has several rows a sample.
      const perSample = data.rowsPerSample ?? 1;
      const all = Array.from({ length: (to - from) * perSample }, (_, index) => index);
      const width = before.length / all.length;
      const atOnce = Math.max(1, Math.floor(cut.rows / all.length));
      for (let first = 0; first < particles.length; first += atOnce) {
        throwIfCancelled(task);
        task?.progress?.(from * particles.length + first * all.length, data.count * particles.length, `Effect on the output of ${group.layer}`);
        const list = particles.slice(first, first + atOnce);
        const after = asFloat32(await cut.without(known, list.map((particle) => ({ particle, samples: all }))));
        list.forEach((_, position) => all.forEach((row) => {
          let sum = 0;
          const start = (position * all.length + row) * width;
          for (let at = 0; at < width; at++) sum += Math.abs(after[start + at]! - before[row * width + at]!);
          result[(first + position) * data.count + from + Math.floor(row / perSample)]! += sum / width / perSample;
        }));
      }
    }
  } finally {
    await cut.dispose();
  }
  return result;
}
