import { spawn, spawnSync } from 'node:child_process';
import fs from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import readline from 'node:readline';
import { fileSetOf } from '../../src/compute/files';
import { loadRecipe } from '../../src/compute/recipeFiles';
import type { Dataset } from '../../src/core/data/dataset';
import { modelCost } from '../../src/core/evaluate/cost';
import { evaluate } from '../../src/core/evaluate/evaluate';
import { openModel } from '../../src/core/formats/registry';
import type { Engine } from '../../src/core/graph/engine';
import type { ModelGraph } from '../../src/core/graph/modelGraph';
import { pruneTo } from '../../src/core/optimise/compensated/pruneTo';
import { decompose } from '../../src/core/particles/decompose';
import { fineTune } from '../../src/core/train/fineTune';
import type { OptimiserOptions } from '../../src/core/train/optimisers';
import { createEngine } from '../../src/engines/registry';
import type { Bench, Row } from './measure';

const models = path.resolve(__dirname, '../../../shared/models');
const samples = path.resolve(__dirname, '../../media/samples/digits');
const memoryBytes = 2 ** 30;
const seeds = 3;
const targets = [2, 3, 5];
const methods = ['magnitude', 'fpgm', 'taylor', 'hessian'];
interface Net {
  readonly title: string;
  /** Fine-tuning, the same for everybody: steps of 64 samples. */
  readonly steps: number;
  readonly optimiser: OptimiserOptions;
  readonly learningRate: number;
}

const adam = { optimiser: { kind: 'adam' }, learningRate: 1e-3 } as const;
const nets: Readonly<Record<string, Net>> = {
  digits: { title: 'Digits CNN', steps: 100, ...adam }, lenet: { title: 'LeNet, MNIST', steps: 100, ...adam },
  resnet20: { title: 'ResNet-20, CIFAR-10', steps: 24, ...adam, learningRate: 2e-4 },
};

/**
 * The same trained networks cut to a half, a third and a fifth of their multiply-accumulates by Torch-Pruning's criteria and by ours,
 * from the same samples. Everything else is common: Torch-Pruning's results come here as ONNX files, so that one counter counts,
 * one trainer fine-tunes (same weights to train, optimiser, learning rate, steps and order of batches) and one evaluation judges,
 * on samples that nobody chose by or trained on.
 */
export const bench: Bench = {
  title: `Pruning: accuracy in points after removal -> after fine-tuning, ${seeds} seeds, mean ± deviation, against Torch-Pruning (npm run bench -- pruning)`,
  async run() {
    const python = process.env.PARTICLIZE_PYTHON ?? 'python3';
    if (spawnSync(python, ['-c', 'import torch_pruning, onnx, h5py'], { stdio: 'ignore' }).status !== 0) {
      throw new Error(`${python} has no torch-pruning, onnx and h5py: install them, or name a Python that has them in PARTICLIZE_PYTHON`);
    }
    const here = fs.existsSync(models);
    if (!here) console.log('Only the digits network takes part: ../shared/models is not here.');
    const wanted = (process.env.PARTICLIZE_BENCH_MODELS?.split(',') ?? Object.keys(nets)).filter((net) => net in nets && (here || net === 'digits'));
    const folder = fs.mkdtempSync(path.join(tmpdir(), 'particlize-pruning-'));
    const results: Result[] = [];
    const engine = await createEngine('auto', { memoryBytes, threads: 1 });
    const theirs = spawn(python, [path.join(__dirname, 'pruning.py'), folder, samples, models, wanted.join(','), String(seeds)], {
      stdio: ['ignore', 'pipe', 'inherit'], env: { ...process.env, OMP_NUM_THREADS: '1' },
    });
    const ended = new Promise<number | null>((resolve) => theirs.on('exit', resolve));
    try {
      for await (const line of readline.createInterface({ input: theirs.stdout })) results.push(...await judge(JSON.parse(line) as Pruned, folder, engine));
      if (await ended) throw new Error('Torch-Pruning ended early');
    } finally {
      theirs.kill();
      fs.rmSync(folder, { recursive: true });
    }
    return wanted.flatMap((net) => rowsOf(net, results.filter((result) => result.net === net)));
  },
};

/** A line of pruning.py. */
interface Pruned {
  readonly net: string;
  readonly seed: number;
  readonly method: string;
  readonly target: number;
  readonly file: string;
}

interface Result {
  readonly net: string;
  readonly method: string;
  readonly target: number;
  /** Points of accuracy. */
  readonly before: number;
  readonly after: number;
  readonly macs: number;
}

/** What a file is worth; of the original, what ours makes of it. */
async function judge({ net, seed, method, target, file }: Pruned, folder: string, engine: Engine): Promise<Result[]> {
  const graph = await openModel(await fileSetOf(path.join(folder, file)));
  const data = async (part: string): Promise<Dataset> => (await loadRecipe(path.join(folder, `${net}-${seed}-${part}.particlize.json`), graph, {})).dataset;
  const [choose, train, test] = [await data('choose'), await data('train'), await data('test')];
  const accuracy = async (model: ModelGraph): Promise<number> => 100 * (await evaluate(model, engine, test, { memoryBytes })).metrics.accuracy!;
  const result = async (model: ModelGraph, by: string, times: number): Promise<Result> => {
    const before = await accuracy(model);
    const { optimiser, learningRate, steps } = nets[net]!;
    const { graph: tuned, stopped, message } = await fineTune({ model, engine, train, memoryBytes }, {
      optimiser, learningRate, steps, schedule: { kind: 'cosine' }, warmUpSteps: 5, epochs: 1000, batch: 64, seed,
    });
    if (stopped === 'diverged') console.log(`${net}, ${by}, seed ${seed}: ${message}`);
    const after = await accuracy(tuned);
    const { macs } = modelCost(model);
    if (process.env.PARTICLIZE_BENCH_DETAILS) console.log(`${net} ${seed} ${by} ${times}: ${before.toFixed(1)} -> ${after.toFixed(1)}, ${macs} MACs`);
    return { net, method: by, target: times, before, after, macs };
  };
  if (method !== 'original') return [await result(graph, method, target)];
  const results = [await result(graph, method, 1)];
  for (const times of targets) {
    const pruned = await pruneTo({ graph, table: decompose(graph), engine, data: choose, memoryBytes, report: ({ message }) => console.log(message) }, { macs: 1 / times });
    if (!pruned.reached) throw new Error(`${net} could not be made ${times} times cheaper`);
    results.push(await result(pruned.graph, 'ours', times));
  }
  return results;
}

function rowsOf(net: string, results: readonly Result[]): Row[] {
  const own = (method: string, target: number): readonly Result[] => results.filter((result) => result.method === method && result.target === target);
  const original = own('original', 1);
  const show = (list: readonly Result[]): string => {
    const fewer = mean(original.map(({ macs }) => macs)) / mean(list.map(({ macs }) => macs));
    return `${points(list.map(({ before }) => before))} -> ${points(list.map(({ after }) => after))} (${fewer.toFixed(2)}x)`;
  };
  return targets.flatMap((target) => methods.map((method): Row => {
    const [ours, theirs] = [own('ours', target), own(method, target)];
    const ahead = (of: (result: Result) => number): string => {
      const points = mean(ours.map(of)) - mean(theirs.map(of));
      return `${points >= 0 ? '+' : ''}${points.toFixed(1)}`;
    };
    return {
      what: `${nets[net]!.title} (${points(original.map(({ before }) => before))} -> ${points(original.map(({ after }) => after))}), ${target} times fewer MACs`, ours: show(ours),
      against: `Torch-Pruning, ${method}`, theirs: theirs.length ? show(theirs) : 'does not get there', ratio: theirs.length ? `${ahead(({ before }) => before)} -> ${ahead(({ after }) => after)} points` : '',
    };
  }));
}

function points(values: readonly number[]): string {
  const middle = mean(values);
  const deviation = Math.sqrt(values.reduce((sum, value) => sum + (value - middle) ** 2, 0) / Math.max(1, values.length - 1));
  return `${middle.toFixed(1)} ± ${deviation.toFixed(1)}`;
}

function mean(values: readonly number[]): number {
  return values.reduce((sum, value) => sum + value, 0) / values.length;
}
