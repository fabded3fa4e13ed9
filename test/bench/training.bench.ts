import { spawn, type ChildProcess } from 'node:child_process';
import { availableParallelism, loadavg } from 'node:os';
import path from 'node:path';
import readline from 'node:readline';
import type { Engine } from '../../src/core/graph/engine';
import type { ModelGraph } from '../../src/core/graph/modelGraph';
import { elementCount, type NdArray } from '../../src/core/graph/tensor';
import type { Aim } from '../../src/core/train/aim';
import type { OptimiserOptions } from '../../src/core/train/optimisers';
import { Stepper } from '../../src/core/train/stepper';
import { trainingGraph, type TrainingGraph } from '../../src/core/train/trainingGraph';
import { createOrtEngine } from '../../src/engines/ort/ortEngine';
import { createTfjsEngine } from '../../src/engines/tfjs/tfjsEngine';
import { randomArray, seededRandom } from '../core/support/graphs';
import { benchModels, type BenchModel } from './forwardModels';
import { costOf, costRatio, quietCost, rest, shownCost, type Bench, type Cost, type Row } from './measure';

const threads = availableParallelism();
const optimisers: Readonly<Record<string, OptimiserOptions>> = { sgd: { kind: 'sgd', momentum: 0.9, weightDecay: 1e-4 }, adam: { kind: 'adam' } };
/** For each net and engine: enough rounds for a lower quartile, in a time that keeps the whole bench below three minutes. */
const mostRounds = 21;
const longestMs = 3000;

const nets = ['vgg', 'resnet20', 'lstm', 'transformer'];

/**
 * One training step (forward pass in training, loss, gradients, update of every weight) of ours against PyTorch's, on the same
 * nets and batches, in turn, with as many threads.
 */
export const bench: Bench = {
  title: `A training step, ${threads} threads`,
  async run() {
    const [load] = loadavg();
    if (load! > threads / 2) console.log(`Other programs keep this machine busy (load ${load!.toFixed(1)} on ${threads} cores): figures of different processes cannot be compared.`);
    const python = process.env.PARTICLIZE_PYTHON;
    const torch = python ? new TorchProcess(python) : undefined;
    if (!torch) console.log('PyTorch is left out: PARTICLIZE_PYTHON names no Python that has it.');
    const wanted = process.env.PARTICLIZE_BENCH_MODELS?.split(',') ?? nets;
    const rows: Row[] = [];
    try {
      for (const name of wanted) {
        const model = benchModels.find((candidate) => candidate.name === name)!;
        for (const optimiser of Object.keys(optimisers)) rows.push(...await measure(model, optimiser, torch));
      }
    } finally {
      torch?.end();
    }
    return rows;
  },
};

interface Runner {
  readonly title: string;
  step(): Promise<Cost>;
  dispose(): Promise<void>;
}

async function measure(model: BenchModel, optimiser: string, torch: TorchProcess | undefined): Promise<Row[]> {
  const graph = await model.graph();
  const aim = aimFor(graph);
  const training = await trainingGraph(graph, aim, { optimiser: optimisers[optimiser]! });
  const feeds = feedsFor(model, graph, training, aim);
  const engines: (Engine | { readonly reason: string })[] = [createOrtEngine('native', { threads })];
  if (optimiser === 'sgd') engines.push(createOrtEngine('web', { threads }), await createTfjsEngine({ id: 'tfjs-node' }), await createTfjsEngine({ id: 'tfjs-wasm' }));
  const rows: Row[] = [];
  const title = `${model.title.replace(/:.*/, '')}, ${optimiser}`;
  const only = process.env.PARTICLIZE_BENCH_ENGINES?.split(',');
  for (const engine of engines) {
    if (only && !('id' in engine && only.includes(engine.id))) continue;
    if ('reason' in engine) {
      console.log(`Left out: ${engine.reason}.`);
      continue;
    }
    const ours = await runnerOf(engine, graph, training, feeds).catch((error: unknown) => {
      console.log(`${engine.title} cannot train ${model.name}: ${error instanceof Error ? error.message : String(error)}`);
      return undefined;
    });
    if (!ours) continue;
    const theirs = torch?.runner(model.name, optimiser);
    const costs: { readonly ours: Cost; readonly theirs?: Cost }[] = [];
    const end = performance.now() + longestMs;
    for (let round = -1; round < mostRounds; round++) {
      const ownCost = await ours.step();
      await rest();
      const theirCost = theirs && await theirs.step();
      await rest();
      if (round >= 0) costs.push({ ours: ownCost, theirs: theirCost });
      if (round >= 2 && performance.now() > end) break;
    }
    await ours.dispose();
    const own = quietCost(costs.map((pair) => pair.ours));
    const other = theirs && quietCost(costs.flatMap((pair) => pair.theirs ?? []));
    rows.push({
      what: `${title}: ${engine.title}`, ours: shownCost(own), against: theirs?.title ?? 'PyTorch is not here',
      theirs: other ? shownCost(other) : '', ratio: other ? costRatio(own, other) : '',
    });
  }
  return rows;
}

async function runnerOf(engine: Engine, graph: ModelGraph, training: TrainingGraph, feeds: ReadonlyMap<string, NdArray>): Promise<Runner> {
  const stepper = await Stepper.create(engine, graph, training);
  let step = 0;
  let first: number | undefined;
  return {
    title: engine.title,
    step: () => costOf(async () => {
      const { loss } = await stepper.step([{ feeds, samples: 1 }], 1e-4, ++step);
      first ??= loss;
      if (!(loss <= first * 1.5)) throw new Error(`the loss went from ${first} to ${loss}`);
    }),
    dispose: () => stepper.dispose(),
  };
}

/** Classes where there are ten outputs; else every output is to become a number. */
function aimFor(graph: ModelGraph): Aim {
  const { name, shape } = graph.outputs[0]!;
  const values = graph.values.get(name)?.shape ?? shape!;
  if (values.length === 2) return { kind: 'crossEntropy', output: name, width: 10, shape: values, targets: { dtype: 'int64', shape: [null] } };
  return { kind: 'squaredError', output: name, shape: values, targets: { dtype: 'float32', shape: values } };
}

function feedsFor(model: BenchModel, graph: ModelGraph, training: TrainingGraph, aim: Aim): Map<string, NdArray> {
  const x = randomArray(model.input as number[], seededRandom(11));
  const count = model.input[graph.inputs[0]!.shape!.indexOf(null)]!;
  const targets: NdArray = aim.kind === 'crossEntropy'
    ? { dtype: 'int64', shape: [count], data: BigInt64Array.from({ length: count }, (_, index) => BigInt(index % 10)) }
    : zeros(aim.shape!.map((dim) => dim ?? count));
  return new Map([['x', x], [training.targets, targets]]);
}

function zeros(shape: readonly number[]): NdArray {
  return { dtype: 'float32', shape, data: new Float32Array(elementCount(shape)) };
}

/** PyTorch runs in a process of its own, which answers each line with what a step took. */
class TorchProcess {
  private readonly child: ChildProcess;
  private readonly lines: AsyncIterator<string>;

  constructor(python: string) {
    this.child = spawn(python, [path.join(__dirname, 'training.py'), String(threads)], { stdio: ['pipe', 'pipe', 'inherit'] });
    this.lines = readline.createInterface({ input: this.child.stdout! })[Symbol.asyncIterator]();
  }

  runner(name: string, optimiser: string): Runner {
    return {
      title: 'PyTorch',
      step: async () => {
        this.child.stdin!.write(`${name} ${optimiser}\n`);
        const { value, done } = await this.lines.next();
        if (done) throw new Error('PyTorch ended early');
        const [wallMs = NaN, cpuMs = NaN] = value.split(' ').map(Number);
        return { wallMs, cpuMs };
      },
      dispose: () => Promise.resolve(),
    };
  }

  end(): void {
    this.child.stdin!.end();
  }
}
