import assert from 'node:assert';
import { clamped, panned, revealing, zoomed } from '../../webview/shared/heatmap/camera';
import { cellOf, layOut, moved, rowAt, rowsIn } from '../../webview/shared/heatmap/layout';

const layers = [
  { name: 'conv1', kind: 'kernel', count: 20, firstRow: 0 },
  { name: 'dense1', kind: 'neuron', count: 45, firstRow: 20 },
  { name: 'dense2', kind: 'neuron', count: 3, firstRow: 65 },
] as const;

describe('heatmap layout', () => {
  const layout = layOut(layers, 400);
  const rows = Array.from({ length: 68 }, (_, row) => row);

  it('every row has a cell of its own, inside the width, and is found at its place', () => {
    const places = new Set<string>();
    for (const row of rows) {
      const cell = cellOf(layout, row)!;
      places.add(`${cell.left} ${cell.top}`);
      assert.ok(cell.left >= 0 && cell.left + cell.width <= 400 && cell.top + cell.height <= layout.height);
      assert.strictEqual(rowAt(layout, cell.left + cell.width / 2, cell.top + cell.height / 2), row);
    }
    assert.strictEqual(places.size, rows.length);
    assert.strictEqual(cellOf(layout, 68), undefined);
  });

  it('between cells there is no row', () => {
    assert.strictEqual(rowAt(layout, 5, layout.blocks[1]!.top + 3), undefined);
    assert.strictEqual(rowAt(layout, 399, layout.height - 2), undefined);
    assert.strictEqual(rowAt(layout, 5, -4), undefined);
  });

  it('a rectangle over everything holds every row, one over nothing none', () => {
    assert.deepStrictEqual(rowsIn(layout, { left: 0, top: 0, width: 400, height: layout.height }), rows);
    assert.deepStrictEqual(rowsIn(layout, { left: 0, top: 0, width: 400, height: 10 }), []);
  });

  it('arrows walk through all cells and stop at the ends', () => {
    let row = 0;
    for (const expected of [...rows.slice(1), 67]) assert.strictEqual((row = moved(layout, row, 'right')), expected);
    for (const expected of [...rows.slice(0, -1).reverse(), 0]) assert.strictEqual((row = moved(layout, row, 'left')), expected);
    const { columns } = layout.blocks[1]!;
    assert.strictEqual(moved(layout, 20, 'down'), 20 + columns);
    assert.strictEqual(moved(layout, 20, 'up'), moved(layout, 0, 'down') === 20 ? 0 : Math.floor(19 / columns) * columns);
    assert.strictEqual(moved(layout, 64, 'down'), 65 + Math.min(2, 44 % columns));
    assert.strictEqual(moved(layout, 30, 'end'), 64);
    assert.strictEqual(moved(layout, 30, 'nextLayer'), 65);
    assert.strictEqual(moved(layout, 30, 'previousLayer'), 0);
  });

  it('zooming keeps the point under the pointer, and cannot leave the map', () => {
    const view = { width: 400, height: 100 };
    const camera = zoomed({ scale: 1, left: 0, top: 0 }, 2, 100, 50, layout, view);
    assert.deepStrictEqual([(camera.left + 100) / 2, (camera.top + 50) / 2], [100, 50]);
    assert.deepStrictEqual(zoomed(camera, 0.01, 10, 10, layout, view).scale, 1);
    const far = panned(camera, 1e6, 1e6, layout, view);
    assert.deepStrictEqual([far.left, far.top], [400, layout.height * 2 - 100]);
    assert.deepStrictEqual(clamped({ scale: 1, left: 9, top: -9 }, layout, view), { scale: 1, left: 0, top: 0 });
    const cell = cellOf(layout, 66)!;
    const seen = revealing({ scale: 1, left: 0, top: 0 }, cell, layout, view);
    assert.ok(cell.top >= seen.top && cell.top + cell.height <= seen.top + view.height);
  });

  it('a million particles are laid out without a list of cells', () => {
    const huge = layOut([{ name: 'a', kind: 'neuron', count: 1_000_000, firstRow: 0 }], 800);
    assert.strictEqual(rowAt(huge, 1, cellOf(huge, 999_800)!.top + 1), Math.floor(999_800 / huge.blocks[0]!.columns) * huge.blocks[0]!.columns);
  });
});
