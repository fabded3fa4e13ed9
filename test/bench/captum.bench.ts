import { spawn, spawnSync, type ChildProcess } from 'node:child_process';
import fs from 'node:fs';
import { availableParallelism, loadavg, tmpdir } from 'node:os';
import path from 'node:path';
import readline from 'node:readline';
import { behaviourPool } from '../../src/compute/behaviourPool';
import { fileDigest } from '../../src/compute/fileDigest';
import { fileSetOf } from '../../src/compute/files';
import { loadRecipe } from '../../src/compute/recipeFiles';
import { ablation } from '../../src/core/behaviour/ablation/ablation';
import type { BehaviourContext } from '../../src/core/behaviour/behaviour';
import { estimateThenVerify } from '../../src/core/behaviour/estimateThenVerify';
import { openModel } from '../../src/core/formats/registry';
import { decompose } from '../../src/core/particles/decompose';
import type { ParticleGroup } from '../../src/core/particles/particle';
import { createEngine } from '../../src/engines/registry';
import { faster, milliseconds, timed, type Bench, type Row } from './measure';

const threads = availableParallelism();
const memoryMegabytes = 1024;
const models = path.resolve(__dirname, '../../../shared/models');

interface Net {
  readonly name: string;
  readonly title: string;
  /** Captum measures every so-manieth channel; its time goes by channels, since it always runs the whole model. */
  readonly step: number;
  /** By the beginning of layer names; the last one is the last stage. */
  readonly stages: Readonly<Record<string, RegExp>>;
}

const nets: readonly Net[] = [
  { name: 'resnet20', title: 'ResNet-20', step: 4, stages: { 'stage 1': /^(conv1|layer1)/, 'stage 2': /^layer2/, 'stage 3': /^layer3/, 'last block': /^layer3\.2/ } },
  { name: 'tinyvgg', title: 'Tiny VGG', step: 1, stages: { 'stage 1': /^conv_1/, 'stage 2': /^conv_2/, 'last layer': /^conv_2_2/ } },
  {
    name: 'resnet18', title: 'ResNet-18', step: 16,
    stages: { 'stage 1': /^(conv1|layer1)/, 'stage 2': /^layer2/, 'stage 3': /^layer3/, 'stage 4': /^layer4/, 'last block': /^layer4\.1/ },
  },
];

/** Exact ablation of all channels beside Captum's LayerFeatureAblation in PyTorch, layer by layer in turn; the values must agree. */
export const bench: Bench = {
  title: `Exact ablation of every channel, ${threads} threads or processes, against Captum's LayerFeatureAblation (npm run bench -- captum)`,
  async run() {
    const [load] = loadavg();
    if (load! > threads / 2) console.log(`Other programs keep this machine busy (load ${load!.toFixed(1)} on ${threads} cores).`);
    const python = process.env.PARTICLIZE_PYTHON ?? 'python3';
    if (spawnSync(python, ['-c', 'import torch, captum'], { stdio: 'ignore' }).status !== 0) {
      throw new Error(`${python} has no torch and captum: install them, or name a Python that has them in PARTICLIZE_PYTHON`);
    }
    const folder = fs.mkdtempSync(path.join(tmpdir(), 'particlize-captum-'));
    const captum = new Captum(python, folder);
    const wanted = process.env.PARTICLIZE_BENCH_MODELS?.split(',');
    try {
      const about = await captum.ready();
      const rows: Row[] = [];
      for (const net of nets) if (!wanted || wanted.includes(net.name)) rows.push(...await measure(net, about[net.name]!, folder, captum));
      return rows;
    } finally {
      captum.end();
      fs.rmSync(folder, { recursive: true });
    }
  },
};

interface Measured {
  readonly layer: string;
  readonly channels: number;
  readonly oursMs: number;
  readonly theirsMs: number;
  readonly largestDifference: number;
}

async function measure(net: Net, about: { origin: string; samples: number; size: number }, folder: string, captum: Captum): Promise<Row[]> {
  const file = path.join(folder, `${net.name}.onnx`);
  const recipe = path.join(folder, `${net.name}.particlize.json`);
  const graph = await openModel(await fileSetOf(file));
  const { dataset: data } = await loadRecipe(recipe, graph, {});
  const memoryBytes = memoryMegabytes * 2 ** 20;
  const engine = await createEngine('auto', { memoryBytes });
  const context = (): BehaviourContext => ({ graph, table: decompose(graph), engine, data, memoryBytes, report: ({ message }) => console.log(message) });
  const { groups } = context().table;
  const head = `${net.title}, ${about.origin}, ${about.samples} images of ${about.size}²`;
  // Sessions, code and files warm.
  await ablation.compute({ ...context(), layers: new Set([groups.at(-1)!.layer]) });
  const layers: Measured[] = [];
  const exact = context().table.emptyValues();
  for (const group of groups) {
    const name = moduleOf(group);
    let values: Float32Array = new Float32Array();
    const oursMs = await timed(async () => void ([values] = await ablation.compute({ ...context(), layers: new Set([group.layer]) }) as [Float32Array]));
    const { ms, channels, changes } = await captum.ask(net.name, name, group.count < 2 * net.step ? 1 : net.step);
    const largestDifference = Math.max(...channels.map((channel, at) => Math.abs(values[group.firstRow + channel]! - changes[at]!)));
    exact.set(values.subarray(group.firstRow, group.firstRow + group.count), group.firstRow);
    layers.push({ layer: name, channels: group.count, oursMs, theirsMs: ms, largestDifference });
  }
  const rows: Row[] = [];
  for (const [stage, pattern] of Object.entries(net.stages)) rows.push(summary(`${net.title}, ${stage}`, layers.filter(({ layer }) => pattern.test(layer))));
  rows.push(summary(`${head}: all`, layers));
  const worst = Math.max(...layers.map(({ largestDifference }) => largestDifference));
  if (!(worst <= 1e-4)) throw new Error(`${net.title}: values differ by ${worst}`);
  const theirsMs = layers.reduce((sum, layer) => sum + layer.theirsMs, 0);
  rows.push(...await together({ net, file, recipe, theirsMs, context }), ...await verified(net, context(), exact, theirsMs));
  return rows.map((row, index) => (index === Object.keys(net.stages).length ? { ...row, ratio: `${row.ratio}; values differ by at most ${worst.toExponential(0)}` } : row));
}

function summary(what: string, layers: readonly Measured[]): Row {
  const sum = (of: (layer: Measured) => number): number => layers.reduce((total, layer) => total + of(layer), 0);
  const [oursMs, theirsMs] = [sum(({ oursMs: ms }) => ms), sum(({ theirsMs: ms }) => ms)];
  return { what: `${what} (${sum(({ channels }) => channels)} channels)`, ours: milliseconds(oursMs), against: 'Captum', theirs: milliseconds(theirsMs), ratio: faster(theirsMs / oursMs) };
}

/** All layers in one go, shared by as many processes as there are cores; and what that is worth beside one process. */
async function together(
  { net, file, recipe, theirsMs, context }: { net: Net; file: string; recipe: string; theirsMs: number; context: () => BehaviourContext },
): Promise<Row[]> {
  const pool = behaviourPool({ engine: 'auto', threads: 0, memoryMegabytes });
  if (!pool) return [];
  try {
    const workers = pool.workers({ path: file, recipe, sha256: await fileDigest(file, fs.statSync(file).size) }, ({ message }) => console.log(message));
    const started = await timed(() => ablation.compute({ ...context(), workers }));
    const pooled = await timed(() => ablation.compute({ ...context(), workers }));
    const rows = [{
      what: `${net.title}, all, ${pool.count} processes and their start`, ours: milliseconds(started), against: 'Captum', theirs: milliseconds(theirsMs), ratio: faster(theirsMs / started),
    }];
    for (const one of [1, threads]) {
      const engine = await createEngine('auto', { threads: one, memoryBytes: memoryMegabytes * 2 ** 20 });
      const alone = await timed(() => ablation.compute({ ...context(), engine }));
      rows.push({
        what: `${net.title}, all, ${pool.count} processes of one thread`, ours: milliseconds(pooled), against: `one process, ${one} thread${one > 1 ? 's' : ''}`, theirs: milliseconds(alone),
        ratio: faster(alone / pooled),
      });
    }
    return rows;
  } finally {
    pool.dispose();
  }
}

/** The least needed 30 %: found by estimating all and measuring near the boundary. */
async function verified(net: Net, context: BehaviourContext, exact: Float32Array, theirsMs: number): Promise<Row[]> {
  const order = [...exact.keys()].sort((one, two) => exact[one]! - exact[two]!);
  const lowest = new Set(order.slice(0, Math.round(0.3 * order.length)));
  let rows: readonly number[] = [];
  const oursMs = await timed(async () => void ({ rows } = await estimateThenVerify(context, { lowestShare: 0.3 })));
  const same = rows.filter((row) => lowest.has(row)).length / lowest.size;
  return [{
    what: `${net.title}, estimate then verify: ${(100 * same).toFixed(1)} % of the same lowest 30 %`, ours: milliseconds(oursMs),
    against: 'Captum, all', theirs: milliseconds(theirsMs), ratio: faster(theirsMs / oursMs),
  }];
}

/** The module of PyTorch whose weight the particles are. */
function moduleOf({ slices, layer }: ParticleGroup): string {
  const weight = slices.find(({ role }) => role === 'weight')?.tensor ?? `${layer}.weight`;
  return weight.replace(/\.weight$/, '');
}

class Captum {
  private readonly child: ChildProcess;
  private readonly lines: AsyncIterator<string>;

  constructor(python: string, folder: string) {
    const known = fs.existsSync(models) ? models : '';
    if (!known) console.log('../shared/models is not here: random weights and images.');
    this.child = spawn(python, [path.join(__dirname, 'layerAblation.py'), String(threads), folder, known], { stdio: ['pipe', 'pipe', 'inherit'] });
    this.lines = readline.createInterface({ input: this.child.stdout! })[Symbol.asyncIterator]();
  }

  ready(): Promise<Record<string, { origin: string; samples: number; size: number }>> {
    return this.read();
  }

  async ask(net: string, layer: string, step: number): Promise<{ ms: number; channels: number[]; changes: number[] }> {
    this.child.stdin!.write(`${JSON.stringify({ net, layer, step })}\n`);
    return this.read();
  }

  end(): void {
    this.child.stdin!.end();
  }

  private async read<T>(): Promise<T> {
    const { value, done } = await this.lines.next();
    if (done) throw new Error('Captum ended early');
    return JSON.parse(String(value)) as T;
  }
}
