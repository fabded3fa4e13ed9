import type { Dataset } from '../data/dataset';
import { batchModel, batchSize, bytesPerSample, openRunner, type BatchModel } from '../evaluate/batching';
import { evaluate } from '../evaluate/evaluate';
import type { Engine } from '../graph/engine';
import { CancelledError, ParticlizeError, throwIfCancelled, type Finding, type Task } from '../graph/errors';
import type { ModelGraph } from '../graph/modelGraph';
import { asFloat32 } from '../graph/numeric';
import { elementCount, type NdArray } from '../graph/tensor';
import { aimOf, type Aim, type LossKind } from './aim';
import { decodeCheckpoint, encodeCheckpoint, type CheckpointIdentity, type CheckpointPort } from './checkpoint';
import type { OptimiserOptions } from './optimisers';
import { dropoutMask, randomOrder } from './randomOrder';
import { openSamples, rowsAt, type Samples } from './samples';
import { learningRateAt, type RateOptions } from './schedules';
import { Stepper, type Piece } from './stepper';
import { withWeights } from './trainedGraph';
import { trainingGraph, type TrainingGraph, type TrainingGraphOptions } from './trainingGraph';

export interface FineTuneOptions extends RateOptions, Pick<TrainingGraphOptions, 'clipNorm' | 'frozenLayers' | 'freezeBatchNorm' | 'dropout'> {
  readonly optimiser: OptimiserOptions;
  readonly epochs: number;
  /** Stops after this many steps, wherever it is. */
  readonly steps?: number;
  readonly batch: number;
  readonly seed: number;
  /** Stops when this many epochs in a row were no better. */
  readonly patience?: number;
  /** Used when the context has a teacher. */
  readonly distillation?: { readonly temperature: number; readonly alpha: number };
  /** Where the task leaves a choice. */
  readonly loss?: LossKind;
  /** A checkpoint is also written when the last is this old; 30 s by default. */
  readonly checkpointMs?: number;
}

export interface FineTuneContext {
  readonly model: ModelGraph;
  readonly engine: Engine;
  readonly train: Dataset;
  /** Measured after every epoch, never trained on; without it the last weights are kept. */
  readonly validation?: Dataset;
  /** The model that is learnt from; takes the same inputs. */
  readonly teacher?: ModelGraph;
  readonly memoryBytes: number;
  readonly task?: TrainingTask;
  readonly checkpoint?: CheckpointPort;
  /** Digest of the model file, so that a checkpoint is not taken for another model's. */
  readonly digest?: string;
  /** Goes on from the checkpoint; it is an error when there is none. */
  readonly resume?: boolean;
}

export interface TrainingTask extends Task {
  /** Points of the live curves as they come, and rows of the table. */
  curve?(points: readonly CurvePoint[]): void;
  epoch?(row: EpochRow): void;
  /** Asked between steps; the run waits until it resolves. */
  waitWhilePaused?(): Promise<void>;
}

export interface CurvePoint {
  /** From 1. */
  readonly step: number;
  readonly loss: number;
  readonly learningRate: number;
}

export interface EpochRow {
  /** 0 is the model before training. */
  readonly epoch: number;
  readonly step: number;
  /** Mean over the epoch's samples, while the weights changed. */
  readonly loss?: number;
  readonly validationLoss?: number;
  readonly metrics?: Readonly<Record<string, number>>;
  readonly learningRate?: number;
  readonly best: boolean;
}

export interface FineTuned {
  /** The model with the best weights. */
  readonly graph: ModelGraph;
  readonly rows: readonly EpochRow[];
  readonly bestEpoch: number;
  readonly steps: number;
  readonly stopped: 'done' | 'early' | 'diverged';
  /** What the user should know of how it ended, in one sentence. */
  readonly message?: string;
  readonly findings: readonly Finding[];
  readonly engine: string;
}

/**
 * Trains a model further. Everything follows from options, data and seed, so that a run that goes on from its checkpoint ends
 * with the same numbers as one that was never interrupted. Rejects with a CancelledError (the checkpoint is there then) or with
 * a ParticlizeError when the model cannot be trained on these data.
 */
export async function fineTune(context: FineTuneContext, options: FineTuneOptions): Promise<FineTuned> {
  const run = await Run.start(context, options);
  try {
    return await run.toEnd();
  } finally {
    await run.dispose();
  }
}

/** What a checkpoint remembers besides arrays. */
interface Progress {
  epoch: number;
  batch: number;
  step: number;
  lossSum: number;
  lossSamples: number;
  /** The first losses and the latest, to see an explosion. */
  first: number[];
  latest: number[];
  rows: EpochRow[];
  bestEpoch: number;
  /** Epochs since the best. */
  stale: number;
}

interface Parts {
  readonly model: BatchModel;
  readonly aim: Aim;
  readonly training: TrainingGraph;
  readonly stepper: Stepper;
  readonly samples: Samples;
  readonly teacher?: (rows: Uint32Array, inputs: ReadonlyMap<string, NdArray>) => Promise<NdArray>;
  readonly identity: CheckpointIdentity;
  /** Samples that are run at once. */
  readonly piece: number;
  readonly batch: number;
  readonly perEpoch: number;
  dispose(): Promise<void>;
}

/** How many losses are averaged to see whether they explode, and how far they may rise. */
const [explosionWindow, explosionFactor] = [10, 100];

class Run {
  private lastSaved = Date.now();

  private constructor(
    private readonly context: FineTuneContext, private readonly options: FineTuneOptions, private readonly parts: Parts,
    private readonly progress: Progress, private best: ReadonlyMap<string, Float32Array>,
  ) {}

  static async start(context: FineTuneContext, options: FineTuneOptions): Promise<Run> {
    const { engine, train, memoryBytes, task, checkpoint } = context;
    const model = await batchModel(context.model);
    const aim = aimOf(model.graph, train, options.loss);
    const samples = await openSamples(train, aim, memoryBytes, task);
    const { piece, batch } = pieceOf(model, options.batch, memoryBytes);
    const training = await trainingGraph(model.graph, aim, {
      optimiser: options.optimiser, clipNorm: options.clipNorm, frozenLayers: options.frozenLayers, freezeBatchNorm: options.freezeBatchNorm,
      dropout: options.dropout, distillation: context.teacher && (options.distillation ?? { temperature: 4, alpha: 0.9 }), accumulate: piece < batch,
    });
    const perEpoch = batchesIn(samples.count, batch, model, training);
    if (perEpoch === 0) throw new ParticlizeError({ file: train.title, cause: `${samples.count} samples are too few for a batch of ${model.fixedBatch ?? 2}` });
    const identity: CheckpointIdentity = { model: context.digest ?? '', samples: samples.count, settings: settingsOf(options, context, batch, piece) };
    const source = context.resume ? await checkpoint?.read() : undefined;
    if (context.resume && !source) throw new ParticlizeError({ cause: 'there is no checkpoint to go on from', action: 'Train without --resume first' });
    const found = source && await decodeCheckpoint(source, identity);
    const missing = found && training.state.find(({ name, shape }) => found.arrays.get(name)?.length !== elementCount(shape));
    if (missing) throw new ParticlizeError({ file: source!.name, place: missing.name, cause: 'the checkpoint does not fit the model', action: 'Delete it and train from the beginning' });
    const stepper = await Stepper.create(engine, model.graph, training, found?.arrays);
    const teacher = context.teacher && await openTeacher(context, context.teacher, aim, samples);
    const parts: Parts = {
      model, aim, training, stepper, samples, identity, piece, batch, perEpoch, teacher: teacher?.outputs,
      dispose: async () => {
        await stepper.dispose();
        await teacher?.dispose();
      },
    };
    if (found) {
      const best = new Map([...found.arrays].filter(([name]) => name.startsWith('best/')).map(([name, values]) => [name.slice(5), values]));
      return new Run(context, options, parts, found.progress as Progress, best);
    }
    const progress: Progress = {
      epoch: 0, batch: 0, step: 0, lossSum: 0, lossSamples: 0, first: [], latest: [], rows: [], bestEpoch: 0, stale: 0,
    };
    return new Run(context, options, parts, progress, stepper.weights());
  }

  async toEnd(): Promise<FineTuned> {
    const { progress, parts, options, context: { task } } = this;
    if (progress.rows.length === 0) await this.endEpoch(undefined);
    const steps = this.allSteps();
    while (progress.step < steps && !this.isStale()) {
      const order = randomOrder(parts.samples.count, options.seed, progress.epoch);
      while (progress.batch < parts.perEpoch && progress.step < steps) {
        await this.pauseOrCancel();
        const from = progress.batch * parts.batch;
        const rows = order.subarray(from, Math.min(parts.perEpoch * parts.batch, parts.samples.count, from + parts.batch));
        const diverged = await this.step(rows);
        if (diverged) return this.result('diverged', diverged);
        task?.progress?.(progress.step, steps, `Training, epoch ${progress.epoch + 1} of ${options.epochs}`);
        if (Date.now() - this.lastSaved > (options.checkpointMs ?? 30_000)) await this.save();
      }
      progress.epoch++;
      progress.batch = 0;
      const diverged = await this.endEpoch(progress.lossSum / progress.lossSamples);
      if (diverged) return this.result('diverged', diverged);
      [progress.lossSum, progress.lossSamples] = [0, 0];
      await this.save();
    }
    const early = progress.step < steps;
    return this.result(early ? 'early' : 'done', early ? `Stopped after epoch ${progress.epoch}: ${progress.stale} epochs in a row were no better than epoch ${progress.bestEpoch}` : undefined);
  }

  dispose(): Promise<void> {
    return this.parts.dispose();
  }

  /** One update; a sentence when it went wrong. */
  private async step(rows: Uint32Array): Promise<string | undefined> {
    const { progress, parts, options, context: { task } } = this;
    const learningRate = learningRateAt(options, progress.step, this.allSteps(), parts.perEpoch);
    const pieces: Piece[] = [];
    for (let from = 0; from < rows.length; from += parts.piece) pieces.push(await this.piece(rows.subarray(from, from + parts.piece), pieces.length));
    const { loss } = await parts.stepper.step(pieces, learningRate, progress.step + 1);
    progress.step++;
    progress.batch++;
    progress.lossSum += loss * rows.length;
    progress.lossSamples += rows.length;
    if (progress.first.length < explosionWindow) progress.first.push(loss);
    progress.latest = [...progress.latest.slice(1 - explosionWindow), loss];
    task?.curve?.([{ step: progress.step, loss, learningRate }]);
    if (!Number.isFinite(loss)) return this.divergence('the loss is no longer a number');
    const mean = (values: readonly number[]): number => values.reduce((sum, value) => sum + value, 0) / values.length;
    if (mean(progress.latest) > explosionFactor * Math.max(0.1, mean(progress.first))) return this.divergence('the loss exploded');
    return undefined;
  }

  private async piece(rows: Uint32Array, index: number): Promise<Piece> {
    const { parts, options, progress } = this;
    const { inputs, targets } = await parts.samples.take(rows);
    const feeds = new Map<string, NdArray>([...inputs, [parts.training.targets, targets]]);
    if (parts.teacher) feeds.set(parts.training.teacher!, await parts.teacher(rows, inputs));
    parts.training.masks.forEach(({ name, shape, ratio }, mask) => {
      const sizes = [rows.length, ...shape.slice(1).map((dim) => dim ?? 1)];
      const round = (progress.step * 64 + index) * parts.training.masks.length + mask;
      feeds.set(name, { dtype: 'float32', shape: sizes, data: dropoutMask(elementCount(sizes), ratio, options.seed, round) });
    });
    return { feeds, samples: rows.length };
  }

  private divergence(how: string): string {
    const { progress, options } = this;
    return `Training diverged at step ${progress.step}: ${how}; the weights of epoch ${progress.bestEpoch} are kept. Try a smaller learning rate than ${options.learningRate}`;
  }

  /** Measures and remembers; a sentence when the weights are no good any more. */
  private async endEpoch(loss: number | undefined): Promise<string | undefined> {
    const { progress, parts, options, context } = this;
    const { validation, task } = context;
    const weights = parts.stepper.weights();
    if ([...weights.values()].some((values) => !values.every(Number.isFinite))) return this.divergence('a weight is no longer a number');
    const learningRate = loss === undefined ? undefined : learningRateAt(options, progress.step - 1, this.allSteps(), parts.perEpoch);
    let [best, measured]: [boolean, Pick<EpochRow, 'validationLoss' | 'metrics'>] = [true, {}];
    if (validation) {
      const quiet = { signal: task?.signal };
      const { loss: validationLoss, metrics, decisive } = await evaluate(withWeights(context.model, weights), context.engine, validation, { memoryBytes: context.memoryBytes, task: quiet });
      measured = { validationLoss, metrics };
      const former = progress.rows.find(({ epoch }) => epoch === progress.bestEpoch);
      best = former === undefined || isBetter({ value: metrics[decisive.name]!, loss: validationLoss }, { value: former.metrics![decisive.name]!, loss: former.validationLoss! }, decisive.higherIsBetter);
    }
    if (best) {
      this.best = weights;
      progress.bestEpoch = progress.epoch;
    }
    progress.stale = best ? 0 : progress.stale + 1;
    const row: EpochRow = { epoch: progress.epoch, step: progress.step, ...(loss !== undefined && { loss, learningRate }), ...measured, best };
    progress.rows.push(row);
    task?.epoch?.(row);
    return undefined;
  }

  private allSteps(): number {
    return Math.min(this.options.steps ?? Infinity, this.options.epochs * this.parts.perEpoch);
  }

  private isStale(): boolean {
    return this.options.patience !== undefined && this.progress.stale >= this.options.patience;
  }

  private async pauseOrCancel(): Promise<void> {
    const { task } = this.context;
    await task?.waitWhilePaused?.();
    if (!task?.signal?.aborted) return;
    await this.save();
    throw new CancelledError();
  }

  private async save(): Promise<void> {
    const { checkpoint } = this.context;
    const { stepper, identity } = this.parts;
    this.lastSaved = Date.now();
    if (!checkpoint) return;
    const arrays = new Map<string, Float32Array>([...stepper.state()].map(([name, { data }]) => [name, data as Float32Array]));
    for (const [name, values] of this.best) arrays.set(`best/${name}`, values);
    await checkpoint.write(encodeCheckpoint({ identity, progress: this.progress, arrays }));
  }

  private result(stopped: FineTuned['stopped'], message: string | undefined): FineTuned {
    const { progress, context, parts } = this;
    return {
      graph: withWeights(context.model, this.best), rows: progress.rows, bestEpoch: progress.bestEpoch, steps: progress.step, stopped, message,
      findings: parts.training.findings, engine: context.engine.title,
    };
  }
}

function isBetter(now: { value: number; loss: number }, then: { value: number; loss: number }, higherIsBetter: boolean): boolean {
  if (Number.isNaN(now.value)) return false;
  if (now.value !== then.value) return higherIsBetter ? now.value > then.value : now.value < then.value;
  return now.loss < then.loss;
}

/** Training keeps what the forward pass made until the backward pass has read it, and gradients of it beside. */
const trainingFactor = 3;

function pieceOf({ graph, fixedBatch }: BatchModel, wanted: number, memoryBytes: number): { readonly piece: number; readonly batch: number } {
  if (fixedBatch !== undefined) return { piece: fixedBatch, batch: Math.ceil(wanted / fixedBatch) * fixedBatch };
  return { piece: batchSize(memoryBytes, trainingFactor * bytesPerSample(graph), wanted), batch: wanted };
}

/** A last batch that the model cannot take, or whose single sample has no statistics, is left out. */
function batchesIn(count: number, batch: number, { fixedBatch }: BatchModel, training: TrainingGraph): number {
  const rest = count % batch;
  const whole = Math.floor(count / batch);
  if (rest === 0) return whole;
  const fits = fixedBatch === undefined ? rest > 1 || !training.state.some(({ kind }) => kind === 'statistic') : rest % fixedBatch === 0;
  return fits ? whole + 1 : whole;
}

/** What must be the same for a run to go on; the number of epochs may grow where the learning rate does not depend on it. */
function settingsOf(options: FineTuneOptions, { teacher, validation }: FineTuneContext, batch: number, piece: number): Readonly<Record<string, unknown>> {
  const { optimiser, learningRate, schedule, warmUpSteps, clipNorm, frozenLayers, freezeBatchNorm, dropout, seed, distillation, loss } = options;
  return {
    optimiser, 'learning rate': learningRate, schedule, 'warm-up steps': warmUpSteps, 'clip norm': clipNorm, 'frozen layers': frozenLayers,
    'frozen batch normalisation': freezeBatchNorm, dropout, seed, distillation, loss, batch, 'samples at once': piece, teacher: teacher !== undefined,
    'validation samples': validation?.count, ...(schedule.kind === 'cosine' && { epochs: options.epochs }),
  };
}

/** The teacher's outputs: of all samples beforehand where they fit, since they stay the same, else batch by batch. */
async function openTeacher(context: FineTuneContext, teacher: ModelGraph, aim: Aim, samples: Samples) {
  const { engine, memoryBytes, train, task } = context;
  const model = await batchModel(teacher);
  const output = aimOf(model.graph, train, aim.kind).output;
  const wrong = model.graph.inputs.find(({ name }) => !context.model.inputs.some((own) => own.name === name));
  if (wrong) throw new ParticlizeError({ place: wrong.name, cause: 'the model to learn from has an input of this name, and the trained model has not' });
  const runner = await openRunner(engine, model, model.graph.inputs.map(({ name }) => name), [output]);
  const run = async (inputs: ReadonlyMap<string, NdArray>): Promise<NdArray> => (await runner.run(inputs)).get(output)!;
  const first = await run((await samples.take(Uint32Array.of(0))).inputs);
  if (aim.width !== undefined && first.data.length !== aim.width) {
    await runner.dispose();
    throw new ParticlizeError({ cause: `the model to learn from gives ${first.data.length} numbers a sample, the trained one ${aim.width}` });
  }
  if (first.data.byteLength * samples.count > memoryBytes / 8) {
    return { outputs: (_: Uint32Array, inputs: ReadonlyMap<string, NdArray>) => run(inputs), dispose: () => runner.dispose() };
  }
  const all = { dtype: 'float32', shape: [samples.count, ...first.shape.slice(1)], data: new Float32Array(first.data.length * samples.count) } as const;
  const size = batchSize(memoryBytes, bytesPerSample(model.graph));
  for (let from = 0; from < samples.count; from += size) {
    throwIfCancelled(task);
    task?.progress?.(from, samples.count, 'Asking the original');
    const rows = Uint32Array.from({ length: Math.min(size, samples.count - from) }, (_, index) => from + index);
    all.data.set(asFloat32(await run((await samples.take(rows)).inputs)), from * first.data.length);
  }
  await runner.dispose();
  return { outputs: (rows: Uint32Array) => Promise.resolve(rowsAt(all, rows)), dispose: () => Promise.resolve() };
}
