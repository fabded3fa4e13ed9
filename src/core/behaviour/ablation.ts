import { batchModel, batchSize, bytesPerSample, openRunner, type BatchModel, type Runner } from '../evaluate/batching';
import { outputWidth } from '../evaluate/evaluate';
import { objectiveFor, targetsOf, type Objective } from '../evaluate/metrics';
import { throwIfCancelled } from '../graph/errors';
import { asFloat32 } from '../graph/numeric';
import type { AxisRef } from '../graph/ops/operator';
import type { NdArray } from '../graph/tensor';
import type { ParticleGroup } from '../particles/particle';
import type { BehaviourContext, BehaviourFamily } from './behaviour';
import { consumersOf, particleIndices, type LinearConsumer } from './consumers';
import { contributionsPay, hasContributions, openContributions, type ContributionProgram } from './contributions';
import { chosenGroups } from './forward';
import { copies, maskedCopies } from './maskedCopies';
import { ancestorsOf, suffixOf } from './suffix';

/**
 * Exact single-particle ablation: what the model loses when all that a particle passes on is zero. What lies in front of the
 * particle runs once for all particles of a layer; the next linear layer is not run again either, but has the particle's
 * term taken from its sum, where it has such a form. Only what follows runs once a particle, many particles at a time.
 */
export const ablation: BehaviourFamily = {
  needsLabels: true,
  columns: [
    {
      name: 'ablationLossChange', title: 'Loss without it', unit: '', scale: 'diverging', exact: true,
      meaning: 'Change of the loss when the particle\'s output is set to zero; above 0 it is needed, below 0 the model is better without it.',
    },
    {
      name: 'ablationMetricChange', title: 'Metric without it', unit: '', scale: 'diverging', exact: true,
      meaning: 'Change of the metric that decides (accuracy, or an error such as rmse, where above 0 is worse) when the particle\'s output is set to zero.',
    },
    {
      name: 'ablationOutputChange', title: 'Largest change of an output', unit: '', scale: 'sequential', exact: true,
      meaning: 'Largest change of any output for any sample when the particle\'s output is set to zero, relative to the largest output; 0 means that it does nothing.',
    },
  ],
  compute,
};

/** Why the particles of a group have no exact ablation, in the user's words; undefined when they have. */
export function notAblatable(group: ParticleGroup): string | undefined {
  // A unit's state also feeds its own gates at the next step: silencing what it gives to others is not all of it.
  return group.kind === 'unit' ? 'what the model loses without one of its recurrent units cannot be measured yet' : undefined;
}

/** Bytes that the part behind the cut may take at once: beyond what caches hold, more does not run faster. */
const suffixBytes = 8 * 2 ** 20;

async function compute(context: BehaviourContext): Promise<readonly Float32Array[]> {
  const { graph, table, data } = context;
  const model = await batchModel(graph);
  const sweep = new Sweep(context, model, objectiveFor(model.graph, data));
  for (const group of chosenGroups(context)) {
    const reason = notAblatable(group);
    if (reason) context.report({ severity: 'info', place: group.layer, message: reason });
    else await sweep.layer(group);
  }
  return [sweep.loss, sweep.metric, sweep.output].map((values) => (values.length === table.rowCount ? values : table.emptyValues()));
}

class Sweep {
  readonly loss: Float32Array;
  readonly metric: Float32Array;
  readonly output: Float32Array;
  private readonly total: number;
  private done = 0;

  constructor(
    private readonly context: BehaviourContext, private readonly model: BatchModel, private readonly objective: Objective,
  ) {
    const { table, data } = context;
    [this.loss, this.metric, this.output] = [table.emptyValues(), table.emptyValues(), table.emptyValues()];
    this.total = data.count * chosenGroups(context).filter((group) => !notAblatable(group)).reduce((sum, group) => sum + group.count, 0);
  }

  async layer(group: ParticleGroup): Promise<void> {
    const { data, memoryBytes, task } = this.context;
    const { objective } = this;
    const samples = Math.min(data.count, batchSize(memoryBytes / 2, bytesPerSample(this.model.graph), 1024));
    const cut = await openCut(this.context, this.model, group, { output: objective.output, samples });
    try {
      const sums = Array.from({ length: group.count }, () => new Float64Array(objective.sums));
      const baseline = new Float64Array(objective.sums);
      const differences = new Float64Array(group.count);
      let largest = 0;
      for (let from = 0; from < data.count; from += samples) {
        const to = Math.min(data.count, from + samples);
        const targets = await targetsOf(data, from, to);
        const known = await cut.prefix(await data.inputs(from, to));
        const before = asFloat32(known.get(objective.output)!);
        const width = outputWidth(known.get(objective.output)!, to - from);
        objective.add(baseline, before, width, 0, to - from, targets);
        for (const value of before) largest = Math.max(largest, Math.abs(value));
        for (let first = 0; first < group.count; first += cut.particles) {
          throwIfCancelled(task);
          task?.progress?.(this.done, this.total, `Ablation of ${group.layer}`);
          const list = Array.from({ length: Math.min(cut.particles, group.count - first) }, (_, index) => first + index);
          const after = asFloat32(await cut.without(known, list));
          for (const [position, particle] of list.entries()) {
            const start = position * (to - from);
            objective.add(sums[particle]!, after, width, start, start + to - from, targets);
            differences[particle] = Math.max(differences[particle]!, largestDifference(before, after, start * width));
          }
          this.done += list.length * (to - from);
          if (to === data.count) this.write(group, list, { sums, baseline, differences, largest });
        }
      }
    } finally {
      await cut.dispose();
    }
  }

  private write(group: ParticleGroup, particles: readonly number[], found: {
    readonly sums: readonly Float64Array[]; readonly baseline: Float64Array; readonly differences: Float64Array; readonly largest: number;
  }): void {
    const { data, arrived } = this.context;
    const { name } = this.objective.decisive;
    const before = this.objective.finish(found.baseline, data.count);
    for (const particle of particles) {
      const after = this.objective.finish(found.sums[particle]!, data.count);
      const row = group.firstRow + particle;
      this.loss[row] = after.loss - before.loss;
      this.metric[row] = after.metrics[name]! - before.metrics[name]!;
      this.output[row] = found.largest > 0 ? found.differences[particle]! / found.largest : found.differences[particle]!;
    }
    [this.loss, this.metric, this.output].forEach((values, index) => arrived?.(ablation.columns[index]!.name, values));
  }
}

function largestDifference(before: Float32Array, after: Float32Array, start: number): number {
  let largest = 0;
  for (let index = 0; index < before.length; index++) {
    const difference = Math.abs(after[start + index]! - before[index]!);
    // NaN counts as a change.
    if (!(difference <= largest)) largest = difference;
  }
  return largest;
}

/** A model cut where one layer's particles act. */
interface Cut {
  /** Particles that go through at once. */
  readonly particles: number;
  /** Runs everything once; the result holds all that `without` needs, and the output as it is. */
  prefix(inputs: ReadonlyMap<string, NdArray>): Promise<Map<string, NdArray>>;
  /** The output without each of these particles: [particles * samples, ...]. */
  without(known: ReadonlyMap<string, NdArray>, particles: readonly number[]): Promise<NdArray>;
  dispose(): Promise<void>;
}

async function openCut(
  { engine, memoryBytes, report }: BehaviourContext, model: BatchModel, group: ParticleGroup,
  { output, samples }: { output: string; samples: number },
): Promise<Cut> {
  const { graph } = model;
  const acts = actsBefore(model, group, output);
  const consumer = acts === group.acts && model.fixedBatch === undefined ? onlyConsumer(model, group, output) : undefined;
  const cutValues = consumer ? [consumer.rule.output] : acts.map(({ value }) => value);
  const suffix = suffixOf(graph, cutValues, output);
  const each = bytesPerSample(graph, [...suffix.values, ...suffix.frontier, ...cutValues, ...cutValues]);
  const particles = Math.min(group.count, Math.max(1, Math.floor(Math.min(suffixBytes, memoryBytes / 4) / (samples * each))));
  const indices = acts.map((act) => particleIndices(graph, act, group.count));
  if (!consumer && indices.some((list) => list === undefined)) {
    report({ severity: 'warning', place: group.layer, message: 'The size of the axis on which its particles act is not known, so they cannot be ablated.' });
  }
  const opened: { dispose(): Promise<void> }[] = [];
  try {
    const keep = async <T extends { dispose(): Promise<void> }>(opening: Promise<T>): Promise<T> => {
      const one = await opening;
      opened.push(one);
      return one;
    };
    const fetches = new Set([...cutValues, ...suffix.frontier, output, ...(consumer ? [consumer.rule.input] : [])]);
    const fed = new Set(graph.inputs.map(({ name }) => name));
    const prefix = await keep(openRunner(engine, model, [...fed], [...fetches].filter((name) => !fed.has(name))));
    const direct = cutValues.includes(output);
    const rest: Runner | undefined = direct ? undefined : await keep(openRunner(engine, model, [...cutValues, ...suffix.frontier], [output]));
    const terms = consumer && await keep(openContributions(engine, graph, consumer, particles, 'without'));
    return {
      particles,
      prefix: async (inputs) => new Map([...inputs, ...await prefix.run(inputs)]),
      async without(known, list) {
        const feeds = new Map<string, NdArray>();
        if (terms) feeds.set(cutValues[0]!, await withoutTerms(terms, known, list));
        else acts.forEach((act, place) => feeds.set(act.value, maskedCopies(known.get(act.value)!, act.axis, list.map((particle) => indices[place]?.[particle] ?? []), 'drop')));
        if (!rest) return feeds.get(output)!;
        for (const name of suffix.frontier) feeds.set(name, copies(known.get(name)!, list.length));
        return (await rest.run(feeds)).get(output)!;
      },
      dispose: async () => void await Promise.all(opened.map((one) => one.dispose())),
    };
  } catch (error) {
    await Promise.all(opened.map((one) => one.dispose()));
    throw error;
  }
}

/** The consumer's output without each particle's term: [particles * samples, ...]. */
async function withoutTerms(terms: ContributionProgram, known: ReadonlyMap<string, NdArray>, list: readonly number[]): Promise<NdArray> {
  const y = known.get(terms.output)!;
  const array = await terms.run(known.get(terms.input)!, y, list);
  const shape = [list.length * y.shape[0]!, ...y.shape.slice(1)];
  return { dtype: array.dtype, shape, data: array.data.subarray(0, list.length * y.data.length) as NdArray['data'] };
}

/** The one linear operator that reads the particles, when nothing else does, its terms can be told apart and that is the faster way. */
function onlyConsumer({ graph }: BatchModel, group: ParticleGroup, output: string): LinearConsumer | undefined {
  if (group.acts.length !== 1) return undefined;
  const { linear, complete } = consumersOf(graph, group, output);
  const [consumer] = linear;
  return complete && linear.length === 1 && hasContributions(consumer!) && contributionsPay(graph, consumer!) ? consumer : undefined;
}

/**
 * Where to cut: where the particles act, unless that lies behind the value that is judged (a closing softmax), in which case the
 * layer's own result is cut.
 */
function actsBefore({ graph }: BatchModel, group: ParticleGroup, output: string): readonly AxisRef[] {
  const ancestors = ancestorsOf(graph, output);
  const before = group.acts.filter(({ value }) => ancestors.has(value));
  if (before.length === group.acts.length && before.length) return group.acts;
  return before.length ? before : [group.producer];
}
