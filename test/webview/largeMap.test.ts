import assert from 'node:assert';
import type { Page } from 'playwright-core';
import { cellOf, layOut } from '../../webview/shared/heatmap/layout';
import { digitsModel } from './support/digitsModel';
import { largeModel } from './support/largeModel';
import { Pages, screenshot, type OpenedPage } from './support/pages';

const cells = 1_000_000;

describe('the map of a large model in a real browser', function () {
  this.timeout(60_000);
  let pages: Pages;
  let opened: OpenedPage[] = [];

  before(async () => {
    pages = await Pages.start();
  });
  after(() => pages?.stop());
  afterEach(async () => {
    const problems = opened.map(({ problems }) => problems);
    await Promise.all(opened.map(({ page }) => page.context().close()));
    opened = [];
    for (const { consoleErrors, pageErrors } of problems) assert.deepStrictEqual([...consoleErrors, ...pageErrors], []);
  });

  async function open(snapshot = largeModel(cells, 20)): Promise<Page> {
    const { weights, activations } = digitsModel();
    const result = await pages.panel({ snapshot, weights, activations });
    opened.push(result);
    await result.page.waitForSelector('.heatmap-label');
    return result.page;
  }
  const asked = (page: Page) => page.evaluate(() => window.fakeHost.received.filter(({ method }) => method === 'values').map(({ params }) => params as { column: string; from: number; to: number }));

  it('values come by ranges, of the columns that are looked at only', async () => {
    const page = await open();
    await page.waitForFunction(() => /, L2 norm 0/.test(document.querySelector('[role=gridcell]')?.textContent ?? ''));
    await page.waitForTimeout(400);
    const first = await asked(page);
    assert.deepStrictEqual([...new Set(first.filter(({ from, to }) => to - from > 40_000).map(({ column }) => column))], ['l2']);
    const whole = first.filter(({ column }) => column === 'l2').sort((a, b) => a.from - b.from);
    assert.ok(whole.length > 2);
    assert.strictEqual(whole[0]!.from, 0);
    whole.slice(1).forEach(({ from }, i) => assert.strictEqual(from, whole[i]!.to, 'a range is missing, or was asked for twice'));
    assert.strictEqual(whole[whole.length - 1]!.to, cells);
    await page.getByLabel('Search particles').fill('l1>0.5');
    await page.waitForFunction(() => /^[1-9]/.test(document.querySelector('.search-count')?.textContent ?? ''));
    assert.ok((await asked(page)).some(({ column }) => column === 'l1'));
  });

  it('all cells come into sight, averaged, and what is selected shows', async () => {
    const page = await open();
    await page.waitForTimeout(600);
    await page.locator('.heatmap-grid').focus();
    await page.keyboard.press('9');
    await page.waitForTimeout(300);
    assert.ok(Number(await page.getAttribute('.heatmap-grid', 'data-density')) >= 3);
    await page.waitForSelector('.heatmap-label:has-text("block4.dense3")');
    const colours = () => page.locator('.heatmap-canvas').evaluate((canvas: HTMLCanvasElement) => {
      const { data } = canvas.getContext('2d')!.getImageData(0, 0, canvas.width, canvas.height);
      let coloured = 0;
      let light = 0;
      for (let i = 0; i < data.length; i += 4) {
        if (data[i + 3]! > 200 && Math.max(data[i]!, data[i + 1]!, data[i + 2]!) - Math.min(data[i]!, data[i + 1]!, data[i + 2]!) > 25) coloured++;
        if (Math.min(data[i]!, data[i + 1]!, data[i + 2]!) > 120) light++;
      }
      return { coloured: coloured / (data.length / 4), light: light / (data.length / 4) };
    });
    const before = await colours();
    assert.ok(before.coloured > 0.2, `only ${before.coloured} of the map is coloured`);
    await screenshot(page, 'map-million');
    await page.keyboard.press('Control+a');
    await page.waitForTimeout(600);
    assert.ok((await colours()).light > before.light + 0.2, 'a selection of everything is not to be seen');
    assert.strictEqual(await page.evaluate(() => (window.fakeHost.received.filter(({ method }) => method === 'select').pop()?.params as { rows: number[] }).rows.length), cells);
    await page.keyboard.press('0');
    assert.strictEqual(await page.getAttribute('.heatmap-grid', 'data-density'), '0');
  });

  it('a line drawn around cells selects those inside', async () => {
    const { snapshot } = digitsModel();
    const page = await open(snapshot);
    await page.waitForTimeout(200);
    const box = (await page.locator('.heatmap-canvas').boundingBox())!;
    const layers = snapshot.summary.layers.flatMap(({ name, particles }) => (particles ? [{ name, ...particles }] : []));
    const layout = layOut(layers, box.width);
    const at = (row: number, x: number, y: number): [number, number] => {
      const cell = cellOf(layout, row)!;
      return [box.x + cell.left + cell.width * x, box.y + cell.top + cell.height * y];
    };
    await page.getByRole('button', { name: /Draw a line/ }).click({ force: true });
    // Around dense1's first cells of its first line, and only the second of its second line.
    const columns = layout.blocks[2]!.columns;
    await page.mouse.move(...at(48, 0.1, 0.1));
    await page.mouse.down();
    for (const [row, x, y] of [[50, 0.9, 0.1], [50, 0.9, 0.9], [48 + columns + 1, 0.95, 0.2], [48 + columns + 1, 0.95, 0.95], [48 + columns + 1, 0.05, 0.95], [48 + columns + 1, 0.05, 0.2], [48, 0.1, 0.9]] as const) {
      await page.mouse.move(...at(row, x, y), { steps: 3 });
    }
    await page.mouse.up();
    const rows = await page.evaluate(() => (window.fakeHost.received.filter(({ method }) => method === 'select').pop()?.params as { rows: number[] }).rows);
    assert.deepStrictEqual(rows, [48, 49, 50, 48 + columns + 1]);
  });

  it('a folded module leaves the map, by keyboard too', async () => {
    const page = await open(largeModel(2000, 8));
    await page.getByText('Modules').click();
    const tree = page.getByRole('tree');
    assert.deepStrictEqual(await tree.getByRole('treeitem', { expanded: true }).evaluateAll((items) => items.map((item) => (item as HTMLElement).dataset.path)), ['block0', 'block1']);
    await tree.locator('[data-path=block0]').focus();
    await page.keyboard.press('ArrowLeft');
    await page.waitForFunction(() => document.querySelector('.heatmap-grid')!.getAttribute('aria-rowcount') === '4');
    assert.strictEqual(await tree.getByRole('treeitem').count(), 6);
    assert.strictEqual(await page.evaluate(() => (document.activeElement as HTMLElement).dataset.path), 'block0');
    await page.keyboard.press('ArrowRight');
    await page.waitForFunction(() => document.querySelector('.heatmap-grid')!.getAttribute('aria-rowcount') === '8');
  });
});
