import path from 'node:path';
import type { BehaviourContext } from '../core/behaviour/behaviour';
import type { DetailInfo, WeightsContext } from '../core/behaviour/details/detail';
import { detailInfo, details, detailsFor } from '../core/behaviour/details/registry';
import { ParticlizeError, throwIfCancelled } from '../core/graph/errors';
import type { ParticleGroup } from '../core/particles/particle';
import type { Provenance } from '../core/particles/particleTable';
import type { DetailRequest, DetailResult } from './protocol';

/** What can be looked at closely in a layer: of all of it, and of each of its particles. */
export function knownDetails({ graph, table }: WeightsContext, group: ParticleGroup): readonly DetailInfo[] {
  return detailsFor(graph, table, group).map(detailInfo);
}

/** Computes one detail. `onData` opens the recipe, which details of weights alone do without. */
export async function computeDetail(
  file: string, weights: WeightsContext, group: ParticleGroup, request: DetailRequest, onData: () => Promise<BehaviourContext>,
): Promise<DetailResult> {
  const place = path.basename(file);
  const { name, particle = 0, sample = 0 } = request;
  const applicable = detailsFor(weights.graph, weights.table, group);
  const detail = applicable.find((candidate) => candidate.name === name);
  if (!detail) {
    const exists = details.some((candidate) => candidate.name === name);
    throw new ParticlizeError({
      file: place, place: group.layer, cause: exists ? `the detail '${name}' does not apply to this layer` : `there is no detail '${name}'`,
      action: `Here are ${applicable.map((candidate) => candidate.name).join(', ')}`,
    });
  }
  if (detail.of === 'particle' && !(Number.isInteger(particle) && particle >= 0 && particle < group.count)) {
    throw new ParticlizeError({ file: place, place: group.layer, cause: `there is no particle ${particle}; it has ${group.count}` });
  }
  throwIfCancelled(weights.task);
  if (detail.needs === 'weights') {
    const data = await detail.compute(weights, { group, particle, sample });
    return { info: detailInfo(detail), data, provenance: { source: 'weights', exact: true } };
  }
  const context = await onData();
  if (!(Number.isInteger(sample) && sample >= 0 && sample < context.data.count)) {
    throw new ParticlizeError({ file: context.data.title, cause: `there is no sample ${sample}; the recipe gives ${context.data.count}` });
  }
  if (detail.needs === 'labels' && !(await context.data.labels(0, 1))) {
    throw new ParticlizeError({ file: context.data.title, place: 'labels', cause: `${detail.title} needs labels, and the recipe has none` });
  }
  return { info: detailInfo(detail), data: await detail.compute(context, { group, particle, sample }), provenance: provenanceOf(context) };
}

function provenanceOf({ data, engine }: BehaviourContext): Provenance {
  return { source: data.synthetic ? 'synthetic' : 'data', data: data.title, samples: data.count, engine: engine.title, seed: data.seed, exact: true };
}
