import type { ColumnData } from '../../src/compute/protocol';
import { formatChange, formatNumber, formatPercent } from '../../src/core/charts/numberFormat';
import { layerIndexAt, particleName, type ParticleLayer } from '../../src/core/charts/particleLayers';
import { strings } from '../shared/strings';

/** Columns of which a particle's place among its layer is told. */
export const rankedColumns: ReadonlySet<string> = new Set(['l2', 'ablationLossChange', 'estimatedLossChange']);

/** What the columns say of a particle, in sentences; only what is known and worth saying. */
export function particleWords(
  row: number, columns: ReadonlyMap<string, ColumnData>, layers: readonly ParticleLayer[], classes?: readonly string[],
): string[] {
  const layer = layers[layerIndexAt(layers, row)];
  if (!layer) return [];
  const value = (name: string): number | undefined => {
    const found = columns.get(name)?.values[row];
    return found === undefined || !Number.isFinite(found) ? undefined : found;
  };
  const says: string[] = [];
  const add = (sentence: string | undefined): void => void (sentence && says.push(sentence));
  add(activity(value('deadShare')));
  add(loss(columns, row, layer));
  const metric = value('ablationMetricChange');
  if (metric !== undefined && metric !== 0) add(strings.wordMetric(formatChange(metric, (size) => formatNumber(size))));
  const [preferred, selectivity] = [value('preferredClass'), value('classSelectivity')];
  if (preferred !== undefined && selectivity !== undefined && selectivity > 0.2) {
    add(strings.wordClass(classes?.[preferred] ?? String(preferred), formatNumber(selectivity)));
  }
  const norm = rankOf(columns.get('l2'), row, layer);
  if (norm && layer.count > 1) add(strings.wordNorm(strings.rankPlace(norm, layer.count), layer.kind));
  const [twin, cosine] = [value('twin'), value('twinCosine')];
  if (cosine !== undefined && twin !== undefined) {
    if (cosine >= 0.9) add(strings.wordTwin(particleName(layers, twin), formatNumber(cosine)));
    else if (cosine < 0.5) add(strings.wordSpeaksAlone(formatNumber(cosine)));
  }
  const alike = value('clusterSize');
  if (alike !== undefined && alike > 1) add(strings.wordCluster(alike - 1));
  const target = value('strongestTarget');
  if (target !== undefined) add(strings.wordTarget(particleName(layers, target)));
  const memory = value('memoryLength');
  if (memory !== undefined) add(strings.wordMemory(formatNumber(memory, columns.get('memoryLength')!.unit)));
  const [previous, first] = [value('previousTokenShare'), value('firstTokenShare')];
  if (previous !== undefined && previous > 0.3) add(strings.wordPrevious(formatPercent(previous)));
  if (first !== undefined && first > 0.5) add(strings.wordRests(formatPercent(first)));
  if (![...columns.values()].some((column) => column.provenance.source !== 'weights' && Number.isFinite(column.values[row]))) add(strings.wordNothing);
  return says;
}

function activity(dead: number | undefined): string | undefined {
  if (dead === undefined) return undefined;
  return dead >= 0.999 ? strings.wordDead : dead > 0.005 ? strings.wordActive(formatPercent(1 - dead)) : undefined;
}

/** By exact ablation where it is known, else by the estimate, which is called one. */
function loss(columns: ReadonlyMap<string, ColumnData>, row: number, layer: ParticleLayer): string | undefined {
  const known = ['ablationLossChange', 'estimatedLossChange'].map((name) => columns.get(name)).find((column) => Number.isFinite(column?.values[row]));
  if (!known) return undefined;
  const change = known.values[row]!;
  let largest = 0;
  for (let i = 0; i < layer.count; i++) largest = Math.max(largest, Math.abs(known.values[layer.firstRow + i]!) || 0);
  const size = formatNumber(Math.abs(change));
  // What is a millionth of the layer's largest is rounding.
  const free = Math.abs(change) <= 1e-6 * largest;
  const sentence = free ? strings.wordFree : change < 0 ? strings.wordHarmful(size) : strings.wordNeeded(size, strings.rankPlace(rankOf(known, row, layer) ?? 1, layer.count));
  return known.provenance.exact ? sentence : `${sentence} ${strings.wordEstimate}`;
}

/** Place of a row in its layer, 1 the largest; undefined where it has no value. */
function rankOf(column: ColumnData | undefined, row: number, { firstRow, count }: ParticleLayer): number | undefined {
  const value = column?.values[row];
  if (!column || value === undefined || !Number.isFinite(value)) return undefined;
  let place = 1;
  for (let i = 0; i < count; i++) if (column.values[firstRow + i]! > value) place++;
  return place;
}
