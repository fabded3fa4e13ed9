import type { Engine, Program } from '../graph/engine';
import type { ModelGraph } from '../graph/modelGraph';
import { asFloat32 } from '../graph/numeric';
import { elementCount, type NdArray } from '../graph/tensor';
import type { StateArray, TrainingGraph } from './trainingGraph';

/** One piece of a batch: model inputs, targets and whatever else is fed, by name. */
export interface Piece {
  readonly feeds: ReadonlyMap<string, NdArray>;
  readonly samples: number;
}

export interface StepResult {
  readonly loss: number;
  readonly gradientNorm?: number;
}

/**
 * Runs training steps. Weights and the optimiser's arrays are kept here in two sets that take turns: a step reads one and
 * writes the other, so that nothing is copied where the engine writes in place, and no operator can see a weight half changed.
 */
export class Stepper {
  private constructor(
    private readonly training: TrainingGraph, private readonly programs: Programs, private current: Map<string, NdArray>, private spare: Map<string, NdArray>,
  ) {}

  /** `start` holds arrays that replace the model's own. */
  static async create(engine: Engine, model: ModelGraph, training: TrainingGraph, start?: ReadonlyMap<string, Float32Array>): Promise<Stepper> {
    const current = new Map<string, NdArray>();
    const spare = new Map<string, NdArray>();
    for (const { name, shape, kind } of training.state) {
      const begun = start?.get(name) ?? (kind === 'slot' ? undefined : asFloat32(await model.tensors.get(name)!.read()));
      current.set(name, arrayOf(shape, begun));
      spare.set(name, arrayOf(shape));
    }
    return new Stepper(training, await compilePrograms(engine, model, training), current, spare);
  }

  /** One update from a batch in one piece, or in several whose gradients are added up. `step` counts from 1. */
  async step(pieces: readonly Piece[], learningRate: number, step: number): Promise<StepResult> {
    const { training, programs } = this;
    const scalars = [...training.scalars].map(([name, input]) => [input, training.optimiser.scalars(learningRate, step)[name]!] as const);
    const numbers = new Map(scalars.map(([input, value]) => [input, scalar(value)]));
    if (programs.kind === 'whole') return this.run(programs.program, training.state, new Map([...pieces[0]!.feeds, ...numbers]));

    const samples = pieces.reduce((sum, piece) => sum + piece.samples, 0);
    const { share, gradients } = training.accumulated!;
    let sums = new Map(gradients.map(({ name, shape }) => [name, arrayOf(shape)]));
    let loss = 0;
    const statistics = training.state.filter(({ kind }) => kind === 'statistic');
    for (const piece of pieces) {
      const part = piece.samples / samples;
      const feeds = new Map([...piece.feeds, ...sums, [share, scalar(part)] as const]);
      const found = await this.run(programs.gradients, statistics, feeds);
      sums = new Map(gradients.map(({ name, next }) => [name, found.results.get(next)!]));
      loss += part * found.loss;
    }
    const { gradientNorm } = await this.run(programs.update, training.state.filter(({ kind }) => kind !== 'statistic'), new Map([...sums, ...numbers]));
    return { loss, gradientNorm };
  }

  /** A copy of weights and running statistics, by tensor. */
  weights(): Map<string, Float32Array> {
    const own = this.training.state.filter(({ kind }) => kind !== 'slot');
    return new Map(own.map(({ name }) => [name, Float32Array.from(this.current.get(name)!.data as Float32Array)]));
  }

  /** All arrays that go from step to step, as they are now; the next step but one writes over them. */
  state(): ReadonlyMap<string, NdArray> {
    return this.current;
  }

  async dispose(): Promise<void> {
    const { programs } = this;
    await Promise.all((programs.kind === 'whole' ? [programs.program] : [programs.gradients, programs.update]).map((program) => program.dispose()));
  }

  private async run(program: Program, changed: readonly StateArray[], feeds: ReadonlyMap<string, NdArray>): Promise<StepResult & { readonly results: Map<string, NdArray> }> {
    const into = new Map(changed.map(({ name, next }) => [next, this.spare.get(name)!]));
    const results = await program.run(new Map([...this.current, ...feeds]), into);
    const { loss, gradientNorm } = this.training;
    for (const { name, next } of changed) {
      const made = results.get(next)!;
      // What was read may be written by the next step.
      this.spare.set(name, this.current.get(name)!);
      this.current.set(name, made);
    }
    const number = (value: string | undefined): number | undefined => (value === undefined ? undefined : (results.get(value)?.data[0] as number | undefined));
    return { loss: number(loss) ?? NaN, gradientNorm: number(gradientNorm), results };
  }
}

type Programs =
  | { readonly kind: 'whole'; readonly program: Program }
  | { readonly kind: 'pieces'; readonly gradients: Program; readonly update: Program };

async function compilePrograms(engine: Engine, model: ModelGraph, training: TrainingGraph): Promise<Programs> {
  const { graph, state, scalars, accumulated, loss, gradientNorm, targets, teacher, masks } = training;
  const names = (arrays: readonly StateArray[]): string[] => arrays.map(({ name }) => name);
  const nexts = (arrays: readonly StateArray[]): string[] => arrays.map(({ next }) => next);
  const data = [...model.inputs.map(({ name }) => name), targets, ...(teacher ? [teacher] : []), ...masks.map(({ name }) => name)];
  const normed = gradientNorm ? [gradientNorm] : [];
  if (!accumulated) {
    return { kind: 'whole', program: await engine.compile(graph, [...data, ...names(state), ...scalars.values()], [loss, ...normed, ...nexts(state)]) };
  }
  const forward = state.filter(({ kind }) => kind !== 'slot');
  const statistics = state.filter(({ kind }) => kind === 'statistic');
  const updated = state.filter(({ kind }) => kind !== 'statistic');
  return {
    kind: 'pieces',
    gradients: await engine.compile(graph, [...data, ...names(forward), ...names(accumulated.gradients), accumulated.share], [loss, ...nexts(accumulated.gradients), ...nexts(statistics)]),
    update: await engine.compile(graph, [...names(accumulated.gradients), ...names(updated), ...scalars.values()], [...normed, ...nexts(updated)]),
  };
}

function arrayOf(shape: readonly number[], data?: Float32Array): NdArray {
  return { dtype: 'float32', shape, data: data ? Float32Array.from(data) : new Float32Array(elementCount(shape)) };
}

function scalar(value: number): NdArray {
  return { dtype: 'float32', shape: [], data: Float32Array.of(value) };
}
