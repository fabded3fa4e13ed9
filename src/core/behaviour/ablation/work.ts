import { nodeMacs } from '../../evaluate/cost';
import type { Task } from '../../graph/errors';
import { indexOf } from '../../graph/modelGraph';
import type { ParticleGroup } from '../../particles/particle';
import { suffixOf } from '../suffix';
import { actsBefore } from './cut';
import type { Replacement, SweepModel, SweepPart } from './sweep';

/** Runs parts of a sweep somewhere else, several side by side (a pool of processes). */
export interface SweepWorkers {
  readonly count: number;
  /** `found`: effects of some of the part's particles, one after the other (see effects.ts). Rejects with a ParticlizeError or CancelledError. */
  run(parts: readonly SweepPart[], found: (part: SweepPart, particles: readonly number[], effects: Float32Array) => void, task: Task | undefined): Promise<void>;
}

/** Keeps what a sweep has found, so that after a cancel or a crash only the rest is computed. */
export interface SweepStore {
  /** Effects of all particles of a layer, NaN where there are none yet; undefined when nothing is kept. */
  read(layer: string, replacement: Replacement): Promise<Float32Array | undefined>;
  write(layer: string, replacement: Replacement, effects: Float32Array): Promise<void>;
  /** What was written may wait until now. */
  flush(): Promise<void>;
}

/** A whole layer when that is quick, else some particles: what is lost when it is interrupted, and shared among workers. */
export function partsOfSweep(
  { model, objective }: SweepModel, layers: readonly SweepPart[], { samples, workers }: { samples: number; workers: number },
): { readonly parts: readonly SweepPart[]; readonly seconds: number } {
  const costs = layers.map(({ group, particles }) => (particles.length * samples * suffixMacs(model.graph, group, objective.output)) / macsPerSecond);
  const seconds = costs.reduce((sum, cost) => sum + cost, 0);
  const largest = Math.min(longestPartSeconds, Math.max(shortestPartSeconds, seconds / (6 * workers)));
  const parts = layers.flatMap((layer, index) => {
    const pieces = Math.max(1, Math.min(Math.ceil(costs[index]! / largest), Math.floor(layer.particles.length / fewestParticles)));
    const each = Math.ceil(layer.particles.length / pieces);
    return Array.from({ length: Math.ceil(layer.particles.length / each) }, (_, piece) =>
      ({ ...layer, particles: layer.particles.slice(piece * each, (piece + 1) * each) }));
  });
  return { parts, seconds };
}

/** One thread of ONNX Runtime, small convolutions; only the order of magnitude matters. */
const macsPerSecond = 2e10;
const longestPartSeconds = 10;
const shortestPartSeconds = 0.5;
/** What lies in front of the cut runs once a part, which is worth about one particle. */
const fewestParticles = 8;

/** Multiply-accumulates of what follows the particles, for one sample. */
function suffixMacs(graph: SweepModel['model']['graph'], group: ParticleGroup, output: string): number {
  const { producer } = indexOf(graph);
  const cut = group.kind === 'unit' ? [group.producer.value] : actsBefore({ graph }, group, output).map(({ value }) => value);
  const nodes = new Set(suffixOf(graph, cut, output).values.map((value) => producer.get(value)!));
  if (group.kind === 'unit') nodes.add(producer.get(group.producer.value)!);
  let macs = 1000;
  for (const node of nodes) macs += nodeMacs(graph, node) ?? 0;
  return macs;
}
