import { bytesPerSample, openRunner, type BatchModel, type Runner } from '../../evaluate/batching';
import type { Engine } from '../../graph/engine';
import { ParticlizeError } from '../../graph/errors';
import type { AxisRef } from '../../graph/ops/operator';
import { elementCount, type NdArray, type NumericArray } from '../../graph/tensor';
import type { Act, ParticleGroup } from '../../particles/particle';
import { consumersOf, particleIndices, type LinearConsumer } from '../consumers';
import { contributionsPay, hasContributions, openContributions, type ContributionProgram } from '../contributions';
import { knownSampleAxis, sampleAxisOf } from '../sampleAxis';
import { ancestorsOf, suffixOf, type Suffix } from '../suffix';
import { changedSamples, gatherRows, replaceIndices } from './replacedRows';

/** A model cut where one layer's particles act: what lies in front runs once for all of them, only what follows once a particle. */
export interface Cut {
  /** Rows (a sample without one particle each) that go through at once. */
  readonly rows: number;
  /** Values whose particles are replaced; empty when nothing but zero can take their place. */
  readonly replaced: readonly string[];
  sampleAxis(value: string): number;
  /** Runs everything in front; the result holds all that `without` needs, and the output as it is. */
  prefix(inputs: ReadonlyMap<string, NdArray>): Promise<Map<string, NdArray>>;
  /** By particle, the samples whose output can change at all; undefined: they are not told apart, all go through. */
  changed(known: ReadonlyMap<string, NdArray>, particle: number, instead?: ReadonlyMap<string, NdArray>): readonly number[] | undefined;
  /** Outputs [rows, ...] for each particle's samples, one particle behind the other; `instead` takes the place of the particles, or zero. */
  without(known: ReadonlyMap<string, NdArray>, parts: readonly CutPart[], instead?: ReadonlyMap<string, NdArray>): Promise<NdArray>;
  dispose(): Promise<void>;
}

/** Samples, rising, that go through without a particle. */
export interface CutPart {
  readonly particle: number;
  readonly samples: readonly number[];
}

export interface CutOptions {
  readonly engine: Engine;
  /** The value that is judged. */
  readonly output: string;
  /** Samples of a chunk at most. */
  readonly samples: number;
  readonly memoryBytes: number;
  /** Runs what lies in front, where several cuts share that; else each has its own. */
  readonly prefix?: (fetches: readonly string[]) => Runner;
}

/** Bytes that the part behind the cut may take at once: beyond what caches hold, more does not run faster. */
const suffixBytes = 8 * 2 ** 20;

/** The particles cannot be told apart where they act: the layer is left out, and the rest goes on. */
export class NotToldApart extends ParticlizeError {
  constructor({ layer }: ParticleGroup) {
    super({ place: layer, cause: 'the size of the axis on which its particles act is not known, so they cannot be ablated' });
  }
}

/** Rejects with NotToldApart where that is so. */
export async function openCut(model: BatchModel, group: ParticleGroup, options: CutOptions): Promise<Cut> {
  const { graph } = model;
  const { engine, output } = options;
  const acts = actsBefore(model, group, output);
  const consumer = acts === group.acts && model.fixedBatch === undefined ? onlyConsumer(model, group, output) : undefined;
  const places = consumer ? [{ value: consumer.rule.input, axis: consumer.rule.axis }] : acts;
  const cutValues = consumer ? [consumer.rule.output] : acts.map(({ value }) => value);
  const suffix = suffixOf(graph, cutValues, output);
  const indices = consumer ? [consumer.indices] : acts.map((act) => particleIndices(graph, act, group.count));
  if (!indices.every((list) => list !== undefined)) {
    throw new NotToldApart(group);
  }
  const each = bytesPerSample(graph, [...suffix.values, ...suffix.frontier, ...cutValues, ...cutValues]);
  const rows = Math.max(1, Math.floor(Math.min(suffixBytes, options.memoryBytes / 4) / each));
  const opened: { dispose(): Promise<void> }[] = [];
  const keep = async <T extends { dispose(): Promise<void> }>(opening: Promise<T>): Promise<T> => {
    const one = await opening;
    opened.push(one);
    return one;
  };
  const dispose = async (): Promise<void> => void await Promise.all(opened.map((one) => one.dispose()));
  try {
    const fetches = new Set([...cutValues, ...suffix.frontier, output, ...places.map(({ value }) => value)]);
    const fed = new Set(graph.inputs.map(({ name }) => name));
    const axisOf = (value: string): number => sampleAxisOf(graph, value);
    const inFront = [...fetches].filter((name) => !fed.has(name));
    const prefix = options.prefix?.(inFront) ?? await keep(openRunner(engine, model, [...fed], inFront, undefined, axisOf));
    const rest = cutValues.includes(output) ? undefined
      : await keep(openRunner(engine, model, [...cutValues, ...suffix.frontier], [output], undefined, axisOf));
    const together = Math.min(group.count, Math.max(1, Math.floor(rows / options.samples)));
    const terms = consumer && await keep(openContributions(engine, graph, consumer, together, 'without'));
    const apart = [...cutValues, ...suffix.frontier, ...places.map(({ value }) => value)].every((name) => knownSampleAxis(graph, name) !== undefined);
    return new GraphCut({ model, output, places, indices, suffix, cutValues, prefix, rest, terms, together, apart, rows, dispose });
  } catch (error) {
    await dispose();
    throw error;
  }
}

interface CutParts {
  readonly model: BatchModel;
  readonly output: string;
  readonly places: readonly AxisRef[];
  /** By place and particle. */
  readonly indices: readonly (readonly (readonly number[])[])[];
  readonly suffix: Suffix;
  readonly cutValues: readonly string[];
  readonly prefix: Runner;
  readonly rest?: Runner;
  readonly terms?: ContributionProgram;
  /** Particles whose terms are computed at once. */
  readonly together: number;
  /** Every value that is fed is known to keep samples apart on one axis. */
  readonly apart: boolean;
  readonly rows: number;
  readonly dispose: () => Promise<void>;
}

class GraphCut implements Cut {
  readonly replaced: readonly string[];
  /** Whether copies of all samples may stand one behind the other; found out with the first ones. */
  private copies: boolean | undefined;

  constructor(private readonly parts: CutParts) {
    this.replaced = parts.places.map(({ value }) => value);
    if (parts.apart) this.copies = true;
  }

  get rows(): number {
    return this.copies ? this.parts.rows : 1;
  }

  sampleAxis(value: string): number {
    return sampleAxisOf(this.parts.model.graph, value);
  }

  async prefix(inputs: ReadonlyMap<string, NdArray>): Promise<Map<string, NdArray>> {
    const known = new Map([...inputs, ...await this.parts.prefix.run(inputs)]);
    this.copies ??= await this.copiesKeepApart(known);
    return known;
  }

  changed(known: ReadonlyMap<string, NdArray>, particle: number, instead?: ReadonlyMap<string, NdArray>): readonly number[] | undefined {
    const { places, indices, apart } = this.parts;
    if (!apart) return undefined;
    const flags = places.map(({ value, axis }, place) =>
      changedSamples(known.get(value)!, { axis, sampleAxis: this.sampleAxis(value) }, indices[place]![particle]!, instead?.get(value)));
    const samples: number[] = [];
    for (let sample = 0; sample < flags[0]!.length; sample++) if (flags.some((flag) => flag[sample])) samples.push(sample);
    return samples;
  }

  async without(known: ReadonlyMap<string, NdArray>, parts: readonly CutPart[], instead?: ReadonlyMap<string, NdArray>): Promise<NdArray> {
    const { places, indices, suffix, cutValues, rest, terms, output } = this.parts;
    const feeds = new Map<string, NdArray>();
    const rowsOn = (value: string): number[] => this.rowsOn(value, known.get(value)!, parts);
    if (terms) {
      feeds.set(cutValues[0]!, await this.withoutTerms(terms, known, parts, instead));
    } else {
      places.forEach(({ value, axis }, place) => {
        const sampleAxis = this.sampleAxis(value);
        const array = gatherRows(known.get(value)!, sampleAxis, rowsOn(value));
        let first = 0;
        for (const part of parts) {
          const rows = this.rowsOn(value, known.get(value)!, [part]);
          replaceIndices(array, { axis, sampleAxis }, indices[place]![part.particle]!, { first, rows, instead: instead?.get(value) });
          first += rows.length;
        }
        feeds.set(value, array);
      });
    }
    if (!rest) return feeds.get(output)!;
    for (const name of suffix.frontier) feeds.set(name, gatherRows(known.get(name)!, this.sampleAxis(name), rowsOn(name)));
    return (await rest.run(feeds)).get(output)!;
  }

  dispose(): Promise<void> {
    return this.parts.dispose();
  }

  /** Rows of a value for the parts: their samples, or all there are when samples may share an axis with something else. */
  private rowsOn(value: string, array: NdArray, parts: readonly CutPart[]): number[] {
    if (this.parts.apart) return parts.flatMap(({ samples }) => samples);
    const size = array.shape[this.sampleAxis(value)]!;
    return parts.flatMap(() => Array.from({ length: size }, (_, row) => row));
  }

  /** The consumer's output without each particle's term, for the samples of its part. */
  private async withoutTerms(
    terms: ContributionProgram, known: ReadonlyMap<string, NdArray>, parts: readonly CutPart[], instead?: ReadonlyMap<string, NdArray>,
  ): Promise<NdArray> {
    const x = known.get(terms.input)!;
    const y = known.get(terms.output)!;
    const other = instead?.get(terms.input);
    // The consumer is linear: what a replacement changes is the term of the difference.
    const input = other ? minus(x, other) : x;
    const samples = y.shape[0]!;
    const each = elementCount(y.shape.slice(1));
    const total = parts.reduce((sum, part) => sum + part.samples.length, 0);
    const shape = [total, ...y.shape.slice(1)];
    let result: NumericArray | undefined;
    let row = 0;
    for (let first = 0; first < parts.length; first += this.parts.together) {
      const some = parts.slice(first, first + this.parts.together);
      const { data, dtype } = await terms.run(input, y, some.map(({ particle }) => particle));
      if (some.length === parts.length && total === some.length * samples) return { dtype, shape, data: data.subarray(0, total * each) as NumericArray };
      result ??= new (data.constructor as new (length: number) => NumericArray)(total * each);
      for (const [position, part] of some.entries()) {
        for (const sample of part.samples) {
          const at = (position * samples + sample) * each;
          result.set(data.subarray(at, at + each) as never, row++ * each);
        }
      }
    }
    return { dtype: y.dtype, shape, data: result! };
  }

  /** Whether two copies of everything give the same output twice: then many particles may go through at once. */
  private async copiesKeepApart(known: ReadonlyMap<string, NdArray>): Promise<boolean> {
    const { rest, cutValues, suffix, output, model } = this.parts;
    if (!rest) return true;
    if (model.fixedBatch !== undefined) return false;
    const feeds = new Map([...cutValues, ...suffix.frontier].map((name) => {
      const array = known.get(name)!;
      const rows = Array.from({ length: array.shape[this.sampleAxis(name)]! }, (_, row) => row);
      return [name, gatherRows(array, this.sampleAxis(name), [...rows, ...rows])] as const;
    }));
    const once = known.get(output)!.data as Float32Array;
    // What cannot be run with twice the samples does not keep them apart either.
    const twice = await rest.run(feeds).then((results) => results.get(output)!.data as Float32Array, () => undefined);
    if (twice?.length !== 2 * once.length) return false;
    const scale = once.reduce((largest, value) => Math.max(largest, Math.abs(value)), 1e-6);
    return twice.every((value, index) => Math.abs(value - once[index % once.length]!) <= 1e-4 * scale);
  }
}

function minus(x: NdArray, other: NdArray): NdArray {
  const data = (x.data as Float32Array).slice();
  for (let at = 0; at < data.length; at++) data[at]! -= Number(other.data[at]!);
  return { ...x, data };
}

/** The one linear operator that reads the particles, when nothing else does, its terms can be told apart and that is the faster way. */
export function onlyConsumer({ graph }: BatchModel, group: ParticleGroup, output: string): LinearConsumer | undefined {
  if (group.acts.length !== 1) return undefined;
  const { linear, complete } = consumersOf(graph, group, output);
  const [consumer] = linear;
  if (!complete || linear.length !== 1 || !consumer || !hasContributions(consumer) || !contributionsPay(graph, consumer)) return undefined;
  const firstAxis = [consumer.rule.input, consumer.rule.output].every((value) => knownSampleAxis(graph, value) === 0);
  return firstAxis ? consumer : undefined;
}

/**
 * Where to cut: where the particles act, unless that lies behind the value that is judged (a closing softmax), in which case the
 * layer's own result is cut.
 */
export function actsBefore({ graph }: BatchModel, group: ParticleGroup, output: string): readonly Act[] {
  const ancestors = ancestorsOf(graph, output);
  const before = group.acts.filter(({ value }) => ancestors.has(value));
  if (before.length === group.acts.length && before.length) return group.acts;
  return before.length ? before : [group.producer];
}
