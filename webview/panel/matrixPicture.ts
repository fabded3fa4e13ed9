import type { MatrixData } from '../../src/core/behaviour/details/detailData';
import { formatNumber } from '../../src/core/charts/numberFormat';
import { rowsOfParticles } from '../../src/core/charts/particleLayers';
import { h } from '../shared/dom';
import { Legend } from '../shared/legend';
import { extent, paintPicture } from '../shared/picture';
import { strings } from '../shared/strings';
import type { DrawingContext } from './detailDrawing';

/** A matrix as a picture of one pixel a value, enlarged; pointing at a value names it, a click goes to the particle of its row. */
export function matrixPicture(data: MatrixData, { theme, tooltip, layers, chosen }: DrawingContext): HTMLElement {
  const { rows, columns, values, rowTitle, columnTitle, valueTitle, scale } = data;
  const { min, max } = extent(values);
  const most = Math.max(Math.abs(min), Math.abs(max)) || 1;
  const domain = scale === 'diverging' ? { min: -most, max: most, clipped: false } : { min: Math.min(0, min), max, clipped: false };
  const label = `${valueTitle}: ${rowTitle} (${rows.length}) × ${columnTitle} (${columns.length})`;
  const canvas = h('canvas', { class: 'matrix', attributes: { role: 'img', 'aria-label': label } });
  paintPicture(canvas, { width: columns.length, height: rows.length, channels: 1, values }, { scale, ...domain }, theme);
  // Cells are square where there is room for that, and never a hair.
  canvas.style.aspectRatio = `${Math.max(1, columns.length)} / ${Math.max(1, Math.min(rows.length, columns.length * 3))}`;
  const frame = h('div', { class: 'matrix-cells' }, canvas, ...clusterFrames(data.clusters));
  const at = (event: PointerEvent | MouseEvent): { row: number; column: number } => ({
    row: Math.min(rows.length - 1, Math.max(0, Math.floor((event.offsetY / canvas.clientHeight) * rows.length))),
    column: Math.min(columns.length - 1, Math.max(0, Math.floor((event.offsetX / canvas.clientWidth) * columns.length))),
  });
  canvas.addEventListener('pointermove', (event) => {
    const { row, column } = at(event);
    tooltip.show(event.clientX, event.clientY, '', [
      { label: rowTitle, value: rows[row] ?? '' },
      { label: columnTitle, value: columns[column] ?? '' },
      { label: valueTitle, value: formatNumber(values[row * columns.length + column]!) },
    ]);
  });
  canvas.addEventListener('pointerleave', () => tooltip.hide());
  canvas.addEventListener('click', (event) => {
    const [particle] = rowsOfParticles(layers, [rows[at(event).row] ?? '']);
    if (particle !== undefined) chosen(particle);
  });
  const legend = new Legend();
  legend.show({ title: valueTitle, unit: '', scale, domain, missing: 0 }, theme);
  return h(
    'div',
    { class: 'matrix-frame' },
    h('div', { class: 'matrix-title' }, `${columnTitle} →`),
    h('div', { class: 'matrix-line' }, h('div', { class: 'matrix-side' }, `${rowTitle} →`), frame),
    legend.element,
  );
}

/** Outlines around clusters of more than one row, on the diagonal. */
function clusterFrames(clusters: Int32Array | undefined): HTMLElement[] {
  if (!clusters) return [];
  const frames: HTMLElement[] = [];
  for (let from = 0; from < clusters.length; ) {
    let to = from + 1;
    while (to < clusters.length && clusters[to] === clusters[from]) to++;
    if (to - from > 1) {
      const frame = h('div', { class: 'matrix-cluster', title: strings.clusterOf(clusters[from]! + 1) });
      const share = (count: number) => `${(count / clusters.length) * 100}%`;
      Object.assign(frame.style, { left: share(from), top: share(from), width: share(to - from), height: share(to - from) });
      frames.push(frame);
    }
    from = to;
  }
  return frames;
}
