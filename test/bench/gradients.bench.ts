import { spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import { availableParallelism } from 'node:os';
import { int, ints } from '../../src/core/graph/attributes';
import { differentiate } from '../../src/core/graph/differentiate';
import type { Program } from '../../src/core/graph/engine';
import { GraphOnGraph } from '../../src/core/graph/graphBuilder';
import type { ModelGraph } from '../../src/core/graph/modelGraph';
import { elementCount, type NdArray } from '../../src/core/graph/tensor';
import { softmaxCrossEntropy } from '../../src/core/train/losses';
import { createOrtEngine } from '../../src/engines/ort/ortEngine';
import { graphOf, node, randomArray, seededRandom, type NodeSketch } from '../core/support/graphs';
import { faster, inTurn, milliseconds, timed, type Bench, type Row } from './measure';

const batch = 8;
const threads = availableParallelism();
/** Output channels of 3x3 convolutions, 'pool' for a max pooling by two; then two dense layers. */
const plan = [64, 64, 'pool', 128, 128, 'pool', 256, 256, 'pool'] as const;

/** Loss and the gradient of every weight of a VGG-like network on pictures [8, 3, 32, 32], against PyTorch on as many threads. */
export const bench: Bench = {
  title: `A VGG-like network on the CPU, batch ${batch} of 3x32x32, ${threads} threads`,
  async run() {
    const { graph, feeds, forward, all } = await trainingStep();
    const torch = await Torch.start();
    const rows: Row[] = [];
    for (const kind of ['native', 'web'] as const) {
      const engine = createOrtEngine(kind, { threads });
      if ('reason' in engine) {
        console.log(`${kind}: ${engine.reason}`);
        continue;
      }
      for (const { what, fetches } of [{ what: 'forward', fetches: [forward] }, { what: 'forward and backward', fetches: all }]) {
        const program: Program = await engine.compile(graph, [...feeds.keys()], fetches);
        const ours = (): Promise<unknown> => program.run(feeds);
        const rounds = kind === 'native' ? 15 : 5;
        if (torch) {
          const { oursMs, theirsMs, ratio } = await inTurn(ours, () => torch.run(what), rounds);
          rows.push({ what: `${what}, ${engine.title}`, ours: milliseconds(oursMs), against: torch.title, theirs: milliseconds(theirsMs), ratio: faster(ratio) });
        } else {
          await ours();
          rows.push({ what: `${what}, ${engine.title}`, ours: milliseconds(await timed(ours)), against: 'PyTorch (no $PARTICLIZE_PYTHON)', theirs: '', ratio: '' });
        }
        await program.dispose();
      }
    }
    torch?.stop();
    return rows;
  },
};

async function trainingStep(): Promise<{ graph: ModelGraph; feeds: Map<string, NdArray>; forward: string; all: string[] }> {
  const nodes: NodeSketch[] = [];
  const weights: Record<string, readonly number[]> = {};
  let [value, channels, side] = ['x', 3, 32];
  const add = (op: string, inputs: string[], attributes = {}): void => {
    nodes.push(node(op, inputs, `v${nodes.length}`, attributes));
    value = `v${nodes.length - 1}`;
  };
  const weight = (shape: number[]): string => {
    const name = `w${Object.keys(weights).length}`;
    weights[name] = shape;
    return name;
  };
  for (const step of plan) {
    if (step === 'pool') {
      add('MaxPool', [value], { kernel_shape: ints([2, 2]), strides: ints([2, 2]) });
      side /= 2;
    } else {
      add('Conv', [value, weight([step, channels, 3, 3]), weight([step])], { pads: ints([1, 1, 1, 1]) });
      add('Relu', [value]);
      channels = step;
    }
  }
  add('Flatten', [value]);
  add('Gemm', [value, weight([256, channels * side * side]), weight([256])], { transB: int(1) });
  add('Relu', [value]);
  add('Gemm', [value, weight([10, 256]), weight([10])], { transB: int(1) });
  const model = await graphOf({ inputs: { x: [null, 3, 32, 32] }, outputs: [value], nodes, weights });
  const builder = new GraphOnGraph(model);
  const loss = softmaxCrossEntropy(builder, value, builder.input('labels', { dtype: 'int64', shape: [null] }));
  const { graph, gradients } = await differentiate(await builder.finish([loss]), { of: loss, withRespectTo: Object.keys(weights) });
  const random = seededRandom(1);
  const feeds = new Map<string, NdArray>([
    ['x', randomArray([batch, 3, 32, 32], random)],
    ['labels', { dtype: 'int64', shape: [batch], data: BigInt64Array.from({ length: batch }, (_, index) => BigInt(index % 10)) }],
  ]);
  // As in training: weights change from step to step, so that they are fed, scaled to keep the numbers in range.
  for (const [name, shape] of Object.entries(weights)) {
    const array = randomArray(shape, random);
    const scale = shape.length > 1 ? Math.sqrt(6 / (elementCount(shape) / shape[0]!)) : 0;
    feeds.set(name, { ...array, data: (array.data as Float32Array).map((element) => element * scale) });
  }
  return { graph, feeds, forward: loss, all: [loss, ...gradients.values()] };
}

/** The same network in a Python process that runs it when told. */
class Torch {
  private constructor(
    private readonly write: (line: string) => void, private readonly next: () => Promise<string>, readonly title: string, readonly stop: () => void,
  ) {}

  static async start(): Promise<Torch | undefined> {
    const python = process.env['PARTICLIZE_PYTHON'];
    if (!python) return undefined;
    const child = spawn(python, ['-c', script, String(threads), String(batch), JSON.stringify(plan)], { stdio: ['pipe', 'pipe', 'inherit'] });
    const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
    const next = async (): Promise<string> => {
      const line = await lines.next();
      if (line.done) throw new Error('the PyTorch process ended');
      return line.value;
    };
    const version = await next();
    return new Torch((line) => child.stdin.write(`${line}\n`), next, `PyTorch ${version}`, () => child.stdin.end());
  }

  run(what: string): Promise<string> {
    this.write(what);
    return this.next();
  }
}

const script = `
import json, sys, torch
from torch import nn
from torch.nn import functional as F
torch.set_num_threads(int(sys.argv[1]))
batch, layers, channels, side = int(sys.argv[2]), [], 3, 32
for step in json.loads(sys.argv[3]):
    if step == 'pool':
        layers.append(nn.MaxPool2d(2))
        side //= 2
    else:
        layers += [nn.Conv2d(channels, step, 3, padding=1), nn.ReLU()]
        channels = step
model = nn.Sequential(*layers, nn.Flatten(), nn.Linear(channels * side * side, 256), nn.ReLU(), nn.Linear(256, 10))
x, labels = torch.rand(batch, 3, 32, 32) * 2 - 1, torch.arange(batch) % 10
print(torch.__version__.split('+')[0], flush=True)
for line in sys.stdin:
    if line.strip() == 'forward':
        with torch.no_grad():
            F.cross_entropy(model(x), labels).item()
    else:
        model.zero_grad()
        F.cross_entropy(model(x), labels).backward()
    print('done', flush=True)
`;
