import { finishGraph } from '../graph/finishGraph';
import { throwIfCancelled, type Task } from '../graph/errors';
import type { ModelGraph, ValueInfo } from '../graph/modelGraph';
import type { Span } from './definition';
import { TooMuch } from './follow/interpreter';
import { followModels, type FollowedModel } from './follow/models';
import { TorchTrace, Unfollowed } from './follow/torchTrace';
import type { ModuleValue, TensorValue, Value } from './follow/values';
import type { Program } from './program';

/** What could not be followed, in the user's words, and where in the source. */
export interface NotFollowed {
  readonly reason: string;
  readonly place: Span;
}

/**
 * A graph that runs, of a PyTorch state dict and the code that defines its model: the code is followed without being run, layer
 * by layer, and every weight's shape is compared with what the code says. Straight code only: layers, Sequential,
 * sums, joins, pooling, reshapes, loops over known lists; else the reason and the place are returned.
 *
 * @param graph of the state dict, as its reader made it
 */
export async function graphFromSource(program: Program, graph: ModelGraph, task?: Task): Promise<{ readonly graph: ModelGraph } | NotFollowed> {
  const models = followModels(program).filter((model) => model.root);
  const found = models.map((model) => ({ model, fit: fitOf(model, graph) })).filter(({ fit }) => fit.share > 0.5).sort((a, b) => b.fit.share - a.fit.share);
  let first: NotFollowed | undefined;
  for (const { model, fit } of found.slice(0, 8)) {
    throwIfCancelled(task);
    const result = traceModel(model, graph, fit.paths);
    if ('reason' in result) first ??= result;
    else return { graph: await result.finish() };
  }
  const start = { start: 0, end: 0 };
  return first ?? { place: start, reason: models.length === 0 ? 'no PyTorch model is defined here' : 'none of the models that are defined here has these weights' };
}

interface Fit {
  /** Share of the tensors that the model's layers hold. */
  readonly share: number;
  readonly paths: ReadonlyMap<ModuleValue, string>;
}

function fitOf(model: FollowedModel, graph: ModelGraph): Fit {
  const names = [...graph.tensors.keys()];
  const modules = new Set(names.map((name) => name.slice(0, Math.max(0, name.lastIndexOf('.')))));
  const fits = wrappers.map((wrapper) => {
    const paths = new Map(model.layers.map(({ module, instance }) => [module, `${wrapper}${instance.path ?? ''}`.replace(/\.$/, '')]));
    const covered = new Set(paths.values());
    return { paths, share: [...modules].filter((name) => covered.has(name)).length / Math.max(1, modules.size) };
  });
  return fits.reduce((best, one) => (one.share > best.share ? one : best));
}

const wrappers = ['', 'module.', '_orig_mod.', 'model.', 'net.', 'backbone.'];

/** Sizes of pictures, those that are usual first: which one a model is for follows from its dense layers. */
const pictureSizes = [28, 32, 224, 64, 96, 128, 8, 16, 256, 299, 48, 112, 160, 192, 227, 384, 512, 84, 80, 100];

function traceModel(model: FollowedModel, graph: ModelGraph, paths: Fit['paths']): NotFollowed | { finish(): Promise<ModelGraph> } {
  let result = traceOnce(model, graph, paths, null);
  if (!result.trace.needsSize) return result.outcome;
  const failures: NotFollowed[] = [];
  const others = Array.from({ length: 320 }, (_, index) => index + 1).filter((size) => !pictureSizes.includes(size));
  for (const size of [...pictureSizes, ...others]) {
    result = traceOnce(model, graph, paths, size);
    if (!('reason' in result.outcome)) return result.outcome;
    failures.push(result.outcome);
  }
  return { ...failures[0]!, reason: `${failures[0]!.reason}; no size of the picture up to 512 fits` };
}

function traceOnce(
  model: FollowedModel, graph: ModelGraph, paths: Fit['paths'], pictureSize: number | null,
): { trace: TorchTrace; outcome: NotFollowed | { finish(): Promise<ModelGraph> } } {
  const trace = new TorchTrace(graph, paths, pictureSize);
  const { follow, hooks, root } = model as Required<FollowedModel>;
  const { function: call, ...rest } = trace.hooks();
  const native = hooks.native;
  const before = { ...hooks };
  const place = root.kind === 'instance' ? root.type.scope.span : { start: 0, end: 0 };
  try {
    Object.assign(hooks, rest, { native: (...all: Parameters<typeof native>) => call(...all) ?? native(...all) });
    follow.refill();
    const names = forwardParameters(root, follow.memberOf(root, 'forward', place));
    const inputs = names.map((name) => trace.addInput(name));
    const made = follow.call(root, { positional: inputs, keywords: new Map() }, place);
    const outputs = outputsOf(made, place);
    return { trace, outcome: { finish: () => finish(trace, graph, outputs) } };
  } catch (error) {
    if (error instanceof Unfollowed) return { trace, outcome: { reason: error.reason, place: error.place } };
    if (error instanceof TooMuch) return { trace, outcome: { reason: 'the code does more than can be followed', place } };
    throw error;
  } finally {
    Object.assign(hooks, { module: undefined, tensorMember: undefined, tensorOperation: undefined, tensorItem: undefined, undecided: undefined }, before);
  }
}

/** Names of what a model is given; what has a default is left out. */
function forwardParameters(root: Value, forward: Value): string[] {
  if (root.kind !== 'instance' || forward.kind !== 'function') return ['input'];
  return forward.scope.parameters.filter((parameter) => !parameter.default && !parameter.rest).map(({ name }) => name);
}

function outputsOf(value: Value, place: Span): TensorValue[] {
  if (value.kind === 'tensor') return [value];
  if (value.kind === 'list' && value.items.length > 0) return value.items.flatMap((item) => outputsOf(item, place));
  throw new Unfollowed(value.kind === 'unknown' ? value.reason : 'the model returns no tensor', value.kind === 'unknown' ? value.place : place);
}

function finish(trace: TorchTrace, graph: ModelGraph, outputs: readonly TensorValue[]): Promise<ModelGraph> {
  const sizes = trace.pictureSize === null ? [] : [{
    severity: 'info' as const, place: 'input',
    message: `the code does not say how large a picture is; ${trace.pictureSize} × ${trace.pictureSize} fits its layers`,
  }];
  const infos = outputs.map(({ name }): ValueInfo => ({ name, ...trace.inference.facts(name) }));
  return finishGraph({
    format: graph.format, producer: graph.producer, opset: 18, origin: graph.origin, nodes: trace.nodes, tensors: trace.tensors,
    inputs: trace.inputs, outputs: infos.map(({ name, dtype, shape }) => ({ name, dtype, shape })), layers: trace.layers(),
    findings: [...graph.findings.filter(({ place }) => place !== 'graph'), ...sizes],
  });
}
