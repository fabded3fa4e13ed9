import type { BehaviourContext } from '../../behaviour/behaviour';
import { batchModel, batchSize, bytesPerSample, openRunner } from '../../evaluate/batching';
import { nodeMacs } from '../../evaluate/cost';
import { intOf } from '../../graph/attributes';
import { throwIfCancelled } from '../../graph/errors';
import { indexOf, type ModelGraph } from '../../graph/modelGraph';
import { seededRandom } from '../../graph/seededRandom';
import type { ParticleTable } from '../../particles/particleTable';
import { couplingGroups, type CouplingGroup } from '../groups';
import { removalOf } from '../removal';
import { inverseOf, openProducts } from './leastSquares';
import { inputRows, linearSites, matrixOf, type LinearSite } from './linearSites';
import { centre, drawn, meansOf, mostColumns } from './reconstruct';
import { sensitivities } from './sensitivity';

export interface ChoiceOptions {
  /** Share of the multiply-accumulates that may stay. */
  readonly macs: number;
  /** Saving more than what is left to this share counts for nothing; `macs` when left out. */
  readonly lastMacs?: number;
  readonly samples: number;
  readonly ridge: number;
  readonly directions: number;
  readonly temperature: number;
  /** Predicted loss is divided by the multiply-accumulates saved to this power. */
  readonly costPower: number;
}

export interface Choice {
  readonly rows: readonly number[];
  /** What the loss is predicted to rise by, when weights are reconstructed. */
  readonly predicted: number;
}

/** Rows of a site at most, and for each column. */
const [mostRows, rowsPerColumn] = [8000, 4];

/**
 * Which particles may go when the weights of what stays make up for them: the optimal brain surgeon (Hassibi and Stork 1993) on
 * whole particles. At each linear operator the error that is left after the best change of the other weights follows in closed form
 * from the second moments of its inputs; it is weighted by how the loss hangs on each output, so that layers compare. Bundles go
 * one by one, the one that costs least for what it saves first, and weights and moments are brought up to date after each.
 */
export async function chooseCompensated(context: BehaviourContext, options: ChoiceOptions): Promise<Choice> {
  const { graph, table, task } = context;
  const sites = await openSites(context, options);
  const costs = new Costs(graph);
  const bundles = bundlesOf(graph, table, sites, costs);
  const left = new Map<CouplingGroup, number>();
  for (const { group } of bundles) left.set(group, (left.get(group) ?? 0) + 1);
  for (const group of left.keys()) left.set(group, group.bundles.length);
  const open = new Set(bundles);
  const rows: number[] = [];
  let predicted = 0;
  let turn = 0;
  const [target, last] = [options.macs * costs.total(), (options.lastMacs ?? options.macs) * costs.total()];
  while (costs.total() > target) {
    throwIfCancelled(task);
    turn++;
    let best: OpenBundle | undefined;
    // Scores mostly rise as others go, so that only what seems best has to be brought up to date.
    for (;;) {
      best = undefined;
      for (const bundle of open) if (left.get(bundle.group)! > 1 && (!best || bundle.score < best.score)) best = bundle;
      if (!best || best.scored === turn) break;
      best.error = best.parts.reduce((sum, { site, columns }) => sum + site.errorWithout(columns), 0);
      best.score = best.error / Math.max(Math.min(costs.saved(best.cuts), costs.total() - last), 1) ** options.costPower;
      best.scored = turn;
    }
    if (!best) break;
    open.delete(best);
    left.set(best.group, left.get(best.group)! - 1);
    for (const { site, columns } of best.parts) site.remove(columns);
    for (const { site, outputs } of best.made) site.silence(outputs);
    costs.cut(best.cuts);
    predicted += best.error;
    rows.push(...best.rows);
  }
  return { rows, predicted };
}

interface OpenBundle {
  readonly rows: readonly number[];
  readonly group: CouplingGroup;
  readonly parts: readonly { readonly site: OpenSite; readonly columns: readonly number[] }[];
  readonly made: readonly { readonly site: OpenSite; readonly outputs: readonly number[] }[];
  readonly cuts: readonly Cut[];
  error: number;
  score: number;
  scored: number;
}

/** Indices of an axis of a weight that go. */
interface Cut {
  readonly weight: string;
  readonly axis: number;
  readonly count: number;
}

/** A site while columns of it go. */
class OpenSite {
  constructor(
    readonly site: LinearSite, private readonly weights: Float64Array, private readonly inverse: Float64Array | undefined, private readonly squares: Float64Array,
    private readonly sensitivity: Float64Array, private readonly size: number,
  ) {}

  /** What the loss rises by when these columns go and the others make up for it as well as they can. */
  errorWithout(columns: readonly number[]): number {
    const { weights, sensitivity, size, squares } = this;
    let error = 0;
    if (!this.inverse) {
      for (let output = 0; output < sensitivity.length; output++) {
        for (const column of columns) error += sensitivity[output]! * squares[column]! * weights[output * size + column]! ** 2;
      }
      return error;
    }
    const block = this.block(columns);
    const k = columns.length;
    const own = new Float64Array(k);
    for (let output = 0; output < sensitivity.length; output++) {
      if (sensitivity[output] === 0) continue;
      for (let at = 0; at < k; at++) own[at] = weights[output * size + columns[at]!]!;
      let sum = 0;
      for (let one = 0; one < k; one++) {
        let product = 0;
        for (let two = 0; two < k; two++) product += block[one * k + two]! * own[two]!;
        sum += own[one]! * product;
      }
      error += sensitivity[output]! * sum;
    }
    return error;
  }

  remove(columns: readonly number[]): void {
    const { weights, inverse, size } = this;
    const outputs = this.sensitivity.length;
    const k = columns.length;
    if (inverse) {
      const block = this.block(columns);
      // Rows of (inverse of the block) times the inverse's rows of these columns.
      const rows = columns.map((column) => inverse.slice(column * size, (column + 1) * size));
      const mixed = columns.map((_, one) => {
        const sum = new Float64Array(size);
        rows.forEach((row, two) => {
          const factor = block[one * k + two]!;
          for (let at = 0; at < size; at++) sum[at]! += factor * row[at]!;
        });
        return sum;
      });
      for (let output = 0; output < outputs; output++) {
        columns.forEach((column, one) => {
          const factor = weights[output * size + column]!;
          const change = mixed[one]!;
          if (factor !== 0) for (let at = 0; at < size; at++) weights[output * size + at]! -= factor * change[at]!;
        });
      }
      for (let row = 0; row < size; row++) {
        for (let one = 0; one < k; one++) {
          const factor = rows[one]![row]!;
          const change = mixed[one]!;
          if (factor !== 0) for (let at = 0; at < size; at++) inverse[row * size + at]! -= factor * change[at]!;
        }
      }
    }
    for (const column of columns) {
      for (let output = 0; output < outputs; output++) weights[output * size + column] = 0;
    }
  }

  /** Outputs that are gone cost nothing. */
  silence(outputs: readonly number[]): void {
    for (const output of outputs) this.sensitivity[output] = 0;
  }

  private block(columns: readonly number[]): Float64Array {
    const k = columns.length;
    const block = new Float64Array(k * k);
    columns.forEach((row, one) => columns.forEach((column, two) => (block[one * k + two] = this.inverse![row * this.size + column]!)));
    return inverseOf(block, k, 0);
  }
}

async function openSites(context: BehaviourContext, options: ChoiceOptions): Promise<ReadonlyMap<string, OpenSite>> {
  const { engine, data, task, memoryBytes } = context;
  const model = await batchModel(context.graph);
  const { graph } = model;
  const sites = linearSites(graph);
  const sensitivity = await sensitivities(context, sites, options);
  const each = bytesPerSample(graph, sites.map(({ input }) => input));
  const count = Math.min(options.samples, data.count, batchSize(memoryBytes, each, options.samples));
  const inputs = await data.inputs(0, count);
  const fetches = [...new Set(sites.map(({ input }) => input))].filter((name) => !inputs.has(name));
  const products = await openProducts(engine);
  const runner = await openRunner(engine, model, [...inputs.keys()], fetches);
  const random = seededRandom(data.seed);
  try {
    const values = new Map([...inputs, ...await runner.run(inputs)]);
    const result = new Map<string, OpenSite>();
    for (const site of sites) {
      throwIfCancelled(task);
      const x = values.get(site.input)!;
      const size = site.channels * site.taps;
      const shape = graph.values.get(site.output)!.shape!;
      const all = count * (site.node.op === 'Conv' ? shape.slice(2).reduce<number>((product, dim) => product * (dim ?? 1), 1) : x.data.length / size / count);
      const places = drawn(all, Math.min(all, mostRows, Math.max(1500, rowsPerColumn * size)), random);
      const rows = inputRows(graph, site, x, places);
      centre(rows, meansOf(rows, size, site.bias !== undefined || site.mean !== undefined));
      const whole = size <= mostColumns;
      const squares = new Float64Array(size);
      for (let from = 0; from < rows.length; from += size) for (let at = 0; at < size; at++) squares[at]! += rows[from + at]! ** 2 / places.length;
      const moments = whole ? Float64Array.from(await products.transposedTimes(rows, size, rows, size), (sum) => sum / places.length) : undefined;
      const inverse = moments && inverseOf(moments, size, options.ridge);
      result.set(site.weight, new OpenSite(site, Float64Array.from(await matrixOf(graph, site)), inverse, squares, sensitivity.get(site.node.name)!, size));
    }
    return result;
  } finally {
    await Promise.all([products.dispose(), runner.dispose()]);
  }
}

/** Bundles whose effect can be told: everything that reads them is a site, or passes them on channel by channel. */
function bundlesOf(graph: ModelGraph, table: ParticleTable, sites: ReadonlyMap<string, OpenSite>, costs: Costs): OpenBundle[] {
  const result: OpenBundle[] = [];
  for (const group of couplingGroups(graph, table).groups) {
    for (const { rows, stays } of group.bundles) {
      if (stays !== undefined) continue;
      const { removed, refusals } = removalOf(graph, table, new Set(rows));
      if (refusals.length) continue;
      const parts: { site: OpenSite; columns: number[] }[] = [];
      const made: { site: OpenSite; outputs: number[] }[] = [];
      const cuts: Cut[] = [];
      let clear = true;
      for (const { ref: { value, axis }, indices } of removed) {
        const tensor = graph.tensors.get(value);
        if (!tensor || indices.size === 0) continue;
        cuts.push({ weight: value, axis, count: indices.size });
        const open = sites.get(value);
        if (open && axis === open.site.inAxis) {
          const { taps } = open.site;
          parts.push({ site: open, columns: [...indices].flatMap((channel) => Array.from({ length: taps }, (_, tap) => channel * taps + tap)) });
        } else if (open) {
          made.push({ site: open, outputs: [...indices] });
        } else if (tensor.shape.length > 1 && !isDepthwise(graph, value) && tensor.shape.filter((size) => size > 1).length > 1) {
          clear = false;
        }
      }
      if (clear && parts.length) result.push({ rows, group, parts, made, cuts: cuts.filter(({ weight }) => costs.has(weight)), error: 0, score: 0, scored: 0 });
    }
  }
  return result;
}

function isDepthwise(graph: ModelGraph, weight: string): boolean {
  const readers = indexOf(graph).consumers.get(weight) ?? [];
  return readers.every((node) => node.op === 'Conv' && node.inputs[1] === weight && intOf(node, 'group', 1) === graph.tensors.get(weight)!.shape[0]);
}

/** Multiply-accumulates while axes of weights get smaller. */
class Costs {
  private readonly byWeight = new Map<string, { readonly macs: number; readonly shape: readonly number[]; readonly kept: number[] }>();
  private fixed = 0;

  constructor(graph: ModelGraph) {
    for (const node of graph.nodes) {
      const macs = nodeMacs(graph, node) ?? 0;
      const weight = node.inputs[1] ?? '';
      const shape = graph.tensors.get(weight)?.shape;
      const before = this.byWeight.get(weight);
      if (macs > 0 && shape) this.byWeight.set(weight, { macs: macs + (before?.macs ?? 0), shape, kept: [...shape] });
      else this.fixed += macs;
    }
  }

  has(weight: string): boolean {
    return this.byWeight.has(weight);
  }

  total(): number {
    return [...this.byWeight.values()].reduce((sum, entry) => sum + share(entry, entry.kept), this.fixed);
  }

  saved(cuts: readonly Cut[]): number {
    const after = new Map<string, number[]>();
    for (const { weight, axis, count } of cuts) {
      const kept = after.get(weight) ?? [...this.byWeight.get(weight)!.kept];
      kept[axis]! -= count;
      after.set(weight, kept);
    }
    return [...after].reduce((sum, [weight, kept]) => {
      const entry = this.byWeight.get(weight)!;
      return sum + share(entry, entry.kept) - share(entry, kept);
    }, 0);
  }

  cut(cuts: readonly Cut[]): void {
    for (const { weight, axis, count } of cuts) this.byWeight.get(weight)!.kept[axis]! -= count;
  }
}

function share({ macs, shape }: { macs: number; shape: readonly number[] }, kept: readonly number[]): number {
  return shape.reduce((product, size, axis) => product * (Math.max(0, kept[axis]!) / size), macs);
}
