import { constants } from 'node:fs';
import { access, mkdir, rm, stat } from 'node:fs/promises';
import path from 'node:path';
import type { Dataset } from '../core/data/dataset';
import { loadDataset } from '../core/data/loadDataset';
import type { Recipe } from '../core/data/recipe';
import { decidingOutput, widthOf } from '../core/evaluate/metrics';
import type { Format } from '../core/formats/format';
import { openModel } from '../core/formats/registry';
import type { Engine } from '../core/graph/engine';
import { ParticlizeError } from '../core/graph/errors';
import type { ModelGraph } from '../core/graph/modelGraph';
import { hasWeightsOnly } from '../core/graph/ops/weightsOnly';
import type { CheckpointPort } from '../core/train/checkpoint';
import { fineTune, type CurvePoint, type EpochRow, type FineTuneOptions } from '../core/train/fineTune';
import { randomOrder } from '../core/train/randomOrder';
import { subset } from '../core/train/samples';
import { atomicWrite } from './atomicWrite';
import { fileSetOf, fileSource } from './files';
import type { ComputeTask, ModelId, TrainRequest, TrainResult, TrainSettings } from './protocol';
import { openRecipe, type OpenedRecipe } from './recipeFiles';
import { saveModel } from './saveModel';

/** What a training job needs of an open model. */
export interface TrainedModel {
  readonly id: ModelId;
  readonly file: string;
  readonly format: Format;
  readonly graph: ModelGraph;
  readonly sha256: string;
}

export interface TrainServices {
  engine(): Promise<Engine>;
  readonly memoryBytes: number;
  /** Resolves when the run may go on. */
  waitWhilePaused(): Promise<void>;
}

/**
 * Trains an open model on a recipe and writes the result into a folder, never over a file. What is needed to go on after an end
 * at any moment lies in the folder while it runs, and is gone when the result is there.
 */
export async function trainJob(model: TrainedModel, request: TrainRequest, services: TrainServices, task: ComputeTask): Promise<TrainResult> {
  const file = path.basename(model.file);
  if (!model.format.save) throw new ParticlizeError({ file, cause: `Particlize reads ${model.format.title} files but does not write them yet, so that what is trained could not be kept` });
  if (hasWeightsOnly(model.graph)) {
    throw new ParticlizeError({ file, cause: 'the file has weights but no graph, so the model cannot be trained', action: 'Export the model to ONNX, or save the whole model, and train that' });
  }
  const options = fineTuneOptions(request.settings);
  const recipe = await openRecipe(request.recipe);
  const { train, validation } = await dataOf(recipe, model.graph, options, services.memoryBytes);
  const teacher = request.distil === undefined ? undefined : await openModel(await fileSetOf(request.distil));
  const folder = path.resolve(request.folder);
  await makeFolder(folder);
  const checkpoint = checkpointIn(folder, model.file);
  if (!request.resume && await checkpoint.exists()) {
    throw new ParticlizeError({ file: checkpoint.name, cause: 'an earlier training in this folder was interrupted', action: 'Go on with it (--resume), delete this file, or choose another folder' });
  }
  const events = eventsOf(model.id, task);
  try {
    const { graph, ...result } = await fineTune({
      model: model.graph, engine: await services.engine(), train, validation, teacher, memoryBytes: services.memoryBytes, checkpoint, digest: model.sha256,
      resume: request.resume, task: { signal: task.signal, progress: task.progress, ...events, waitWhilePaused: () => services.waitWhilePaused() },
    }, options);
    const files = await saveModel(model.format, model.graph, graph, { original: model.file, folder, name: request.name, task: {} });
    await checkpoint.remove();
    return { ...result, files, trainingSamples: train.count, validationSamples: validation?.count ?? 0 };
  } finally {
    events.flush();
  }
}

/** Settings with what is taken where the user says nothing. Throws a ParticlizeError when one cannot be. */
export function fineTuneOptions(settings: TrainSettings): FineTuneOptions {
  const { optimiser = 'adam', momentum = 0.9, nesterov, weightDecay, schedule = 'constant', ...rest } = settings;
  const check = (fits: boolean, name: string, wanted: string): void => {
    if (!fits) throw new ParticlizeError({ place: name, cause: `this should be ${wanted}` });
  };
  const { epochs, batch = 64, learningRate = optimiser === 'sgd' ? 1e-2 : 1e-3, warmUpSteps = 0, seed = 0 } = rest;
  const whole = (value: number, least: number): boolean => Number.isSafeInteger(value) && value >= least;
  check(whole(epochs, 1), 'epochs', 'a whole number from 1 up');
  check(whole(batch, 1), 'batch', 'a whole number from 1 up');
  check(whole(warmUpSteps, 0), 'warmUpSteps', 'a whole number from 0 up');
  check(rest.steps === undefined || whole(rest.steps, 1), 'steps', 'a whole number from 1 up');
  check(rest.patience === undefined || whole(rest.patience, 1), 'patience', 'a whole number from 1 up');
  check(Number.isSafeInteger(seed), 'seed', 'a whole number');
  check(learningRate > 0 && Number.isFinite(learningRate), 'learningRate', 'a number above 0');
  check(momentum >= 0 && momentum < 1, 'momentum', 'a number from 0 up and below 1');
  check(weightDecay === undefined || (weightDecay >= 0 && Number.isFinite(weightDecay)), 'weightDecay', 'a number from 0 up');
  check(rest.clipNorm === undefined || rest.clipNorm > 0, 'clipNorm', 'a number above 0');
  const { distillation } = rest;
  check(!distillation || (distillation.temperature > 0 && distillation.alpha >= 0 && distillation.alpha <= 1), 'distillation', 'a temperature above 0 and a share from 0 to 1');
  return {
    ...rest, epochs, batch, learningRate, warmUpSteps, seed,
    optimiser: { kind: optimiser, ...(optimiser === 'sgd' && { momentum, ...(nesterov && { nesterov }) }), ...(weightDecay !== undefined && { weightDecay }) },
    schedule: schedule === 'step' ? { kind: 'step', every: Math.max(1, Math.ceil(epochs / 3)), factor: 0.1 } : { kind: schedule },
  };
}

const heldOut = 0.1;
/** Fewer samples than this tell nothing about a model. */
const leastHeldOut = 10;

/**
 * What is trained on and what is measured on: the recipe's splits 'train' and 'validation'. Without the first it is what other
 * splits leave over, without the second a tenth of it, drawn by the seed. 'test' is never looked at.
 */
export async function dataOf(
  { recipe, files }: OpenedRecipe, graph: ModelGraph, { seed }: FineTuneOptions, memoryBytes: number,
): Promise<{ train: Dataset; validation?: Dataset }> {
  const options = { memoryBytes, classCount: widthOf(decidingOutput(graph, recipe)) };
  const load = async (from: Recipe, split?: string): Promise<Dataset> => (await loadDataset(from, files, graph.inputs, { ...options, split })).dataset;
  const named = Object.keys(recipe.split);
  let train = named.includes('train') ? await load(recipe, 'train') : await load({ ...recipe, split: {} });
  if (named.length > 0 && !named.includes('train')) train = subset(train, rowsOutside(recipe, train.count));
  if (named.includes('validation')) return { train, validation: await load(recipe, 'validation') };
  const count = Math.floor(train.count * heldOut);
  if (count < leastHeldOut) return { train };
  const order = randomOrder(train.count, seed, -1);
  return { train: subset(train, order.slice(count).sort()), validation: subset(train, order.slice(0, count).sort()) };
}

/** Rows that no split names. */
function rowsOutside(recipe: Recipe, count: number): Uint32Array {
  const ranges = Object.values(recipe.split).map((range) => {
    if (typeof range !== 'number') return range;
    throw new ParticlizeError({ file: recipe.file, place: 'split', cause: "there is no split 'train'", action: 'Give the share that is trained on the name train' });
  });
  const rows = Uint32Array.from({ length: count }, (_, row) => row).filter((row) => !ranges.some(([from, to]) => row >= from && row < to));
  if (rows.length > 0) return rows;
  throw new ParticlizeError({ file: recipe.file, place: 'split', cause: "there is no split 'train', and the other splits leave no rows over", action: 'Name the rows to train on in the recipe' });
}

async function makeFolder(folder: string): Promise<void> {
  try {
    await mkdir(folder, { recursive: true });
    await access(folder, constants.W_OK);
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    const cause = code === 'EEXIST' || code === 'ENOTDIR' ? 'this is a file, not a folder' : `the folder cannot be written to (${code})`;
    throw new ParticlizeError({ file: folder, cause, action: 'Choose another folder' }, { cause: error });
  }
}

export interface CheckpointFile extends CheckpointPort {
  readonly name: string;
  exists(): Promise<boolean>;
  remove(): Promise<void>;
}

export function checkpointIn(folder: string, model: string, save: typeof atomicWrite = atomicWrite): CheckpointFile {
  const name = `${path.parse(model).name}.checkpoint`;
  const file = path.join(folder, name);
  const exists = (): Promise<boolean> => stat(file).then(() => true, () => false);
  return {
    name, exists,
    read: async () => (await exists() ? fileSource(file) : undefined),
    write: async (content) => void await save(folder, [{ ...content, name }], { overwrite: true }),
    remove: () => rm(file, { force: true }),
  };
}

/** Points are gathered for a while: a small model takes hundreds of steps a second. */
const gatherMs = 100;

export function eventsOf(model: ModelId, task: ComputeTask) {
  let points: CurvePoint[] = [];
  let last = 0;
  const flush = (rows: readonly EpochRow[] = []): void => {
    if (points.length || rows.length) task.training?.(model, { points, rows });
    points = [];
    last = Date.now();
  };
  return {
    curve(more: readonly CurvePoint[]): void {
      points.push(...more);
      if (Date.now() - last >= gatherMs) flush();
    },
    epoch: (row: EpochRow): void => flush([row]),
    flush: (): void => flush(),
  };
}
