import { spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { fileSetOf } from '../../src/compute/files';
import { loadParse } from '../../src/compute/parsers';
import { saveModel } from '../../src/compute/saveModel';
import { formatOf, openModel } from '../../src/core/formats/registry';
import type { Engine } from '../../src/core/graph/engine';
import type { ModelGraph } from '../../src/core/graph/modelGraph';
import { couplingGroups, closeOver } from '../../src/core/optimise/groups';
import type { ShapeChange } from '../../src/core/optimise/plan';
import { shapeChanges } from '../../src/core/optimise/shapeChanges';
import { applyPlan } from '../../src/core/optimise/surgery';
import { decompose } from '../../src/core/particles/decompose';
import { applyEdits, editSource } from '../../src/core/source/editSource';
import { findDefinitions, programOf } from '../../src/core/source/findDefinitions';
import { graphFromSource } from '../../src/core/source/graphFromSource';
import { linkDefinitions, type LinkableLayer } from '../../src/core/source/linkDefinitions';
import type { Parse } from '../../src/core/source/syntaxTree';
import { createEngine } from '../../src/engines/registry';
import { followedStyles } from '../core/source/styles/followedStyles';
import { kerasStyles } from '../core/source/styles/kerasStyles';
import { pytorchStyles } from '../core/source/styles/pytorchStyles';
import { runGraph } from '../core/support/runGraph';
import { seededRandom } from '../core/support/graphs';
import type { Bench, Row } from './measure';

interface Case {
  readonly name: string;
  readonly code: string;
  readonly build: string;
  readonly input: readonly number[];
  readonly weights: string;
  readonly data: string;
}

interface Recorded {
  readonly name: string;
  readonly before: string;
  readonly after: string;
  readonly layers: readonly LinkableLayer[];
  readonly changes: readonly ShapeChange[];
}

const recording = path.resolve('test', 'fixtures', 'source', 'followed.json');

/** Definitions in many styles with their own frameworks: weights made, pruned by our pipeline, loaded strictly into the edited code. */
export const bench: Bench = {
  title: 'Source: edited definitions load the new weights in their own framework',
  async run() {
    const python = process.env['PARTICLIZE_PYTHON'];
    if (!python) return [{ what: 'all styles', ours: 'not run', against: '$PARTICLIZE_PYTHON is not set', theirs: '', ratio: '' }];
    const folder = mkdtempSync(path.join(tmpdir(), 'particlize-source-'));
    const parse = await loadParse(['python']);
    const engine = await createEngine('auto', { threads: 1 });
    const samples = [['digits_torch.py', 'DigitsNet()', [1, 8, 8]], ['digits_keras.py', 'build_model()', [8, 8, 1]]] as const;
    const styles = [
      ...samples.map(([file, build, input]) => ({ name: `the sample ${file}`, code: readFileSync(path.resolve('media', 'samples', 'digits', file), 'utf8'), build, input })),
      ...pytorchStyles, ...kerasStyles, ...followedStyles.filter(({ language }) => language === 'python'),
    ];
    const cases = styles.map(({ name, code, build, input }, index): Case => {
      const own = path.join(folder, String(index));
      mkdirSync(own);
      return { name, code, build, input, weights: path.join(own, code.includes('torch') ? 'model.pt' : 'model.keras'), data: path.join(own, 'data.npy') };
    });
    const made = runPython(python, 'make', cases);
    const edited: (Case & { ours?: Float32Array; failure?: string; recorded?: Recorded })[] = [];
    for (const [index, one] of cases.entries()) {
      const failure = made[index]!.error;
      edited.push(failure ? { ...one, failure: `the framework: ${failure}` } : await prune(one, made[index]!.output!, engine, parse).catch((error: unknown) => ({ ...one, failure: String(error) })));
    }
    const loaded = runPython(python, 'check', edited);
    const rows: Row[] = [];
    const good: Recorded[] = [];
    for (const [index, one] of edited.entries()) {
      const theirs = loaded[index]!;
      const failure = one.failure ?? theirs.error;
      const difference = failure ? Infinity : relativeDifference(one.ours!, theirs.output!);
      if (!failure && difference <= 1e-5) good.push(one.recorded!);
      rows.push({
        what: one.name, ours: failure ? 'not done' : difference <= 1e-5 ? 'same output' : 'another output', against: one.code.includes('torch') ? 'PyTorch, strict' : 'Keras, load_weights',
        theirs: failure ? failure.slice(0, 160) : `difference ${difference.toExponential(1)}`, ratio: '',
      });
    }
    rows.push({ what: 'styles that come through', ours: `${good.length} of ${edited.length}`, against: '', theirs: '', ratio: '' });
    if (process.env['PARTICLIZE_RECORD']) writeFileSync(recording, `${JSON.stringify(good, null, 1)}\n`);
    rmSync(folder, { recursive: true });
    return rows;
  },
};

async function prune(one: Case, before: readonly number[], engine: Engine, parse: Parse): Promise<Case & { ours?: Float32Array; failure?: string; recorded?: Recorded }> {
  const files = await fileSetOf(one.weights);
  const format = await formatOf(files);
  let graph: ModelGraph = await openModel(files);
  if (one.code.includes('torch')) {
    const found = await graphFromSource(programOf(one.code, 'python', parse), graph);
    if ('reason' in found) return { ...one, failure: `line ${one.code.slice(0, found.place.start).split('\n').length}: ${found.reason}` };
    graph = found.graph;
  }
  const feeds = new Map([[graph.inputs[0]!.name, { dtype: 'float32' as const, shape: [3, ...one.input], data: npy(one.data) }]]);
  const whole = await runGraph(engine, graph, feeds);
  const apart = relativeDifference(whole, before);
  if (apart > 1e-4) return { ...one, failure: `the graph gives another output than the framework (${apart})` };
  const table = decompose(graph);
  const random = seededRandom(7);
  const rows = couplingGroups(graph, table).groups.flatMap(({ bundles }) => {
    const free = bundles.filter(({ stays }) => stays === undefined);
    return free.slice(1).filter(() => random() < 0.35).flatMap((bundle) => bundle.rows);
  });
  const operated = await applyPlan(graph, table, {
    version: 1, model: { file: path.basename(one.weights), sha256: '' },
    steps: [{ action: 'remove', particles: closeOver(graph, table, rows).map((row) => table.id(row)) }],
  });
  if (operated.refusals.length > 0) return { ...one, failure: `refused: ${operated.refusals[0]!.reason}` };
  const changes = shapeChanges(graph, operated.graph, table);
  const layers = graph.layers.map(({ name, type, tensors }): LinkableLayer => ({
    name, type, width: table.group(name)?.count, tensors: tensors.map((tensor) => ({ shape: [...graph.tensors.get(tensor)!.shape] })),
  }));
  const links = linkDefinitions(findDefinitions(one.code, 'python', parse), layers);
  const { edits, manual } = editSource(one.code, 'python', parse, links, changes);
  const code = applyEdits(one.code, edits);
  const [weights] = await saveModel(format, graph, operated.graph, { original: one.weights, folder: path.dirname(one.weights) });
  const ours = await runGraph(engine, operated.graph, feeds);
  return {
    ...one, code, weights: weights!, ours, recorded: { name: one.name, before: one.code, after: code, layers, changes },
    ...(manual.length > 0 ? { failure: `by hand: ${manual[0]!.reason}` } : {}),
  };
}

/** The elements of a little-endian float32 array file. */
function npy(file: string): Float32Array {
  const bytes = readFileSync(file);
  const start = 10 + bytes.readUInt16LE(8);
  return new Float32Array(bytes.buffer.slice(bytes.byteOffset + start, bytes.byteOffset + bytes.length));
}

function runPython(python: string, action: string, cases: readonly Case[]): { output?: number[]; error?: string }[] {
  const results: { output?: number[]; error?: string }[] = cases.map(() => ({ error: 'not run' }));
  for (const torch of [true, false]) {
    const own = cases.flatMap((one, index) => (one.code.includes('torch') === torch ? [index] : []));
    const run = spawnSync(python, [path.resolve('test', 'bench', 'source.py'), action], {
      input: JSON.stringify(own.map((index) => cases[index])), encoding: 'utf8', maxBuffer: 1 << 28, env: { ...process.env, OMP_NUM_THREADS: '1', TF_CPP_MIN_LOG_LEVEL: '3' },
    });
    if (run.status !== 0) throw new Error(run.stderr.trim().split('\n').at(-1));
    (JSON.parse(run.stdout.trim().split('\n').at(-1)!) as typeof results).forEach((result, place) => (results[own[place]!] = result));
  }
  return results;
}

function relativeDifference(a: ArrayLike<number>, b: ArrayLike<number>): number {
  if (a.length !== b.length) return Infinity;
  let [difference, size] = [0, 1e-3];
  for (let index = 0; index < a.length; index++) {
    difference = Math.max(difference, Math.abs(a[index]! - b[index]!));
    size = Math.max(size, Math.abs(b[index]!));
  }
  return difference / size;
}
