import { appendFile, mkdir, readFile, rm, stat } from 'node:fs/promises';
import path from 'node:path';
import type { Dataset } from '../core/data/dataset';
import type { BehaviourContext } from '../core/behaviour/behaviour';
import { modelCost } from '../core/evaluate/cost';
import { evaluate } from '../core/evaluate/evaluate';
import { measureLatency } from '../core/evaluate/latency';
import { formatOf } from '../core/formats/registry';
import type { Format } from '../core/formats/format';
import { ParticlizeError, type Finding } from '../core/graph/errors';
import type { ModelGraph } from '../core/graph/modelGraph';
import { hasWeightsOnly } from '../core/graph/ops/weightsOnly';
import { bestOf, dropOf, isWithin, paretoRounds, type Decision, type Goal } from '../core/loop/goal';
import { runLoop, type RoundsPort } from '../core/loop/loop';
import type { Round } from '../core/loop/round';
import type { Plan } from '../core/optimise/plan';
import { pruneTo } from '../core/optimise/compensated/pruneTo';
import { suggest } from '../core/optimise/suggest';
import { applyPlan } from '../core/optimise/surgery';
import { decompose } from '../core/particles/decompose';
import { fineTune, type FineTuned } from '../core/train/fineTune';
import { randomOrder } from '../core/train/randomOrder';
import { subset } from '../core/train/samples';
import { atomicWrite } from './atomicWrite';
import { fileDigest } from './fileDigest';
import { fileSetOf } from './files';
import type { ComputeTask, LoopRequest, LoopResult, RoundsResult, RoundSummary } from './protocol';
import { loadRecipe, openRecipe } from './recipeFiles';
import { jsonText, makeRoundsFolder, nextRoundNumber, placeRound, readRounds, removeLeftovers, roundsFolderOf, sizeOf, writeTexts, type KeptRound } from './rounds';
import { lockRounds } from './roundsLock';
import { checkpointIn, dataOf, eventsOf, fineTuneOptions, type TrainedModel, type TrainServices } from './trainJob';

export interface LoopServices extends TrainServices {
  /** Of the engine; stands beside measured latencies. */
  readonly threads: number;
  /** In tests: a disk that is full. */
  readonly write?: typeof atomicWrite;
}

/** Removes, trains and evaluates, round after round, in a folder that holds all that is needed to go on after an end at any moment. */
export async function loopJob(model: TrainedModel, request: LoopRequest, services: LoopServices, task: ComputeTask): Promise<LoopResult> {
  checkModel(model);
  const goal = goalOf(request);
  const folder = path.resolve(request.folder ?? roundsFolderOf(model.file));
  await makeRoundsFolder(folder);
  const unlock = await lockRounds(folder);
  try {
    await removeLeftovers(folder);
    const loop = new Loop(model, request, goal, folder, services, task);
    const { rounds, outcome } = await runLoop(loop, goal, {
      signal: task.signal, progress: task.progress, round: (round) => task.round?.(model.id, loop.summary(round)),
    });
    const kept = (await readRounds(folder)).rounds;
    const best = kept.find(({ round }) => round === outcome.best)!;
    return { ...outcome, folder, rounds: summaries(kept, goal), model: best.modelPath, findings: loop.findings, pareto: paretoRounds(rounds) };
  } finally {
    await unlock();
  }
}

/** The rounds of a model as its faces show them. */
export async function listRounds(model: Pick<TrainedModel, 'file'>, folder: string | undefined, maxDrop: number | undefined): Promise<RoundsResult> {
  const place = path.resolve(folder ?? roundsFolderOf(model.file));
  const { rounds, findings } = await readRounds(place);
  const whole = rounds[0]?.round === 0 ? rounds : [];
  return { folder: place, rounds: summaries(whole, { target: { macs: 0 }, maxDrop: maxDrop ?? Infinity }), findings };
}

/** A model that the user's own training made becomes the next round. */
export async function addRound(
  model: TrainedModel, request: { readonly recipe: string; readonly file: string; readonly folder?: string; readonly title?: string; readonly parent?: number },
  services: LoopServices, task: ComputeTask,
): Promise<RoundSummary> {
  const folder = path.resolve(request.folder ?? roundsFolderOf(model.file));
  await makeRoundsFolder(folder);
  const unlock = await lockRounds(folder);
  try {
    await removeLeftovers(folder);
    const goal: Goal = { target: { macs: 0 }, maxDrop: Infinity, rounds: 0 };
    const loop = new Loop(model, { ...request, model: model.id, target: {}, maxDrop: 0, settings: { epochs: 1 } }, goal, folder, services, task);
    if ((await loop.rounds()).length === 0) await loop.original();
    return loop.summary(await loop.adopt(path.resolve(request.file), request.title ?? 'Trained elsewhere', request.parent));
  } finally {
    await unlock();
  }
}

function goalOf({ target, maxDrop, rounds = 12 }: LoopRequest): Goal {
  const share = (value: number | undefined, name: string): void => {
    if (value !== undefined && !(value > 0 && value <= 1)) throw new ParticlizeError({ place: name, cause: 'the target should be a share above 0, at most 1' });
  };
  share(target.macs, 'macs');
  share(target.parameters, 'parameters');
  if (target.macs === undefined && target.parameters === undefined) throw new ParticlizeError({ place: 'target', cause: 'there is no target', action: 'Name the share of MACs or parameters to reach' });
  if (!(maxDrop >= 0)) throw new ParticlizeError({ place: 'maxDrop', cause: 'the accepted drop should be a number from 0 up' });
  if (!Number.isSafeInteger(rounds) || rounds < 1) throw new ParticlizeError({ place: 'rounds', cause: 'this should be a whole number from 1 up' });
  return { target, maxDrop, rounds };
}

function checkModel({ file, format, graph }: TrainedModel): void {
  const name = path.basename(file);
  if (!format.save) throw new ParticlizeError({ file: name, cause: `Particlize reads ${format.title} files but does not write them yet, so that rounds could not be kept` });
  if (hasWeightsOnly(graph)) {
    throw new ParticlizeError({ file: name, cause: 'the file has weights but no graph, so the model cannot be trained', action: 'Export the model to ONNX, or save the whole model, and use that' });
  }
}

function summaries(rounds: readonly KeptRound[], goal: Pick<Goal, 'target' | 'maxDrop'>): readonly RoundSummary[] {
  const [original] = rounds;
  if (!original) return [];
  const best = bestOf(rounds, goal).round;
  return rounds.map((round) => ({ ...round, drop: dropOf(round, original), withinDrop: isWithin(round, original, goal), best: round.round === best }));
}

/** Chosen on at most so many training rows: what they cost is spent again in every round. */
const choiceSamples = 512;
const checkpointMs = 10_000;

interface OpenedModel {
  readonly format: Format;
  readonly graph: ModelGraph;
}

/** What a round that is being made keeps besides the model: says whether an interrupted one can be gone on with. */
interface Working {
  readonly parent: number;
  readonly parentSha256: string;
  readonly target: Goal['target'];
  readonly choice: string;
}

class Loop implements RoundsPort {
  readonly findings: Finding[] = [];
  private kept: KeptRound[] = [];
  private current = 0;

  constructor(
    private readonly model: TrainedModel, private readonly request: LoopRequest, private readonly goal: Goal, private readonly folder: string,
    private readonly services: LoopServices, private readonly task: ComputeTask,
  ) {}

  async rounds(): Promise<readonly Round[]> {
    const { rounds, findings } = await readRounds(this.folder);
    this.findings.push(...findings);
    this.kept = [...rounds];
    if (rounds.length === 0) {
      if (await nextRoundNumber(this.folder) > 0) throw new ParticlizeError({ file: this.folder, cause: 'none of the rounds in this folder can be read', action: findings[0]?.message ?? 'Choose another folder' });
      return [];
    }
    const [original] = rounds;
    if (original!.round !== 0) throw new ParticlizeError({ file: this.folder, cause: 'the record of the original (round-00) is missing', action: 'Choose another folder' });
    if (original!.model.sha256 !== this.model.sha256) {
      throw new ParticlizeError({ file: path.basename(this.model.file), cause: 'the rounds in this folder were made from another version of the model', action: 'Choose another folder, or put that version back' });
    }
    const { name } = path.parse(this.request.recipe);
    if (path.parse(original!.data.recipe).name !== name) {
      throw new ParticlizeError({ file: path.basename(this.request.recipe), cause: `the rounds in this folder were measured with ${path.basename(original!.data.recipe)}`, action: 'Use that recipe, or choose another folder' });
    }
    return rounds;
  }

  async original(): Promise<Round> {
    this.say(0, 'Measuring the original', 0);
    const place = path.join(this.folder, 'round-00');
    const measured = await this.measure(this.model.graph, this.model.file);
    const round: Round = {
      version: 1, round: 0, action: 'original', title: 'The original',
      model: { file: path.relative(place, this.model.file).split(path.sep).join('/'), sha256: this.model.sha256 }, ...measured,
    };
    return this.keep(round, await this.freshWorking());
  }

  async make({ parent, target, learningRateFactor }: Extract<Decision, { kind: 'go' }>, _number: number): Promise<Round | undefined> {
    const number = await nextRoundNumber(this.folder);
    this.current = number;
    const started = Date.now();
    const from = this.kept.find(({ round }) => round === parent)!;
    const working = this.working;
    const wanted: Working = { parent, parentSha256: from.model.sha256, target, choice: JSON.stringify([this.request.criterion, this.request.samples, this.request.seed, path.basename(this.request.recipe)]) };
    let plan = await this.planOfInterrupted(wanted);
    if (plan) {
      await removeLeftovers(working);
      await this.log(`Going on with round ${number}`);
    } else {
      await this.freshWorking();
      plan = await this.remove(from, number, wanted);
      if (!plan) {
        await rm(working, { recursive: true, force: true });
        return undefined;
      }
    }
    const name = path.basename(this.model.file);
    const removed = await open(path.join(working, 'removed', name));
    const data = await this.testData(removed.graph);
    const { decisive, metrics } = await evaluate(removed.graph, await this.services.engine(), data.dataset, { memoryBytes: this.services.memoryBytes, task: this.quiet });
    await this.log(`Before training: ${decisive.name} ${metrics[decisive.name]}`);
    const { learningRate, tuned } = await this.train(removed, number, learningRateFactor);
    this.say(number, 'Measuring', 0.92);
    const files = await this.save(removed, tuned.graph, working, name);
    const trained = await open(path.join(working, name));
    const measured = await this.measure(trained.graph, path.join(working, name), files);
    await this.log(`After training: ${measured.evaluation.decisive.name} ${measured.evaluation.metrics[measured.evaluation.decisive.name]}`);
    const round: Round = {
      version: 1, round: number, parent, action: 'remove', title: titleOf(plan),
      model: { file: name, sha256: await digestOf(path.join(working, name)) }, ...measured, untrained: metrics[decisive.name],
      training: { steps: tuned.steps, bestEpoch: tuned.bestEpoch, stopped: tuned.stopped, learningRate, ...(tuned.message !== undefined && { message: tuned.message }) },
      elapsedMs: Date.now() - started,
    };
    await rm(path.join(working, 'removed'), { recursive: true, force: true });
    await rm(path.join(working, 'working.json'), { force: true });
    await checkpointIn(working, name).remove();
    return this.keep(round, working);
  }

  /** A model file from elsewhere, as a round of its own. */
  async adopt(file: string, title: string, from?: number): Promise<Round> {
    const number = await nextRoundNumber(this.folder);
    const { format, graph } = await open(file);
    if (!format.save) throw new ParticlizeError({ file: path.basename(file), cause: `Particlize does not write ${format.title} files, so that this cannot be kept as a round` });
    const working = await this.freshWorking();
    const name = path.basename(file);
    const files = await this.save({ format, graph }, graph, working, name);
    const measured = await this.measure((await open(path.join(working, name))).graph, path.join(working, name), files);
    const parent = this.kept.find(({ round: own }) => own === from)?.round ?? bestOf(this.kept, this.goal).round;
    return this.keep({ version: 1, round: number, parent, action: 'ownTraining', title, model: { file: name, sha256: await digestOf(path.join(working, name)) }, ...measured }, working);
  }

  summary(round: Round): RoundSummary {
    const kept = this.kept.find((own) => own.round === round.round)!;
    const [original] = this.kept;
    return { ...kept, drop: dropOf(kept, original!), withinDrop: isWithin(kept, original!, this.goal), best: bestOf(this.kept, this.goal).round === kept.round };
  }

  private get working(): string {
    return path.join(this.folder, 'working');
  }

  private get quiet(): { signal?: AbortSignal } {
    return { signal: this.task.signal };
  }

  private async freshWorking(): Promise<string> {
    await rm(this.working, { recursive: true, force: true });
    await makeRoundsFolder(this.working);
    return this.working;
  }

  /** The plan of a round that was interrupted after its removal, when that is the very round that is due. */
  private async planOfInterrupted(wanted: Working): Promise<Plan | undefined> {
    try {
      const text = await readFile(path.join(this.working, 'working.json'), 'utf8');
      if (text !== jsonText(wanted)) return undefined;
      const plan = JSON.parse(await readFile(path.join(this.working, 'plan.json'), 'utf8')) as Plan;
      if (plan.model.sha256 !== wanted.parentSha256 || !Array.isArray(plan.steps)) return undefined;
      await stat(path.join(this.working, 'removed', path.basename(this.model.file)));
      return plan;
    } catch {
      // Interrupted earlier, or not there: it starts anew.
      return undefined;
    }
  }

  private async remove(from: KeptRound, number: number, wanted: Working): Promise<Plan | undefined> {
    const { services, task, request, working } = this;
    const sha256 = await digestOf(from.modelPath).catch((error: unknown) => {
      throw new ParticlizeError({ file: from.modelPath, cause: `the model of round ${from.round} is gone or cannot be read`, action: 'Put it back, or choose another folder' }, { cause: error });
    });
    if (sha256 !== from.model.sha256) {
      throw new ParticlizeError({ file: path.basename(from.modelPath), cause: `the model of round ${from.round} has changed since`, action: 'Put it back, or choose another folder' });
    }
    const { format, graph } = await open(from.modelPath);
    const table = decompose(graph);
    this.say(number, 'Reading the data', 0);
    const recipe = await openRecipe(request.recipe);
    const { train } = await dataOf(recipe, graph, fineTuneOptions(request.settings), services.memoryBytes);
    const rows = randomOrder(train.count, request.seed ?? 0, -2).slice(0, request.samples ?? choiceSamples).sort();
    const data: Dataset = rows.length < train.count ? subset(train, rows) : train;
    const context = {
      graph, table, engine: await services.engine(), data, memoryBytes: services.memoryBytes,
      task: { signal: task.signal, progress: (done: number, total: number, message?: string) => this.say(number, message ?? 'Choosing', 0.3 * (total ? done / total : 0)) },
      report: (finding: Finding): void => void this.findings.push(finding),
    };
    const chosen = await this.choose(context, wanted.target);
    if (!chosen) return undefined;
    const plan: Plan = { version: 1, model: { file: path.basename(from.modelPath), sha256 }, ...chosen.plan };
    const operated = chosen.graph ?? (await applyPlan(graph, table, plan)).graph;
    if (operated === graph) return undefined;
    await writeTexts(working, { 'plan.json': jsonText(plan) }, services.write);
    await mkdir(path.join(working, 'removed'), { recursive: true });
    await this.save({ format, graph }, operated, path.join(working, 'removed'), path.basename(this.model.file));
    // Last: with it, all of the removal is there.
    await writeTexts(working, { 'working.json': jsonText(wanted) }, services.write);
    await this.log(`Round ${number}, from round ${from.round}: ${titleOf(plan)}. ${chosen.evidence}`);
    return plan;
  }

  /** What goes; what is lost with it now may come back with training, so that how much is too much is decided afterwards. */
  private async choose(
    context: BehaviourContext, target: Goal['target'],
  ): Promise<{ readonly plan: Pick<Plan, 'steps' | 'predicted'>; readonly evidence: string; readonly graph?: ModelGraph } | undefined> {
    const { macs } = target;
    if (macs !== undefined && this.request.criterion !== 'ablation') {
      const { graph, rows } = await pruneTo(context, { macs });
      const wanted = target.parameters === undefined || modelCost(graph).parameters <= target.parameters * modelCost(context.graph).parameters;
      if (rows.length && wanted) {
        return {
          plan: { steps: [{ action: 'remove', particles: rows.map((row) => context.table.id(row)) }] }, graph,
          evidence: 'Chosen by what is lost after the next layers make up for it; their weights were fitted anew to the outputs they had.',
        };
      }
    }
    const { suggestions } = await suggest(context, { maxDrop: Infinity, target, front: false });
    const suggestion = suggestions.find(({ id }) => id === 'remove:*') ?? suggestions.find(({ id }) => id !== 'remove:idle');
    return suggestion?.particles.length ? { plan: { steps: suggestion.steps, predicted: suggestion.predicted }, evidence: suggestion.evidence } : undefined;
  }

  private async train({ graph }: OpenedModel, number: number, factor: number): Promise<{ learningRate: number; tuned: FineTuned }> {
    const { services, task, request, working } = this;
    const base = fineTuneOptions({ schedule: 'cosine', ...request.settings, seed: request.seed ?? request.settings.seed });
    const options = { ...base, learningRate: base.learningRate * factor, checkpointMs };
    const { train, validation } = await dataOf(await openRecipe(request.recipe), graph, options, services.memoryBytes);
    const name = path.basename(this.model.file);
    const file = checkpointIn(working, name, services.write);
    const events = eventsOf(this.model.id, task);
    const digest = await digestOf(path.join(working, 'removed', name));
    const run = async (resume: boolean): Promise<FineTuned> => fineTune({
      model: graph, engine: await services.engine(), train, validation, memoryBytes: services.memoryBytes, checkpoint: file, digest, resume,
      teacher: request.distil ? this.model.graph : undefined,
      task: {
        signal: task.signal, ...events, waitWhilePaused: () => services.waitWhilePaused(),
        progress: (done, total, message) => this.say(number, message ?? 'Training', 0.3 + 0.6 * (total ? done / total : 0)),
      },
    }, options);
    try {
      const resume = await file.exists();
      const tuned = await run(resume).catch(async (error: unknown) => {
        // A checkpoint of other settings, or a damaged one, costs the training of this round, not the loop.
        if (!resume || !(error instanceof ParticlizeError) || error.parts.file !== file.name) throw error;
        await this.log(`${error.message} Training starts anew.`);
        await file.remove();
        return run(false);
      });
      if (tuned.message !== undefined) await this.log(`${tuned.message}.`);
      return { learningRate: options.learningRate, tuned };
    } finally {
      events.flush();
    }
  }

  private async testData(graph: ModelGraph) {
    return loadRecipe(this.request.recipe, graph, { memoryBytes: this.services.memoryBytes });
  }

  private async measure(graph: ModelGraph, file: string, files?: readonly string[]): Promise<Pick<Round, 'evaluation' | 'fileBytes' | 'latency' | 'data'>> {
    const { services, request } = this;
    const engine = await services.engine();
    const { dataset, split } = await this.testData(graph);
    if (split === undefined && !this.findings.some(({ place }) => place === dataset.title)) {
      this.findings.push({ severity: 'warning', place: dataset.title, message: 'The recipe names no split to test on, so that rounds are measured on rows that they were trained on.' });
    }
    const { groups: _, ...evaluation } = await evaluate(graph, engine, dataset, { memoryBytes: services.memoryBytes, task: this.quiet });
    return {
      evaluation, fileBytes: await sizeOf(files ?? [file]), latency: await measureLatency(graph, engine, dataset, services.threads, this.quiet),
      data: { recipe: path.basename(request.recipe), ...(split !== undefined && { split }), seed: request.seed ?? 0 },
    };
  }

  private async save({ format, graph: original }: OpenedModel, graph: ModelGraph, folder: string, name: string): Promise<readonly string[]> {
    return (this.services.write ?? atomicWrite)(folder, await format.save!(original, graph, name), { ...this.quiet, overwrite: true });
  }

  /** Writes the record and gives the folder its name. */
  private async keep(round: Round, working: string): Promise<Round> {
    await writeTexts(working, { 'metrics.json': jsonText(round) }, this.services.write);
    const folder = await placeRound(working, this.folder, round.round);
    this.kept.push({ ...round, folder, modelPath: path.resolve(folder, round.model.file) });
    return round;
  }

  private async log(line: string): Promise<void> {
    await appendFile(path.join(this.working, 'log.txt'), `${line}\n`).catch(() => undefined);
  }

  /** One scale for all rounds, whose number is only supposed. */
  private say(round: number, message: string, share: number): void {
    const { target } = this.goal;
    const supposed = Math.ceil(Math.log2(1 / Math.max(1e-3, Math.min(target.macs ?? 1, target.parameters ?? 1))));
    const total = Math.max(supposed, this.current, 1);
    this.task.progress?.(Math.min(total, Math.max(0, round - 1) + share), total, round === 0 ? message : `Round ${round}: ${message}`);
  }
}

async function open(file: string): Promise<OpenedModel> {
  const files = await fileSetOf(file);
  const format = await formatOf(files);
  return { format, graph: await format.open(files) };
}

async function digestOf(file: string): Promise<string> {
  return fileDigest(file, (await stat(file)).size);
}

/** What the round did, as far as particles went away; the plan itself tells all of it. */
function titleOf({ steps }: Plan): string {
  const particles = new Set(steps.flatMap((step) => ('particles' in step ? step.particles : [])));
  const layers = new Set([...particles].map((id) => id.slice(0, id.lastIndexOf('/'))));
  return `Removed ${particles.size} ${particles.size === 1 ? 'particle' : 'particles'} of ${layers.size} ${layers.size === 1 ? 'layer' : 'layers'}`;
}
