import { stat } from 'node:fs/promises';
import { classScores, compare, confusionOf, judge, type Judgements } from '../core/evaluate/comparison';
import type { Dataset } from '../core/data/dataset';
import { evaluate } from '../core/evaluate/evaluate';
import type { Evaluation } from '../core/evaluate/evaluation';
import { measureLatency, type Latency } from '../core/evaluate/latency';
import { openModel } from '../core/formats/registry';
import type { Engine } from '../core/graph/engine';
import { ParticlizeError } from '../core/graph/errors';
import type { ModelGraph } from '../core/graph/modelGraph';
import { hasWeightsOnly } from '../core/graph/ops/weightsOnly';
import { fileSetOf } from './files';
import type { CloseEvaluation, CloseRequest, ComputeTask } from './protocol';
import { loadRecipe } from './recipeFiles';

interface CloseServices {
  engine(): Promise<Engine>;
  readonly memoryBytes: number;
  readonly threads: number;
}

/** How good and how costly a model is, sample by sample; with `against`, what it cost to make it of that one. */
export async function evaluateClosely(model: { readonly file: string; readonly graph: ModelGraph }, request: CloseRequest, services: CloseServices, task: ComputeTask): Promise<CloseEvaluation> {
  if (hasWeightsOnly(model.graph)) {
    throw new ParticlizeError({ file: model.file, cause: 'the file has weights but no graph, so the model cannot be run on data', action: 'Export the model to ONNX, or save the whole model, and open that' });
  }
  const own = await judged(model.file, model.graph, request, services, task);
  const confusion = confusionOf(own.judgements, own.data.classes);
  const result = { ...own.evaluation, fileBytes: own.fileBytes, latency: own.latency, ...(confusion && { confusion, classes: classScores(confusion) }) };
  if (request.against === undefined) return result;
  const other = await judged(request.against, await openModel(await fileSetOf(request.against)), request, services, task);
  const before = confusionOf(other.judgements, other.data.classes);
  if (other.judgements.losses.length !== own.judgements.losses.length || other.evaluation.decisive.name !== own.evaluation.decisive.name) {
    throw new ParticlizeError({ file: request.against, cause: 'the two models are not judged on the same samples, so that they cannot be compared' });
  }
  return {
    ...result, against: { ...other.evaluation, fileBytes: other.fileBytes, latency: other.latency, confusion: before },
    comparison: await compare(other.judgements, own.judgements, own.data),
  };
}

async function judged(
  file: string, graph: ModelGraph, { recipe, samples }: CloseRequest, { engine, memoryBytes, threads }: CloseServices, task: ComputeTask,
): Promise<{ data: Dataset; evaluation: Evaluation; judgements: Judgements; latency: Latency; fileBytes: number }> {
  const { dataset: data } = await loadRecipe(recipe, graph, { samples, memoryBytes });
  const options = { memoryBytes, task: { signal: task.signal, progress: task.progress } };
  const evaluation = await evaluate(graph, await engine(), data, options);
  const judgements = await judge(graph, await engine(), data, options);
  return { data, evaluation, judgements, latency: await measureLatency(graph, await engine(), data, threads, task), fileBytes: await modelBytes(file) };
}

/** The main file with what it was seen to read beside it. */
async function modelBytes(file: string): Promise<number> {
  const files = await fileSetOf(file);
  let sum = files.main.sizeBytes;
  await openModel({
    ...files,
    sibling: async (name) => {
      const source = await files.sibling(name);
      sum += source.sizeBytes;
      return source;
    },
  }).catch(async () => void (sum = (await stat(file)).size));
  return sum;
}
