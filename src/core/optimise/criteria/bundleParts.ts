import { coupledClasses } from '../../graph/coupledClasses';
import { indexOf, type ModelGraph } from '../../graph/modelGraph';
import { isFloat } from '../../graph/numeric';
import type { ParticleTable } from '../../particles/particleTable';
import type { Bundle, Coupling } from '../groups';

/** One axis of a weight tensor, with the bundle that each of its indices goes with. */
export interface WeightPart {
  readonly tensor: string;
  readonly axis: number;
  /** What the numbers are: of a matrix, kernel or table; or scales of a normalisation. */
  readonly kind: 'weight' | 'batchNormScale' | 'normScale';
  /** By index; -1 where removing particles takes nothing away. */
  readonly bundleOf: Int32Array;
}

export interface BundleParts {
  readonly bundles: readonly Bundle[];
  /** By particle row: the number of its bundle. */
  readonly bundleOfRow: Int32Array;
  /** By bundle: the number of its coupling group. */
  readonly groupOfBundle: Int32Array;
  /** Layers' own weights and those by which the next ones read them, as in Torch-Pruning; no biases, no running statistics. */
  readonly weights: readonly WeightPart[];
}

/** Every slice of a weight that goes with a bundle: what removing it takes out of the file. */
export function bundleParts(graph: ModelGraph, table: ParticleTable, coupling: Coupling): BundleParts {
  const bundles = coupling.groups.flatMap((group) => group.bundles);
  const groupOfBundle = Int32Array.from(coupling.groups.flatMap((group, number) => group.bundles.map(() => number)));
  const bundleOfRow = new Int32Array(table.rowCount);
  bundles.forEach(({ rows }, number) => {
    for (const row of rows) bundleOfRow[row] = number;
  });
  const { axes } = coupledClasses(graph, table.groups.map(({ producer, count }) => ({ ref: producer, count })));
  const weights: WeightPart[] = [];
  for (const { ref: { value, axis }, classes } of axes.values()) {
    const kind = kindOf(graph, value);
    // A class is named by one of its rows.
    if (kind) weights.push({ tensor: value, axis, kind, bundleOf: classes.map((label) => (label < 0 ? -1 : bundleOfRow[label]!)) });
  }
  return { bundles, bundleOfRow, groupOfBundle, weights };
}

function kindOf(graph: ModelGraph, name: string): WeightPart['kind'] | undefined {
  const tensor = graph.tensors.get(name);
  if (!tensor || !isFloat(tensor.dtype)) return undefined;
  const readers = indexOf(graph).consumers.get(name) ?? [];
  for (const { op, inputs } of readers) {
    if (op === 'BatchNormalization') return inputs[1] === name ? 'batchNormScale' : undefined;
    if (op.endsWith('Normalization')) return inputs[op.startsWith('Skip') ? 2 : 1] === name ? 'normScale' : undefined;
  }
  return tensor.shape.length > 1 && !readers.every(({ op }) => elementwise.has(op)) ? 'weight' : undefined;
}

/** What these read are offsets, masks and factors. */
const elementwise = new Set(['Add', 'Sub', 'Mul', 'Div', 'Where', 'Pow', 'Min', 'Max', 'PRelu']);
