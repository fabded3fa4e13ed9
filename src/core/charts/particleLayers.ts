import type { ParticleKind } from '../graph/ops/operator';
import { parseParticleId, particleId } from '../particles/particle';

/** The particles of one layer, as charts and the heatmap need them. */
export interface ParticleLayer {
  readonly name: string;
  readonly kind: ParticleKind;
  readonly count: number;
  /** Row of its first particle; layers lie one after another. */
  readonly firstRow: number;
}

/** Index of the layer that holds a row, or -1. Layers are in order of `firstRow`. */
export function layerIndexAt(layers: readonly ParticleLayer[], row: number): number {
  let low = 0;
  let high = layers.length - 1;
  while (low < high) {
    const middle = (low + high + 1) >> 1;
    if (layers[middle]!.firstRow <= row) low = middle;
    else high = middle - 1;
  }
  const layer = layers[low];
  return layer && row >= layer.firstRow && row < layer.firstRow + layer.count ? low : -1;
}

/** `conv1/kernel:3`, or '' when no layer holds the row. */
export function particleName(layers: readonly ParticleLayer[], row: number): string {
  const layer = layers[layerIndexAt(layers, row)];
  return layer ? particleId({ layer: layer.name, kind: layer.kind, index: row - layer.firstRow }) : '';
}

/** Rows of particle ids; unknown ones are left out. */
export function rowsOfParticles(layers: readonly ParticleLayer[], ids: readonly string[]): number[] {
  const byName = new Map(layers.map((layer) => [`${layer.name}/${layer.kind}`, layer]));
  const rows: number[] = [];
  for (const id of ids) {
    const ref = parseParticleId(id);
    const layer = ref && byName.get(`${ref.layer}/${ref.kind}`);
    if (layer && ref.index < layer.count) rows.push(layer.firstRow + ref.index);
  }
  return rows;
}

export function rowCountOf(layers: readonly ParticleLayer[]): number {
  return layers.reduce((count, layer) => Math.max(count, layer.firstRow + layer.count), 0);
}
