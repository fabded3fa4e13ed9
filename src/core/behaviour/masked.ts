import { batchModel, batchSize, bytesPerSample, openRunner, type Runner } from '../evaluate/batching';
import { outputWidth } from '../evaluate/evaluate';
import { objectiveFor, targetsOf, type Score } from '../evaluate/metrics';
import { keyOf } from '../graph/coupling';
import { throwIfCancelled } from '../graph/errors';
import { asFloat32 } from '../graph/numeric';
import type { AxisRef } from '../graph/ops/operator';
import type { NdArray } from '../graph/tensor';
import { particleRemoval } from '../particles/particleRemoval';
import type { BehaviourContext } from './behaviour';
import { maskArray, silencesOf, withMasks, type Mask, type Silence } from './silences';
import { ancestorsOf } from './suffix';

/** Runs the model with any set of particles switched off at once, as it would be without them. */
export interface MaskedModel {
  /**
   * Score without these rows and all that can only go together with them: to within rounding what the smaller model will
   * have. `outputChange` is the largest change of an output relative to the largest output.
   */
  evaluate(rows: Iterable<number>): Promise<Score & { readonly outputChange: number }>;
  /** The judged output on samples [from, to) without these rows, as the engine gives it. */
  outputs(rows: Iterable<number>, from: number, to: number): Promise<NdArray>;
  dispose(): Promise<void>;
}

/** Score of the model without these particles; for several sets in a row open the masked model once. */
export async function evaluateMasked(context: BehaviourContext, rows: Iterable<number>): Promise<Score> {
  const masked = await openMasked(context);
  try {
    return await masked.evaluate(rows);
  } finally {
    await masked.dispose();
  }
}

/** Compiles the model once, with a factor of one or zero at every place where particles can be silenced. */
export async function openMasked(context: BehaviourContext): Promise<MaskedModel> {
  const { table, engine, data, memoryBytes, task } = context;
  const model = await batchModel(context.graph);
  const objective = objectiveFor(model.graph, data);
  const ancestors = ancestorsOf(model.graph, objective.output);
  const places = new Map<string, AxisRef>();
  const silences = (rows: Iterable<number>): Silence[] =>
    silencesOf(model.graph, particleRemoval(model.graph, table, rows).removed, objective.output).filter(({ at }) => ancestors.has(at.value));
  for (const { firstRow, count } of table.groups) {
    for (const row of [firstRow, firstRow + count - 1]) for (const { at } of silences([row])) places.set(keyOf(at), at);
  }
  const inputs = model.graph.inputs.map(({ name }) => name);
  const compile = async (): Promise<{ masks: readonly Mask[]; output: string; runner: Runner }> => {
    const { graph, masks, renamed } = withMasks(model.graph, [...places.values()]);
    const output = renamed.get(objective.output) ?? objective.output;
    const shared = new Set(masks.map(({ name }) => name));
    return { masks, output, runner: await openRunner(engine, { ...model, graph }, [...inputs, ...shared], [output], shared) };
  };
  let program = await compile();
  const batch = batchSize(memoryBytes, bytesPerSample(model.graph));
  let unmasked: Float32Array[] | undefined;
  const prepared = async (rows: Iterable<number>): Promise<readonly Silence[]> => {
    const silent = silences(rows);
    const unforeseen = silent.filter(({ at }) => !places.has(keyOf(at)));
    if (unforeseen.length) {
      // Particles in the middle of a layer may reach what its first and last do not (parts of a split).
      for (const { at } of unforeseen) places.set(keyOf(at), at);
      await program.runner.dispose();
      program = await compile();
    }
    return silent;
  };
  const runOn = async (silent: readonly Silence[], from: number, to: number): Promise<NdArray> => {
    const { masks, output, runner } = program;
    const fed = masks.map((mask) => [mask.name, maskArray(mask, silent)] as const);
    return (await runner.run(new Map([...await data.inputs(from, to), ...fed]))).get(output)!;
  };
  const run = async (silent: readonly Silence[]): Promise<{ score: Score; outputs: Float32Array[] }> => {
    const sums = new Float64Array(objective.sums);
    const outputs: Float32Array[] = [];
    for (let from = 0; from < data.count; from += batch) {
      throwIfCancelled(task);
      const to = Math.min(data.count, from + batch);
      const array = await runOn(silent, from, to);
      const values = Float32Array.from(asFloat32(array));
      outputs.push(values);
      objective.add(sums, values, outputWidth(array, to - from), 0, to - from, await targetsOf(data, from, to));
    }
    return { score: objective.finish(sums, data.count), outputs };
  };
  return {
    async evaluate(rows) {
      unmasked ??= (await run([])).outputs;
      const { score, outputs } = await run(await prepared(rows));
      return { ...score, outputChange: relativeChange(unmasked, outputs) };
    },
    outputs: async (rows, from, to) => runOn(await prepared(rows), from, to),
    dispose: () => program.runner.dispose(),
  };
}

function relativeChange(before: readonly Float32Array[], after: readonly Float32Array[]): number {
  let [largest, change] = [0, 0];
  before.forEach((values, batch) => values.forEach((value, index) => {
    largest = Math.max(largest, Math.abs(value));
    const difference = Math.abs(after[batch]![index]! - value);
    if (!(difference <= change)) change = difference;
  }));
  return largest > 0 ? change / largest : change;
}
