import type { Engine } from '../../src/core/graph/engine';
import { finishGraph } from '../../src/core/graph/finishGraph';
import type { ModelGraph } from '../../src/core/graph/modelGraph';
import { asFloat32, asNumbers, isFloat } from '../../src/core/graph/numeric';
import { familyOf } from '../../src/core/graph/ops/registry';
import { elementCount, tensorOf, type DType, type NdArray } from '../../src/core/graph/tensor';
import { readDraft } from '../../src/core/formats/onnx/onnxReader';
import { fromOrt, toOrt } from '../../src/engines/ort/convert';
import { loadNative, type OrtModule } from '../../src/engines/ort/loadOrt';
import { createEngine } from '../../src/engines/registry';
import { createTfjsEngine } from '../../src/engines/tfjs/tfjsEngine';
import { readBackendCases, readTensorFile, type BackendCase } from '../core/support/backendNode';

/**
 * passed; opaque (an operator, or a type of value, that Particlize shows and does not look into); failed; absent: ONNX Runtime
 * itself, given the file as it is, refuses it or computes something else than the test expects.
 */
export type Verdict = 'passed' | 'opaque' | 'failed' | 'absent';
export type Counts = Readonly<Partial<Record<Verdict, number>>>;

export interface Row {
  readonly shapes: Counts;
  readonly ort: Counts;
  readonly tfjs: Counts;
}

export interface Conformance {
  readonly cases: number;
  /** By operator, in alphabetical order. */
  readonly operators: Readonly<Record<string, Row>>;
  readonly failures: readonly string[];
}

/** Runs ONNX's operator tests through the shape rules and both engines, with their tolerance: rtol 1e-3, atol 1e-7. */
export async function runConformance(wanted = /./): Promise<Conformance> {
  const loaded = loadNative();
  const tfjs = await createTfjsEngine({ id: 'tfjs-wasm' });
  if ('reason' in loaded || 'reason' in tfjs) throw new Error('native ONNX Runtime and TensorFlow.js on WebAssembly are needed');
  const ort = await createEngine('ort-native');
  const all = readBackendCases();
  const cases = all.filter(({ name }) => wanted.test(name));
  const operators = await operatorsOf(all);
  const rows = new Map<string, Record<keyof Row, Partial<Record<Verdict, number>>>>();
  const failures: string[] = [];
  for (const one of cases) {
    const verdicts = await judge(one, { ort, tfjs, plain: loaded.ort });
    const op = operators.get(one.name)!;
    const row = rows.get(op) ?? { shapes: {}, ort: {}, tfjs: {} };
    rows.set(op, row);
    for (const part of ['shapes', 'ort', 'tfjs'] as const) {
      const { verdict, reason } = verdicts[part];
      row[part][verdict] = (row[part][verdict] ?? 0) + 1;
      if (verdict === 'failed') failures.push(`${one.name}, ${part}: ${reason}`);
    }
  }
  return { cases: cases.length, operators: Object.fromEntries([...rows].sort(([a], [b]) => (a < b ? -1 : 1))), failures };
}

interface Judgement {
  readonly verdict: Verdict;
  readonly reason?: string;
}

async function judge(one: BackendCase, engines: { ort: Engine; tfjs: Engine; plain: OrtModule }): Promise<Record<keyof Row, Judgement>> {
  let graph: ModelGraph;
  try {
    graph = await finishGraph(await readDraft(one.model));
  } catch (error) {
    // A model without operators is refused on purpose; there is nothing to take apart.
    const empty = /has no operators/.test(messageOf(error));
    const verdict: Judgement = empty ? { verdict: 'opaque' } : { verdict: 'failed', reason: messageOf(error) };
    return { shapes: verdict, ort: verdict, tfjs: verdict };
  }
  const feeds = await arraysOf(one, graph.inputs.map(({ name }) => name), 'inputs');
  const expected = await arraysOf(one, graph.outputs.map(({ name }) => name), 'outputs');
  return {
    shapes: await judgeShapes(one),
    ort: await judgeOrt(one, graph, feeds, expected, engines),
    tfjs: await judgeTfjs(one, graph, feeds, expected, engines.tfjs),
  };
}

async function judgeShapes(one: BackendCase): Promise<Judgement> {
  const draft = await readDraft(one.model);
  if (!draft.nodes.every((node) => familyOf(node))) return { verdict: 'opaque' };
  // What the file declares would hide what inference finds, and integer inputs steer shapes: both are changed here.
  const tensors = new Map(draft.tensors);
  for (const [index, { name }] of draft.inputs.entries()) {
    const tensor = await readTensorFile(one.inputs[index]);
    const steers = tensor && (index > 0 || draft.inputs.length === 1) && elementCount(tensor.shape) <= 64 && tensor.dtype !== 'string';
    if (steers) tensors.set(name, tensorOf(name, await tensor.read()));
  }
  const graph = await finishGraph({
    ...draft, tensors, declared: undefined, outputs: draft.outputs.map(({ name }) => ({ name })),
    inputs: draft.inputs.filter(({ name }) => !tensors.has(name)),
  });
  for (const [index, output] of graph.outputs.entries()) {
    const recorded = await readTensorFile(one.outputs[index]);
    const inferred = output.shape ?? graph.tensors.get(output.name)?.shape;
    if (!recorded || !inferred) continue;
    const same = inferred.length === recorded.shape.length && inferred.every((dim, axis) => dim === null || dim === recorded.shape[axis]);
    if (!same) return { verdict: 'failed', reason: `[${inferred.join(', ')}] instead of [${recorded.shape.join(', ')}]` };
  }
  const warning = graph.findings.find(({ severity }) => severity === 'warning');
  return warning ? { verdict: 'failed', reason: warning.message } : { verdict: 'passed' };
}

type Arrays = ReadonlyMap<string, NdArray> | undefined;

async function judgeOrt(
  one: BackendCase, graph: ModelGraph, feeds: Arrays, expected: Arrays, { ort, plain }: { ort: Engine; plain: OrtModule },
): Promise<Judgement> {
  if (!feeds || !expected) return { verdict: 'opaque' };
  const types = [...graph.inputs, ...graph.outputs].map(({ dtype }) => dtype ?? 'float32');
  if (!types.every((dtype) => takenTypes.has(dtype))) return { verdict: 'opaque' };
  // The form of operator set 8, which later ones do not have; a finding says that it does not run.
  if (one.name === 'test_scan_sum') return { verdict: 'opaque' };
  const random = randomCases.test(one.name);
  const ours = await attempt(async () => compareAll(await runEngine(ort, graph, feeds, expected), expected, random));
  if (ours === undefined) return { verdict: 'passed' };
  const theirs = await attempt(async () => compareAll(await runPlain(plain, one, graph, feeds, expected), expected, random));
  return theirs === undefined ? { verdict: 'failed', reason: ours } : { verdict: 'absent', reason: theirs };
}

async function judgeTfjs(one: BackendCase, graph: ModelGraph, feeds: Arrays, expected: Arrays, tfjs: Engine): Promise<Judgement> {
  const types = [...graph.inputs, ...graph.outputs].map(({ dtype }) => dtype);
  const plain = types.every((dtype) => dtype !== undefined && tfjsTypes.has(dtype));
  if (!feeds || !expected || !plain || randomCases.test(one.name) || tfjs.unsupported(graph).length) return { verdict: 'opaque' };
  if (otherwise.test(one.name)) return { verdict: 'absent' };
  const reason = await attempt(async () => compareAll(await runEngine(tfjs, graph, feeds, expected), expected, false));
  return reason === undefined ? { verdict: 'passed' } : { verdict: 'failed', reason };
}

/** Types that go into and out of ONNX Runtime's JavaScript interface. */
const takenTypes = new Set<DType>([
  'float32', 'float64', 'float16', 'int8', 'uint8', 'int16', 'uint16', 'int32', 'uint32', 'int64', 'uint64', 'bool',
]);

/** TensorFlow.js computes in float32, int32 and bool; other numbers are held to what they lose by that. */
const tfjsTypes = new Set<DType>(['float32', 'float64', 'float16', 'int8', 'uint8', 'int16', 'uint16', 'int32', 'int64', 'bool']);

const randomCases = /bernoulli|random|training/;

/** Where ONNX Runtime does otherwise, TensorFlow.js follows it: aligned corners of a size that is no whole number before it is rounded. */
const otherwise = /resize_downsample_scales_linear_align_corners/;

async function runEngine(engine: Engine, graph: ModelGraph, feeds: NonNullable<Arrays>, expected: NonNullable<Arrays>): Promise<Map<string, NdArray>> {
  const program = await engine.compile(graph, [...feeds.keys()], [...expected.keys()]);
  try {
    return await program.run(feeds);
  } finally {
    await program.dispose();
  }
}

/** ONNX Runtime on the file as it is. */
async function runPlain(
  ort: OrtModule, one: BackendCase, graph: ModelGraph, feeds: NonNullable<Arrays>, expected: NonNullable<Arrays>,
): Promise<Map<string, NdArray>> {
  const bytes = await one.model.main.read(0, one.model.main.sizeBytes);
  const session = await ort.InferenceSession.create(bytes, { executionProviders: ['cpu'], logSeverityLevel: 4 });
  try {
    const given = Object.fromEntries(graph.inputs.map(({ name, dtype }) => [name, toOrt(ort.Tensor, name, feeds.get(name)!, dtype ?? 'float32')]));
    const made = await session.run(given, [...expected.keys()], { logSeverityLevel: 4 });
    return new Map([...expected.keys()].map((name) => [name, fromOrt(name, made[name] as never)]));
  } finally {
    await session.release();
  }
}

/** undefined: it went well; else why not. */
async function attempt(run: () => Promise<string | undefined>): Promise<string | undefined> {
  try {
    return await run();
  } catch (error) {
    return messageOf(error);
  }
}

function compareAll(actual: ReadonlyMap<string, NdArray>, expected: ReadonlyMap<string, NdArray>, shapesOnly: boolean): string | undefined {
  for (const [name, array] of expected) {
    const difference = compare(actual.get(name)!, array, shapesOnly);
    if (difference) return `${name}: ${difference}`;
  }
  return undefined;
}

function compare(actual: NdArray, expected: NdArray, shapesOnly: boolean): string | undefined {
  if (actual.shape.join() !== expected.shape.join()) return `shape [${actual.shape.join()}] instead of [${expected.shape.join()}]`;
  if (actual.dtype !== expected.dtype) return `${actual.dtype} instead of ${expected.dtype}`;
  if (shapesOnly) return undefined;
  const numbers = (array: NdArray): ArrayLike<number> => (isFloat(array.dtype) && array.dtype !== 'float64' ? asFloat32(array) : asNumbers(array));
  const [left, right] = [numbers(actual), numbers(expected)];
  for (let index = 0; index < right.length; index++) {
    const [is, should] = [left[index]!, right[index]!];
    if (Object.is(is, should) || is === should || Math.abs(should - is) <= 1e-7 + 1e-3 * Math.abs(should)) continue;
    return `element ${index} is ${is} instead of ${should}`;
  }
  return undefined;
}

async function arraysOf(one: BackendCase, names: readonly string[], kind: 'inputs' | 'outputs'): Promise<Map<string, NdArray> | undefined> {
  const arrays = new Map<string, NdArray>();
  for (const [index, name] of names.entries()) {
    const tensor = await readTensorFile(one[kind][index]);
    if (!tensor || tensor.dtype === 'string') return undefined;
    arrays.set(name, await tensor.read());
  }
  return arrays;
}

/** The operator that a case is about; one that is written out in others is about the one it stands for. */
async function operatorsOf(cases: readonly BackendCase[]): Promise<ReadonlyMap<string, string>> {
  const own = new Map<string, string>();
  for (const { name, model } of cases) {
    const draft = await readDraft(model).catch(() => undefined);
    const node = draft?.nodes.at(-1);
    own.set(name, node ? (node.domain ? `${node.domain}.${node.op}` : node.op) : '(none)');
  }
  return new Map(cases.map(({ name }) => [name, own.get(name.replace(/_expanded.*$/, '')) ?? own.get(name)!]));
}

function messageOf(error: unknown): string {
  return (error instanceof Error ? error.message : String(error)).split('\n')[0]!.slice(0, 200);
}
