import { spawn, type ChildProcess } from 'node:child_process';
import { availableParallelism, loadavg } from 'node:os';
import path from 'node:path';
import readline from 'node:readline';
import { encodeModel, nodeMessage, tensorMessage, valueInfoMessage } from '../../src/core/formats/onnx/onnxEncode';
import { modelCost } from '../../src/core/evaluate/cost';
import type { Engine } from '../../src/core/graph/engine';
import type { ModelGraph } from '../../src/core/graph/modelGraph';
import type { NdArray } from '../../src/core/graph/tensor';
import { createOrtEngine } from '../../src/engines/ort/ortEngine';
import { loadNative } from '../../src/engines/ort/loadOrt';
import { createTfjsEngine } from '../../src/engines/tfjs/tfjsEngine';
import { randomArray, relativeError, seededRandom } from '../core/support/graphs';
import { benchModels, type BenchModel } from './forwardModels';
import { costOf, costRatio, quietCost, rest, shownCost, type Bench, type Cost, type Row } from './measure';

const threads = availableParallelism();
/** For ours beside the plain session, and again for all the others. */
const longestMs = 8000;

/**
 * A forward pass of ours through `compile` (inputs and outputs as arrays) against a plain session of onnxruntime-node on an ONNX
 * file of the same model, against PyTorch, and our other engines; all in turn, with as many threads.
 */
export const bench: Bench = {
  title: `Forward pass, ${threads} threads`,
  async run() {
    const rows: Row[] = [];
    const [load] = loadavg();
    if (load! > threads / 2) {
      console.log(`Other programs keep this machine busy (load ${load!.toFixed(1)} on ${threads} cores): figures of different processes and engines cannot be compared.`);
    }
    const torch = process.env.PARTICLIZE_PYTHON ? new TorchProcess(process.env.PARTICLIZE_PYTHON) : undefined;
    if (!torch) console.log('PyTorch is left out: PARTICLIZE_PYTHON names no Python that has it.');
    const wanted = process.env.PARTICLIZE_BENCH_MODELS?.split(',');
    try {
      for (const model of benchModels) if (!wanted || wanted.includes(model.name)) rows.push(...await measure(model, torch));
    } finally {
      torch?.end();
    }
    return rows;
  },
};

interface Runner {
  readonly title: string;
  /** One pass. */
  run(): Promise<Cost>;
  readonly result?: Float32Array;
  dispose(): Promise<void>;
}

async function measure(model: BenchModel, torch: TorchProcess | undefined): Promise<Row[]> {
  const graph = await model.graph();
  const x = randomArray(model.input as number[], seededRandom(11));
  const ours = createOrtEngine('native');
  if ('reason' in ours) throw new Error(`there is nothing to measure: ${ours.reason}`);
  const runners: Runner[] = [await engineRunner(ours, graph, x), await plainRunner(graph, model, x)];
  if (torch) runners.push(await torch.runner(model, modelCost(graph).parameters));
  const others = [createOrtEngine('web'), await createTfjsEngine({ id: 'tfjs-node' }), await createTfjsEngine({ id: 'tfjs-wasm' })];
  for (const engine of others) {
    if ('reason' in engine) console.log(`Left out: ${engine.reason}.`);
    else if (engine.unsupported(graph).length) console.log(`${engine.title} cannot run ${model.name}: ${engine.unsupported(graph).join()}`);
    else runners.push(await engineRunner(engine, graph, x));
  }
  const costs = runners.map((): Cost[] => []);
  for (const runner of runners) {
    for (let round = 0; round < 3; round++) await runner.run();
    const truth = runners[1]!.result;
    if (runner.result && truth && runner !== runners[1]) {
      const error = relativeError(runner.result, truth);
      if (error > 1e-4) throw new Error(`${runner.title} gives other numbers for ${model.name}: relative error ${error}`);
    }
  }
  const measureIn = async (order: readonly number[]): Promise<void> => {
    for (const index of order) {
      await rest();
      costs[index]!.push(await runners[index]!.run());
    }
  };
  // Ours and the plain session lie side by side, in changing order, with many rounds: their difference is to be small.
  for (let round = 0, end = performance.now() + longestMs; round < 100 && (round < 12 || performance.now() < end); round++) await measureIn(round % 2 ? [0, 1] : [1, 0]);
  const remaining = runners.map((_, index) => index).slice(2);
  for (let round = 0, end = performance.now() + longestMs; round < 21 && (round < 3 || performance.now() < end); round++) await measureIn(remaining);
  for (const runner of runners) await runner.dispose();
  const [own, ...peers] = costs.map(quietCost);
  return peers.map((cost, index) => ({
    what: `${model.title}: ${ours.title}`, ours: shownCost(own!), against: runners[index + 1]!.title, theirs: shownCost(cost), ratio: costRatio(own!, cost),
  }));
}

async function engineRunner(engine: Engine, graph: ModelGraph, x: NdArray): Promise<Runner> {
  const output = graph.outputs[0]!.name;
  const program = await engine.compile(graph, ['x'], [output]);
  const state: { result?: Float32Array } = {};
  return {
    title: engine.title,
    get result() {
      return state.result;
    },
    run: () => costOf(async () => {
      state.result = (await program.run(new Map([['x', x]]))).get(output)!.data as Float32Array;
    }),
    dispose: () => program.dispose(),
  };
}

/** As someone would write it who has the .onnx file. */
async function plainRunner(graph: ModelGraph, model: BenchModel, x: NdArray): Promise<Runner> {
  const loaded = loadNative();
  if ('reason' in loaded) throw new Error(loaded.reason);
  const { ort, version } = loaded;
  const session = await ort.InferenceSession.create(await onnxFile(graph, model), { executionProviders: ['cpu'], intraOpNumThreads: threads, logSeverityLevel: 3 });
  const state: { result?: Float32Array } = {};
  return {
    title: `plain onnxruntime-node ${version}`,
    get result() {
      return state.result;
    },
    run: () => costOf(async () => {
      const results = await session.run({ x: new ort.Tensor('float32', x.data as Float32Array, [...x.shape]) });
      state.result = results[session.outputNames[0]!]!.data as Float32Array;
    }),
    dispose: () => session.release(),
  };
}

/** The model as an exporter writes it: inputs and outputs with their shapes, the batch open. */
function onnxFile(graph: ModelGraph, model: BenchModel): Promise<Uint8Array> {
  const shape = graph.inputs[0]!.shape ?? model.input;
  return encodeModel({
    ir_version: 8, producer_name: 'bench', opset_import: [{ domain: '', version: graph.opset }],
    graph: {
      name: model.name, node: graph.nodes.map(nodeMessage),
      initializer: [...graph.tensors].map(([name, tensor]) => tensorMessage(name, tensor)),
      input: [valueInfoMessage('x', 'float32', shape, (axis) => `d${axis}`)],
      output: graph.outputs.map(({ name, shape: out }) => valueInfoMessage(name, 'float32', out, (axis) => `o${axis}`)),
    },
  }).whole();
}

/** PyTorch runs in a process of its own, which answers each line with what a pass took. */
class TorchProcess {
  private readonly child: ChildProcess;
  private readonly lines: AsyncIterator<string>;

  constructor(python: string) {
    this.child = spawn(python, [path.join(__dirname, 'forward.py'), String(threads)], { stdio: ['pipe', 'pipe', 'inherit'] });
    this.lines = readline.createInterface({ input: this.child.stdout! })[Symbol.asyncIterator]();
  }

  async runner(model: BenchModel, parameters: number): Promise<Runner> {
    const [, , theirs] = await this.ask(model.name);
    // PyTorch's LSTM counts as many; batch norms' statistics are no parameters there.
    if (Math.abs(theirs - parameters) > parameters * 0.02) throw new Error(`${model.name} is another net in PyTorch: ${theirs} and ${parameters} parameters`);
    return { title: 'PyTorch', run: async () => {
      const [wallMs, cpuMs] = await this.ask(model.name);
      return { wallMs, cpuMs };
    }, dispose: () => Promise.resolve() };
  }

  end(): void {
    this.child.stdin!.end();
  }

  private async ask(name: string): Promise<readonly [wallMs: number, cpuMs: number, parameters: number]> {
    this.child.stdin!.write(`${name}\n`);
    const { value, done } = await this.lines.next();
    if (done) throw new Error('PyTorch ended early');
    const [wallMs, cpuMs, parameters] = String(value).split(' ').map(Number);
    return [wallMs!, cpuMs!, parameters!];
  }
}
