import path from 'node:path';
import { addAttributes, attributeColumns } from '../core/attributes/registry';
import type { WeightSummer } from '../core/attributes/sums/weightSummer';
import { NotToldApart } from '../core/behaviour/ablation/cut';
import { divergenceFor } from '../core/behaviour/ablation/divergence';
import { effectCount } from '../core/behaviour/ablation/effects';
import { sweepPart } from '../core/behaviour/ablation/sweep';
import { activationDrift, type LayerDrift } from '../core/behaviour/activationDrift';
import type { BehaviourContext } from '../core/behaviour/behaviour';
import type { DetailInfo } from '../core/behaviour/details/detail';
import { responseOf } from '../core/behaviour/forward';
import { addBehaviour, behaviourColumns } from '../core/behaviour/registry';
import type { Dataset } from '../core/data/dataset';
import type { LoadedDataset } from '../core/data/loadDataset';
import { batchModel, openRunner } from '../core/evaluate/batching';
import { layerCost, modelCost } from '../core/evaluate/cost';
import { evaluate } from '../core/evaluate/evaluate';
import type { Evaluation } from '../core/evaluate/evaluation';
import { objectiveFor } from '../core/evaluate/metrics';
import type { Format } from '../core/formats/format';
import { formatOf } from '../core/formats/registry';
import type { FileSet } from '../core/graph/byteSource';
import type { Engine } from '../core/graph/engine';
import { ParticlizeError, throwIfCancelled, type Finding } from '../core/graph/errors';
import { indexOf, type Layer, type ModelGraph } from '../core/graph/modelGraph';
import { asFloat32 } from '../core/graph/numeric';
import { hasWeightsOnly } from '../core/graph/ops/weightsOnly';
import type { NdArray } from '../core/graph/tensor';
import type { Plan } from '../core/optimise/plan';
import { removable } from '../core/optimise/removal';
import { shapeChanges } from '../core/optimise/shapeChanges';
import { suggest } from '../core/optimise/suggest';
import { take } from '../core/optimise/removeAxes';
import { applyPlan } from '../core/optimise/surgery';
import { decompose } from '../core/particles/decompose';
import type { ParticleGroup } from '../core/particles/particle';
import type { Column, ParticleTable } from '../core/particles/particleTable';
import type { BehaviourPool } from './behaviourPool';
import { computeDetail, knownDetails } from './details';
import { atomicWrite } from './atomicWrite';
import { fileDigest } from './fileDigest';
import { diskPlace, fileSetOf } from './files';
import type {
  ActivationData, ApplyResult, ArrayData, BehaviourRequest, ColumnData, ComputeTask, DetailRequest, DetailResult, LayerSummary, ModelId, ModelSummary, MutedPrediction, PlanPreview,
  RecipeGuess, RecipeMatch, SuggestRequest, SuggestResult, SweepRequest,
} from './protocol';
import { mutedPredictions, type MutedPredictions } from './mutedPrediction';
import { labelOf, predictionOf } from './prediction';
import { findRecipes, guessRecipeFor, loadRecipe, recipeEnding, recipeStamp } from './recipeFiles';
import { keepWayBack, saveModel } from './saveModel';
import { sweepCache } from './sweepCache';

export interface SessionServices {
  engine(): Promise<Engine>;
  readonly memoryBytes: number;
  readonly summer: WeightSummer;
  /** Processes that share exact sweeps; none in a process of the pool itself. */
  readonly pool?: BehaviourPool;
  /** Where exact sweeps keep what they have found. */
  readonly cacheFolder?: string;
}

/** One open model: its graph, its table of particles, and everything that the faces ask of them. */
export class ModelSession {
  readonly table: ParticleTable;
  /** What columns noticed, by layer or recipe. */
  readonly findings: Finding[] = [];

  private muted: MutedPredictions | undefined;
  private swept: { readonly run: string; readonly context: Promise<BehaviourContext> } | undefined;

  private constructor(
    readonly id: ModelId, readonly file: string, readonly format: Format, readonly graph: ModelGraph,
    private readonly stamp: { readonly sizeBytes: number; readonly sha256: string; readonly files: readonly string[] }, private readonly services: SessionServices,
  ) {
    this.table = decompose(graph);
  }

  static async open(id: ModelId, file: string, services: SessionServices, task?: ComputeTask): Promise<ModelSession> {
    const files = await fileSetOf(file);
    // Shards and external data are part of the model, whatever its main file weighs.
    const beside = new Map<string, number>();
    const paths = [diskPlace(files.main)!.path];
    const counted: FileSet = {
      ...files,
      sibling: async (name) => {
        const source = await files.sibling(name);
        if (!beside.has(name)) paths.push(diskPlace(source)!.path);
        beside.set(name, source.sizeBytes);
        return source;
      },
    };
    const format = await formatOf(counted);
    const graph = await format.open(counted);
    const sha256 = await fileDigest(file, files.main.sizeBytes, task);
    const sizeBytes = [...beside.values()].reduce((sum, size) => sum + size, files.main.sizeBytes);
    return new ModelSession(id, path.resolve(file), format, graph, { sizeBytes, sha256, files: paths }, services);
  }

  summary(): ModelSummary {
    const { graph, format, table } = this;
    const verdicts = removable(graph, table);
    const { parameters, macs } = modelCost(graph);
    return {
      model: this.id, path: this.file, format: format.id, formatTitle: format.title, producer: graph.producer,
      sha256: this.stamp.sha256, sizeBytes: this.stamp.sizeBytes,
      inputs: graph.inputs.map(({ name, shape, dtype }) => ({ name, shape, dtype })),
      outputs: graph.outputs.map(({ name, shape, dtype }) => ({ name, shape, dtype })),
      layers: graph.layers.map((layer) => this.layerSummary(layer, verdicts.get(layer.name)?.reason)),
      particleCount: table.rowCount, parameters, macs, findings: graph.findings, writable: format.save !== undefined,
    };
  }

  /** Weight-only columns are computed when asked for; others only when they are there. */
  async columns(names: readonly string[] | undefined, task: ComputeTask): Promise<readonly ColumnData[]> {
    const known = new Set([...attributeColumns, ...behaviourColumns].map(({ name }) => name));
    this.checkColumns(names, known);
    const report = (finding: Finding): void => void this.findings.push(finding);
    await addAttributes(this.graph, this.table, names && new Set(names), task, { summer: this.services.summer, report });
    return this.table.columns.filter(({ name }) => !names || names.includes(name)).map(columnData);
  }

  async behaviour(request: BehaviourRequest, task: ComputeTask): Promise<readonly ColumnData[]> {
    const names = request.columns;
    this.checkColumns(names, new Set(behaviourColumns.map(({ name }) => name)));
    for (const layer of request.layers ?? []) this.group(layer);
    const context = await this.context(request.recipe, request, task);
    await addBehaviour({ ...context, layers: request.layers && new Set(request.layers) }, names && new Set(names));
    const wanted = new Set(names ?? behaviourColumns.map(({ name }) => name));
    // Estimates that were there know more of their error now: they are sent again.
    const again = behaviourColumns.filter(({ estimateOf }) => estimateOf !== undefined && wanted.has(estimateOf)).map(({ name }) => name);
    return this.table.columns.filter(({ name }) => wanted.has(name) || again.includes(name)).map(columnData);
  }

  details(layer: string): readonly DetailInfo[] {
    return knownDetails(this, this.group(layer));
  }

  detail(request: DetailRequest, task: ComputeTask): Promise<DetailResult> {
    const { graph, table } = this;
    return computeDetail(this.file, { graph, table, task }, this.group(request.layer), request, () => {
      if (request.recipe !== undefined) return this.context(request.recipe, request, task);
      throw new ParticlizeError({ cause: `${request.name} needs a recipe`, action: 'Choose one' });
    });
  }

  async weights(layer: string, from: number, to: number): Promise<ArrayData> {
    const group = this.group(layer);
    if (!(Number.isInteger(from) && Number.isInteger(to) && from >= 0 && from < to && to <= group.count)) {
      throw new ParticlizeError({ file: path.basename(this.file), place: layer, cause: `there are no particles ${from} to ${to}; it has ${group.count}` });
    }
    const slice = group.slices.find(({ role }) => role === 'weight') ?? group.slices[0];
    const tensor = slice && this.graph.tensors.get(slice.tensor);
    if (!slice || !tensor) throw new ParticlizeError({ file: path.basename(this.file), place: layer, cause: 'its weights are not stored in the file' });
    const block = slice.block ?? 1;
    const indices = Array.from({ length: (to - from) * block }, (_, index) => from * block + index);
    const { shape, values } = axisFirst(take(await tensor.read(), slice.axis, indices), slice.axis);
    return block === 1 ? { shape, values } : { shape: [to - from, block, ...shape.slice(1)], values };
  }

  async activations(recipe: string, layer: string, sample: number, task: ComputeTask): Promise<ActivationData> {
    const group = this.group(layer);
    const { dataset } = await this.load(recipe);
    if (!(Number.isInteger(sample) && sample >= 0 && sample < dataset.count)) {
      throw new ParticlizeError({ file: dataset.title, cause: `there is no sample ${sample}; the recipe gives ${dataset.count}` });
    }
    throwIfCancelled(task);
    const model = await batchModel(this.graph);
    const at = responseOf(model.graph, group);
    const objective = objectiveFor(model.graph, dataset);
    const fetches = [...new Set([at.value, objective.output])];
    const runner = await openRunner(await this.services.engine(), model, model.graph.inputs.map(({ name }) => name), fetches);
    try {
      const outputs = await runner.run(await dataset.inputs(sample, sample + 1));
      const response = axisFirst(outputs.get(at.value)!, at.axis);
      // The batch of one sample comes second, now that particles come first.
      const shape = [response.shape[0]!, ...response.shape.slice(2)];
      const picture = await dataset.picture?.(sample);
      return {
        shape, values: response.values.slice(), samples: dataset.count,
        picture: picture && { shape: picture.shape, values: asFloat32(picture) },
        label: await labelOf(dataset, sample),
        prediction: predictionOf(dataset, outputs.get(objective.output)!),
      };
    } finally {
      await runner.dispose();
    }
  }

  async mutedPrediction(recipe: string, sample: number, rows: readonly number[], task: ComputeTask): Promise<MutedPrediction> {
    const wrong = rows.find((row) => !(Number.isInteger(row) && row >= 0 && row < this.table.rowCount));
    if (wrong !== undefined) throw new ParticlizeError({ file: path.basename(this.file), cause: `there is no particle in row ${wrong}` });
    this.muted ??= mutedPredictions();
    return this.muted.predict(recipe, sample, rows, () => this.context(recipe, {}, task));
  }

  async suggest(request: SuggestRequest, task: ComputeTask): Promise<SuggestResult> {
    const context = await this.context(request.recipe, request, task);
    const { maxDrop, target, limits, multipleOf, front, criterion } = request;
    const wrong = Object.keys(limits ?? {}).find((layer) => !this.table.group(layer));
    if (wrong !== undefined) this.group(wrong);
    return suggest(context, { maxDrop, target, limits, multipleOf, front, criterion, structural: this.format.holdsGraph ?? false });
  }

  /** A part of a sweep that another process leads. */
  async sweep(request: SweepRequest, task: ComputeTask): Promise<{ effects: Float32Array }> {
    if (this.swept?.run !== request.run) this.swept = { run: request.run, context: this.context(request.recipe, request, {}) };
    const context: BehaviourContext = { ...await this.swept.context, task };
    const group = this.group(request.layer);
    const { particles } = request;
    if (!particles.every((particle) => Number.isInteger(particle) && particle >= 0 && particle < group.count)) {
      throw new ParticlizeError({ file: path.basename(this.file), place: request.layer, cause: `it has ${group.count} particles, and others were asked for` });
    }
    const model = await batchModel(this.graph);
    const sweep = { model, objective: objectiveFor(model.graph, context.data), divergence: divergenceFor(model.graph, context.data) };
    const effects = new Float32Array(particles.length * effectCount);
    const place = new Map(particles.map((particle, at) => [particle, at]));
    try {
      await sweepPart(context, sweep, { group, replacement: request.replacement, particles }, {
        found: (particle, found) => effects.set(found, place.get(particle)! * effectCount),
      });
    } catch (error) {
      if (error instanceof NotToldApart) return { effects: new Float32Array() };
      throw error;
    }
    return { effects };
  }

  async preview(plan: Plan): Promise<PlanPreview> {
    return (await this.operate(plan)).preview;
  }

  async apply(plan: Plan, folder: string, name: string | undefined, task: ComputeTask): Promise<ApplyResult> {
    if (!this.format.save) {
      throw new ParticlizeError({ file: path.basename(this.file), cause: `Particlize reads ${this.format.title} files but does not write them yet` });
    }
    const { graph, preview, structural } = await this.operate(plan);
    if (graph === this.graph) {
      const [refusal] = preview.refusals;
      throw new ParticlizeError({
        file: path.basename(this.file), place: refusal?.layer, cause: refusal ? `nothing was removed: ${refusal.reason}` : 'the plan changes nothing',
      });
    }
    if (structural.length && !this.format.holdsGraph) {
      throw new ParticlizeError({
        file: path.basename(this.file), cause: `${structural.join(' and ')} makes other operators, and ${this.format.title} files say layers by their settings, which Particlize does not write anew`,
        action: 'Export the model to ONNX and apply the plan to that',
      });
    }
    const files = await saveModel(this.format, this.graph, graph, { original: this.file, folder, name, task });
    return { ...preview, ...await keepWayBack(this.stamp.files, files, { ...plan, model: { file: path.basename(this.file), sha256: this.sha256 } }, task) };
  }

  async evaluate(recipe: string, samples: number | undefined, task: ComputeTask): Promise<Evaluation> {
    const { dataset } = await this.load(recipe, samples);
    return evaluate(this.graph, await this.services.engine(), dataset, { memoryBytes: this.services.memoryBytes, task });
  }

  async guessRecipe(files: readonly string[], out: string | undefined, task: ComputeTask): Promise<RecipeGuess> {
    const stem = path.basename(this.file).replace(/\.[^.]*$/, '');
    const target = path.resolve(out ?? path.join(path.dirname(this.file), `${stem}${recipeEnding}`));
    const guess = await guessRecipeFor(this.graph, files, path.dirname(target), this.services.memoryBytes);
    if (out === undefined) return guess;
    const bytes = new TextEncoder().encode(guess.text);
    const [written] = await atomicWrite(path.dirname(target), [{ name: path.basename(target), sizeBytes: bytes.length, async* chunks() { yield bytes; } }], task);
    return { ...guess, path: written };
  }

  async activationDrift(
    { recipe, split, comparedWith, samples }: { readonly recipe: string; readonly split: string; readonly comparedWith: string; readonly samples?: number }, task: ComputeTask,
  ): Promise<readonly LayerDrift[]> {
    const context = await this.context(recipe, { samples: 1 }, task);
    const load = async (name: string): Promise<Dataset> =>
      (await loadRecipe(recipe, this.graph, { samples: samples ?? 256, split: name, memoryBytes: this.services.memoryBytes })).dataset;
    return activationDrift(context, await load(comparedWith), await load(split));
  }

  recipes(): Promise<readonly RecipeMatch[]> {
    return findRecipes(this.file, this.graph, this.services.memoryBytes);
  }

  get sha256(): string {
    return this.stamp.sha256;
  }

  private async context(
    recipe: string, { samples, seed }: { readonly samples?: number; readonly seed?: number }, task: ComputeTask,
  ): Promise<BehaviourContext> {
    const { dataset } = await this.load(recipe, samples);
    const engine = await this.services.engine();
    const data = seed === undefined ? dataset : { ...dataset, seed };
    const report = (finding: Finding): void => void this.findings.push(finding);
    const { pool, cacheFolder } = this.services;
    const { sha256 } = this.stamp;
    return {
      workers: pool?.workers({ path: this.file, recipe, samples, seed, sha256 }, report),
      store: cacheFolder === undefined ? undefined
        : sweepCache(cacheFolder, [sha256, await recipeStamp(recipe), data.title, data.count, data.seed, engine.title]),
      graph: this.graph, table: this.table, engine, data, task, memoryBytes: this.services.memoryBytes,
      report,
      arrived: (name, values) => {
        const info = behaviourColumns.find((column) => column.name === name);
        if (!info || !task.columns) return;
        const { exact, ...column } = info;
        const provenance = { source: data.synthetic ? 'synthetic' as const : 'data' as const, data: data.title, samples: data.count, engine: engine.title, seed: data.seed, exact };
        task.columns(this.id, [{ ...column, provenance, values: values.slice() }]);
      },
    };
  }

  private async load(recipe: string, samples?: number): Promise<LoadedDataset> {
    if (hasWeightsOnly(this.graph)) {
      throw new ParticlizeError({
        file: path.basename(this.file), cause: 'the file has weights but no graph, so the model cannot be run on data',
        action: 'Export the model to ONNX, or save the whole model, and open that',
      });
    }
    return loadRecipe(recipe, this.graph, { samples, memoryBytes: this.services.memoryBytes });
  }

  private async operate(plan: Plan): Promise<{ graph: ModelGraph; preview: PlanPreview; structural: readonly string[] }> {
    const file = path.basename(this.file);
    if (plan.model.sha256 && plan.model.sha256 !== this.stamp.sha256) {
      throw new ParticlizeError({
        file, cause: `the plan was made for another version of ${plan.model.file || 'the model'}`, action: 'Ask for suggestions again',
      });
    }
    const { graph, refusals, notes, structural } = await applyPlan(this.graph, this.table, plan);
    const changes = shapeChanges(this.graph, graph, this.table);
    return { graph, structural, preview: { changes, refusals, notes, before: sizes(this.graph), after: sizes(graph) } };
  }

  private group(layer: string): ParticleGroup {
    const group = this.table.group(layer);
    if (group) return group;
    const layers = this.table.groups.map((candidate) => candidate.layer);
    throw new ParticlizeError({
      file: path.basename(this.file), cause: `it has no layer '${layer}' with particles`,
      action: `Its layers are ${layers.slice(0, 10).join(', ')}${layers.length > 10 ? ', ...' : ''}`,
    });
  }

  private checkColumns(names: readonly string[] | undefined, known: ReadonlySet<string>): void {
    const wrong = names?.find((name) => !known.has(name));
    if (wrong !== undefined) throw new ParticlizeError({ cause: `there is no column '${wrong}'`, action: `Columns are ${[...known].join(', ')}` });
  }

  private layerSummary(layer: Layer, note: string | undefined): LayerSummary {
    const { graph, table } = this;
    const { parameters, macs, uncounted } = layerCost(graph, layer);
    const group = table.group(layer.name);
    return {
      name: layer.name, type: layer.type, outputShape: layer.outputShape, parameters, macs: uncounted.length ? undefined : macs,
      particles: group && { kind: group.kind, count: group.count, firstRow: group.firstRow },
      next: nextLayers(graph, layer), note,
    };
  }
}

function nextLayers(graph: ModelGraph, layer: Layer): string[] {
  const { node, consumers } = indexOf(graph);
  const outputs = layer.nodes.flatMap((name) => node.get(name)?.outputs ?? []);
  const next = outputs.flatMap((value) => consumers.get(value) ?? []).map((consumer) => consumer.layer);
  return [...new Set(next)].filter((name) => name !== layer.name);
}

function sizes(graph: ModelGraph): PlanPreview['before'] {
  const { parameters, macs, bytes } = modelCost(graph);
  return { parameters, macs, bytes };
}

function columnData(column: Column): ColumnData {
  return { ...column };
}

/** The array with one axis moved to the front. */
function axisFirst(array: NdArray, axis: number): { shape: readonly number[]; values: Float32Array } {
  const source = asFloat32(array);
  const shape = [array.shape[axis]!, ...array.shape.slice(0, axis), ...array.shape.slice(axis + 1)];
  if (axis === 0) return { shape, values: source.slice() };
  const outer = array.shape.slice(0, axis).reduce((product, size) => product * size, 1);
  const size = array.shape[axis]!;
  const inner = source.length / (outer * size || 1);
  const values = new Float32Array(source.length);
  for (let block = 0; block < outer; block++) {
    for (let index = 0; index < size; index++) {
      const start = (block * size + index) * inner;
      values.set(source.subarray(start, start + inner), (index * outer + block) * inner);
    }
  }
  return { shape, values };
}
