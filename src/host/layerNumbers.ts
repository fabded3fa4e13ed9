import * as vscode from 'vscode';
import type { ColumnData, LayerSummary } from '../compute/protocol';
import type { Model } from './model';

/** What lenses, hovers and hints say of a layer, or of several that one definition makes. Undefined is not known. */
export interface LayerNumbers {
  readonly kind: string;
  readonly count: number;
  /** Never answered a sample. */
  readonly dead?: number;
  /** Others of the layer say the same: one of each cluster can speak for all. */
  readonly redundant?: number;
  /** The loss does not rise when it alone is ablated. */
  readonly harmless?: number;
  /** Multiply-accumulates and parameters as shares of the model's. */
  readonly macs?: number;
  readonly parameters: number;
}

/** Undefined when none of the layers has particles. */
export function layerNumbers(model: Model, layers: readonly LayerSummary[]): LayerNumbers | undefined {
  const own = layers.filter(({ particles }) => particles);
  const [first] = own;
  if (!first?.particles) return undefined;
  const sum = (of: (layer: LayerSummary) => number | undefined): number | undefined => {
    const known = own.map(of);
    return known.every((value) => value === undefined) ? undefined : known.reduce<number>((total, value) => total + (value ?? 0), 0);
  };
  const kinds = new Set(own.map(({ particles }) => particles!.kind));
  const macs = sum((layer) => layer.macs);
  return {
    kind: kinds.size === 1 ? first.particles.kind : 'particle',
    count: sum(({ particles }) => particles?.count) ?? 0,
    dead: sum((layer) => countOf(model, layer, 'deadShare', (value) => value >= 1)),
    redundant: sum((layer) => redundantIn(valuesOf(model, layer, 'cluster'))),
    harmless: sum((layer) => countOf(model, layer, 'ablationLossChange', (value) => value <= 0)),
    macs: macs !== undefined && model.summary.macs > 0 ? macs / model.summary.macs : undefined,
    parameters: (sum((layer) => layer.parameters) ?? 0) / Math.max(1, model.summary.parameters),
  };
}

/** The column that says best how much particles matter, of those that are computed. */
export function importanceColumn(model: Model, layer: LayerSummary): ColumnData | undefined {
  return byWorth.map((name) => model.column(name)).find((column) => column && valuesOf(model, layer, column.name) !== undefined);
}

/** A layer's values of a column; undefined when none is computed. */
export function valuesOf(model: Model, { particles }: LayerSummary, column: string): Float32Array | undefined {
  const values = particles && model.column(column)?.values.subarray(particles.firstRow, particles.firstRow + particles.count);
  return values?.some((value) => !Number.isNaN(value)) ? values : undefined;
}

const byWorth = ['ablationLossChange', 'taylorLossChange', 'taylorImportance', 'gradientActivation', 'contribution', 'l2'];

function countOf(model: Model, layer: LayerSummary, column: string, holds: (value: number) => boolean): number | undefined {
  return valuesOf(model, layer, column)?.filter(holds).length;
}

/** All but one of each cluster. */
function redundantIn(clusters: Float32Array | undefined): number | undefined {
  const known = clusters && [...clusters].filter((value) => !Number.isNaN(value));
  return known && known.length - new Set(known).size;
}

/** 'dead', 'redundant', 'harmless', whichever is most of the layer. */
export function mostWasted({ count, dead = 0, redundant = 0, harmless = 0 }: LayerNumbers): { share: number; sentence: string } {
  const most = Math.max(dead, redundant, harmless);
  const share = count > 0 ? most / count : 0;
  const percent = `${Math.round(100 * share)} %`;
  const sentence = most === harmless
    ? vscode.l10n.t('{0} of {1} ({2}) are harmless: the loss does not rise without any one of them', most, count, percent)
    : most === dead
      ? vscode.l10n.t('{0} of {1} ({2}) are dead: they answer no sample', most, count, percent)
      : vscode.l10n.t('{0} of {1} ({2}) are redundant: others of the layer say the same', most, count, percent);
  return { share, sentence };
}
