/** A thread that opens damaged files; what it is at, the main thread sees in shared memory. */
import { parentPort, workerData } from 'node:worker_threads';
import { layerCost } from '../../../src/core/evaluate/cost';
import { formats } from '../../../src/core/formats/registry';
import { ParticlizeError } from '../../../src/core/graph/errors';
import { elementCount } from '../../../src/core/graph/tensor';
import { decompose } from '../../../src/core/particles/decompose';
import { mutate } from './fuzzMutations';
import { filesOf, findSeeds, type Seed } from './fuzzSeeds';
import { seededRandom } from './graphs';

export interface FuzzWork {
  readonly format: string;
  readonly from: number;
  readonly to: number;
  readonly shared: boolean;
  /** [case that is worked at, when it began (ms since the epoch)]. */
  readonly now: Float64Array;
}

export interface FuzzReport {
  readonly graphs: number;
  readonly refused: number;
  readonly seeds: number;
  readonly failures: readonly FuzzFailure[];
  readonly slowestMs: number;
  readonly finished: boolean;
}

export interface FuzzFailure {
  readonly index: number;
  readonly seed: string;
  readonly what: string;
}

/** The damaged files of a case: the same for the same number, format and seeds. */
export function damaged(seeds: readonly Seed[], index: number): { readonly seed: Seed; readonly files: ReadonlyMap<string, Uint8Array> } {
  const random = seededRandom(Math.imul(index + 1, 0x9e3779b1));
  const seed = seeds[index % seeds.length]!;
  const others = [...seed.files.keys()].filter((name) => name !== seed.main);
  const name = others.length > 0 && random() < 0.25 ? others[Math.floor(random() * others.length)]! : seed.main;
  return { seed, files: new Map(seed.files).set(name, mutate(seed.files.get(name)!, random)) };
}

/** 'graph' or 'refused'; rejects with what no user should see. */
export async function outcome(format: string, main: string, files: ReadonlyMap<string, Uint8Array>): Promise<'graph' | 'refused'> {
  const { match, open } = formats.find(({ id }) => id === format)!;
  const set = filesOf(main, files);
  await match(set, await set.main.read(0, Math.min(1024, set.main.sizeBytes)));
  try {
    const graph = await open(set);
    for (const tensor of [...graph.tensors.values()].slice(0, 60)) {
      if (elementCount(tensor.shape) <= 200_000) await tensor.read().catch(onlyOurs);
    }
    decompose(graph);
    for (const layer of graph.layers) layerCost(graph, layer);
    return 'graph';
  } catch (error) {
    onlyOurs(error);
    return 'refused';
  }
}

function onlyOurs(error: unknown): void {
  if (!(error instanceof ParticlizeError)) throw error;
  if (!error.parts.file && !error.parts.place) throw new Error(`an error without a place: ${error.message}`);
  if (!/^[^\n]{8,2000}$/.test(error.message)) throw new Error(`not one sentence: ${error.message.slice(0, 300)}`);
}

async function work({ format, from, to, shared, now }: FuzzWork): Promise<void> {
  const seeds = await findSeeds(format, { shared });
  let [graphs, refused, slowestMs, told] = [0, 0, 0, 0];
  let failures: FuzzFailure[] = [];
  const report = (finished: boolean): void => {
    parentPort!.postMessage({ graphs, refused, seeds: seeds.length, failures, slowestMs, finished } satisfies FuzzReport);
    [graphs, refused, slowestMs, failures, told] = [0, 0, 0, [], Date.now()];
  };
  if (seeds.length === 0) return report(true);
  let index = from;
  const fail = (error: unknown, kind = ''): void => {
    const stack = error instanceof Error ? error.stack ?? error.message : String(error);
    failures.push({ index, seed: seeds[index % seeds.length]!.name, what: kind + stack.split('\n').slice(0, 5).join('\n') });
  };
  process.on('unhandledRejection', (error) => fail(error, 'unhandled rejection: '));
  for (; index < to; index++) {
    now[1] = Date.now();
    now[0] = index;
    const start = performance.now();
    try {
      const { seed, files } = damaged(seeds, index);
      if (await outcome(format, seed.main, files) === 'graph') graphs++;
      else refused++;
    } catch (error) {
      fail(error);
    }
    slowestMs = Math.max(slowestMs, performance.now() - start);
    // Failures that nobody awaits come up between turns of the event loop.
    if (index % 50 === 0) await new Promise(setImmediate);
    if (Date.now() - told > 500) report(false);
  }
  await new Promise(setImmediate);
  report(true);
}

if (parentPort) void work(workerData as FuzzWork);
