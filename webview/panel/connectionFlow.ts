import type { PairsData } from '../../src/core/behaviour/details/detailData';
import { layerIndexAt, particleName } from '../../src/core/charts/particleLayers';
import { strings } from '../shared/strings';
import type { DrawingContext } from './detailDrawing';

/** The strongest pairs between two layers as bands from left to right, as wide as they are strong; null within one layer. */
export function connectionFlow({ one, two, values }: PairsData, { layers, selected, chosen, tooltip }: DrawingContext): HTMLElement | null {
  const count = Math.min(values.length, mostLines);
  if (count === 0) return null;
  const [from, to] = [layers[layerIndexAt(layers, one[0]!)], layers[layerIndexAt(layers, two[0]!)]];
  if (!from || !to || from === to) return null;
  const sides = [one, two].map((rows) => [...new Set(rows.subarray(0, count))].sort((a, b) => a - b));
  const height = Math.max(...sides.map((rows) => rows.length)) * 18 + 8;
  const place = (side: 0 | 1, row: number) => ((sides[side]!.indexOf(row) + 0.5) / sides[side]!.length) * height;
  const largest = Math.max(1e-30, ...Array.from(values.subarray(0, count), Math.abs));
  const root = svg('svg', { viewBox: `0 0 ${width} ${height}`, class: 'flow', role: 'img', 'aria-label': strings.flowTitle(from.name, to.name) });
  for (let i = count - 1; i >= 0; i--) {
    const [y1, y2] = [place(0, one[i]!), place(1, two[i]!)];
    const band = svg('path', {
      d: `M${margin},${y1} C${width / 2},${y1} ${width / 2},${y2} ${width - margin},${y2}`,
      class: selected.has(one[i]!) || selected.has(two[i]!) ? 'flow-band selected' : 'flow-band',
      'stroke-width': Math.max(0.5, (Math.abs(values[i]!) / largest) * 9),
    });
    root.append(band);
  }
  sides.forEach((rows, side) => rows.forEach((row) => {
    const layer = side === 0 ? from : to;
    const text = svg('text', { x: side === 0 ? margin - 6 : width - margin + 6, y: place(side as 0 | 1, row) + 4, class: 'flow-end', 'text-anchor': side === 0 ? 'end' : 'start' });
    text.textContent = `${layer.kind}:${row - layer.firstRow}`;
    text.addEventListener('click', () => chosen(row));
    text.addEventListener('pointermove', (event) => tooltip.show((event as PointerEvent).clientX, (event as PointerEvent).clientY, particleName(layers, row), []));
    text.addEventListener('pointerleave', () => tooltip.hide());
    root.append(text);
  }));
  return root as unknown as HTMLElement;
}

const width = 420;
const margin = 84;
/** More bands than this lie over each other. */
const mostLines = 40;

function svg(tag: string, attributes: Readonly<Record<string, string | number>>): SVGElement {
  const element = document.createElementNS('http://www.w3.org/2000/svg', tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, String(value));
  return element;
}
