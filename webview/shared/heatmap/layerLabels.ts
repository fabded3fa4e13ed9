import type { ParticleLayer } from '../../../src/core/charts/particleLayers';
import { fill, h } from '../dom';
import { strings } from '../strings';
import type { Camera, ViewSize } from './camera';
import { labelHeight, type Layout } from './layout';

/** Names of the layers over the map. They are real buttons; only those in sight exist. */
export class LayerLabels {
  readonly element = h('div', { class: 'heatmap-labels' });
  /** By index of the layer; kept while they stay in sight so that the keyboard focus stays too. */
  private readonly labelOf = new Map<number, HTMLElement>();
  private layers: readonly ParticleLayer[] = [];

  constructor(private readonly chosen: ((layer: string) => void) | undefined) {}

  show(layers: readonly ParticleLayer[]): void {
    this.layers = layers;
    this.labelOf.clear();
    fill(this.element);
  }

  place({ blocks, cell, compact }: Layout, { scale, top }: Camera, view: ViewSize): void {
    const above = compact ? 0 : labelHeight;
    const kept = new Set<number>();
    for (const block of blocks) {
      const y = block.cellsTop * scale - top - above;
      if (y + labelHeight <= 0 || y >= view.height || (compact && block.lines * cell * scale < labelHeight)) continue;
      kept.add(block.layer);
      let label = this.labelOf.get(block.layer);
      if (!label) {
        this.labelOf.set(block.layer, (label = this.label(this.layers[block.layer]!)));
        this.element.append(label);
      }
      label.style.transform = `translateY(${Math.round(y)}px)`;
    }
    for (const [layer, label] of this.labelOf) {
      if (kept.has(layer)) continue;
      label.remove();
      this.labelOf.delete(layer);
    }
  }

  private label(layer: ParticleLayer): HTMLElement {
    const { chosen } = this;
    const text = [h('span', { class: 'heatmap-layer' }, layer.name), h('span', { class: 'muted' }, strings.particleCount(layer.count, layer.kind))];
    if (!chosen) return h('div', { class: 'heatmap-label' }, ...text);
    return h('button', { class: 'heatmap-label', type: 'button', title: strings.showLayer(layer.name), on: { click: () => chosen(layer.name) } }, ...text);
  }
}
