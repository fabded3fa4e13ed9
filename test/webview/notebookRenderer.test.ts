import assert from 'node:assert';
import { readFileSync } from 'node:fs';
import path from 'node:path';
import type { Page } from 'playwright-core';
import { Pages, screenshot, type OpenedPage } from './support/pages';
import { cellBlobs } from './support/pixels';

const sample = path.resolve(__dirname, '../../media/samples/digits/digits.ipynb');
const mime = 'application/vnd.particlize.v1+json';

interface Notebook {
  readonly cells: readonly { readonly outputs?: readonly { readonly data?: Readonly<Record<string, unknown>> }[] }[];
}

describe('notebook renderer in a real browser', function () {
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

  async function draw(payload: unknown, theme?: 'light' | 'dark' | 'highContrast'): Promise<Page> {
    const result = await pages.output(payload, theme ? { theme } : {});
    opened.push(result);
    return result.page;
  }

  const column = { name: 'l2', title: 'L2 norm', unit: '' };
  const layers = [
    { name: 'conv1', kind: 'kernel', count: 3 },
    { name: 'dense1', kind: 'neuron', count: 2 },
  ];

  it('draws every output of the sample notebook', async () => {
    const notebook = JSON.parse(readFileSync(sample, 'utf8')) as Notebook;
    const outputs = notebook.cells.flatMap((cell) => (cell.outputs ?? []).flatMap(({ data }) => (data?.[mime] ? [data[mime]] : [])));
    assert.ok(outputs.length >= 3, `${outputs.length} outputs`);
    for (const output of outputs) {
      const { kind, layers: its, shape } = output as { kind: string; layers?: { count: number }[]; shape?: number[] };
      const page = await draw(output);
      if (kind === 'heatmap') {
        await page.waitForSelector('.heatmap-canvas');
        assert.strictEqual(await cellBlobs(page), its!.reduce((sum, layer) => sum + layer.count, 0));
      } else {
        assert.strictEqual(kind, 'kernels');
        await page.waitForSelector('.picture');
        assert.strictEqual(await page.locator('.picture').count(), shape![0]);
        // A picture a kernel, one pixel a weight.
        assert.deepStrictEqual(await page.locator('.picture').first().evaluate((canvas: HTMLCanvasElement) => [canvas.width, canvas.height]), [3, 3]);
      }
      assert.strictEqual(await page.locator('[role=alert]').count(), 0);
    }
  });

  for (const theme of ['light', 'dark', 'highContrast'] as const) {
    it(`draws heatmap and kernels in ${theme}`, async () => {
      const page = await draw({ version: 1, kind: 'heatmap', title: 'L2 norm of every particle', layers, column, values: [0, 0.5, 1, null, 0.2] }, theme);
      await page.waitForSelector('.heatmap-canvas');
      assert.match((await page.textContent('.legend')) ?? '', /L2 norm.*0.*1.*1 without a value/s);
      await screenshot(page, `notebook-heatmap-${theme}`);
      const values = Array.from({ length: 16 * 9 }, (_, i) => Math.sin(i));
      const kernels = await draw({ version: 1, kind: 'kernels', title: 'conv1 kernels', layer: 'conv1', shape: [16, 1, 3, 3], values }, theme);
      await kernels.waitForSelector('.picture');
      assert.strictEqual(await kernels.locator('.picture').count(), 16);
      await screenshot(kernels, `notebook-kernels-${theme}`);
    });
  }

  it('draws a distribution with Vega under the content security policy', async () => {
    const page = await draw({ version: 1, kind: 'distribution', title: 'L2 norm', layers, column, values: [0, 0.5, 1, 0.4, 0.2] });
    await page.waitForSelector('svg .mark-rect path');
    assert.ok((await page.locator('svg .mark-rect path').count()) >= 3);
    await screenshot(page, 'notebook-distribution');
  });

  it('draws a scatter: one point a particle that has both values', async () => {
    const y = { column: { name: 'loss', title: 'Loss without it', unit: '' }, values: [0, 0.1, 0.2, null, 0.1] };
    const page = await draw({ version: 1, kind: 'scatter', title: 'Norm and loss', layers, x: { column, values: [0, 0.5, 1, 0.4, 0.2] }, y });
    await page.waitForSelector('svg .mark-symbol path');
    assert.strictEqual(await page.locator('svg .plot .mark-symbol path, svg .role-mark.mark-symbol path').count(), 4);
    assert.match((await page.textContent('.chart-note')) ?? '', /1 particle lacks a value/);
    await screenshot(page, 'notebook-scatter');
  });

  const bad: [string, unknown, RegExp][] = [
    ['no JSON', '{"version": 1,', /not valid JSON/],
    ['another version', { version: 2, kind: 'heatmap' }, /version 2.*Update Particlize/],
    ['an unknown kind', { version: 1, kind: 'pie' }, /kind "pie"; heatmap, kernels/],
    ['too few values', { version: 1, kind: 'heatmap', layers, column, values: [1] }, /1 values for 5 particles/],
    ['text among numbers', { version: 1, kind: 'heatmap', layers, column, values: [1, 2, '<b>', 4, 5] }, /"<b>" in values\[2\], which is not a number/],
    ['a shape that does not fit', { version: 1, kind: 'kernels', shape: [16, 1, 3, 3], values: [1, 2] }, /2 values, but its shape \[16,1,3,3\] holds 144/],
    ['a shape of nothing', { version: 1, kind: 'kernels', shape: [1e9, -1], values: [] }, /whole numbers above zero/],
    ['a list', [1, 2], /needs an object/],
  ];
  for (const [name, payload, message] of bad) {
    it(`says in one sentence what is wrong: ${name}`, async () => {
      const page = await draw(payload);
      assert.match((await page.textContent('[role=alert]')) ?? '', message);
      assert.strictEqual(await page.locator('canvas, svg, b').count(), 0);
    });
  }

  it('cleans up when the output goes', async () => {
    const page = await draw({ version: 1, kind: 'heatmap', title: 'x', layers, column, values: [0, 0.5, 1, 0.4, 0.2] });
    await page.waitForSelector('.heatmap');
    await page.evaluate(() => window.renderer.dispose('1'));
    assert.strictEqual(await page.locator('.heatmap, .tooltip').count(), 0);
  });

  it('follows a change of theme', async () => {
    const page = await draw({ version: 1, kind: 'kernels', title: 'x', layer: 'a', shape: [1, 1, 1, 2], values: [-1, 1] });
    const picture = page.locator('.picture');
    await picture.waitFor();
    const before = await picture.evaluate((canvas: HTMLCanvasElement) => canvas.toDataURL());
    await page.evaluate(() => (document.body.className = 'vscode-dark'));
    await page.waitForFunction((old) => document.querySelector<HTMLCanvasElement>('.picture')!.toDataURL() !== old, before);
  });
});
