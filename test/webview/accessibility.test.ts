import assert from 'node:assert';
import { source as axe, type run } from 'axe-core';
import type { Page } from 'playwright-core';
import type { DetailResult } from '../../src/compute/protocol';
import { digitsCloseUps } from './support/digitsCloseUps';
import { digitsModel } from './support/digitsModel';
import { Pages, screenshot } from './support/pages';

describe('accessibility and linked plots of the panel in a real browser', function () {
  this.timeout(90_000);
  const model = digitsModel();
  let pages: Pages;
  let answers: Record<string, Record<string, unknown>>;

  before(async () => {
    answers = await digitsCloseUps([{ layer: 'conv2', particle: 3 }], [[19]]);
    pages = await Pages.start();
  });
  after(() => pages?.stop());

  async function open(view: Record<string, unknown>, theme: 'light' | 'dark' | 'highContrast'): Promise<Page> {
    const { snapshot, weights, activations, behaviour, suggestions } = model;
    const shown = { ...snapshot, columns: [...snapshot.columns, ...behaviour], suggestions };
    const { page, problems } = await pages.panel({ snapshot: shown, weights, activations, answers, state: { path: snapshot.summary.path, view } }, { theme });
    page.on('close', () => assert.deepStrictEqual([...problems.consoleErrors, ...problems.pageErrors], []));
    await page.waitForSelector('.overview .chart svg');
    return page;
  }

  /** What axe-core calls serious or critical: rule, and the elements it found. */
  async function violations(page: Page): Promise<string[]> {
    await page.evaluate(axe);
    return page.evaluate(async () => {
      const { axe } = window as unknown as { axe: { run: typeof run } };
      const { violations } = await axe.run(document, { resultTypes: ['violations'] });
      return violations.filter(({ impact }) => impact === 'serious' || impact === 'critical').map(({ id, nodes }) => `${id}: ${nodes.slice(0, 3).map(({ html }) => html.slice(0, 160)).join(' | ')}`);
    });
  }

  for (const theme of ['light', 'dark', 'highContrast'] as const) {
    it(`axe finds no serious violation in ${theme}`, async () => {
      const page = await open({ detail: 'particle', particle: 19, layer: 'conv2', muted: ['conv2/kernel:3'], openDetails: ['topSamples', 'responseByClass'] }, theme);
      await page.waitForSelector('.muting .bar-fill.second');
      assert.deepStrictEqual(await violations(page), []);
      await page.getByRole('tab', { name: 'Layer' }).click();
      await page.waitForSelector('.pair-cell canvas');
      assert.deepStrictEqual(await violations(page), []);
      await page.context().close();
    });
  }

  it('dragging over points of the pair plot selects them in the map; similar kernels stand together', async () => {
    const page = await open({ detail: 'layer', layer: 'conv2', pairColumns: ['l1', 'l2'], openDetails: ['similarityMatrix'] }, 'dark');
    const canvas = page.locator('.pair-cell canvas');
    await canvas.scrollIntoViewIfNeeded();
    const box = (await canvas.boundingBox())!;
    const column = (name: string) => model.snapshot.columns.find((candidate) => candidate.name === name)!.values.slice(16, 48);
    const [l1, l2] = [column('l1'), column('l2')];
    const upper = (values: Float32Array) => (Math.min(...values) + Math.max(...values)) / 2;
    // The upper right quarter: kernels beyond the middle of both ranges.
    const expected = Array.from({ length: 32 }, (_, i) => i).filter((i) => l1[i]! >= upper(l1) && l2[i]! >= upper(l2)).map((i) => 16 + i);
    assert.ok(expected.length > 2 && expected.length < 30);
    await page.mouse.move(box.x + box.width / 2, box.y + box.height / 2);
    await page.mouse.down();
    await page.mouse.move(box.x + box.width - 1, box.y + 1, { steps: 4 });
    await page.mouse.up();
    const rows = await page.evaluate(() => (window.fakeHost.received.filter(({ method }) => method === 'select').pop()?.params as { rows: number[] }).rows);
    assert.deepStrictEqual(rows, expected);
    await page.waitForSelector('.heatmap-status:has-text("selected")');
    const { data } = answers.detail!['conv2 similarityMatrix'] as DetailResult;
    assert.ok(data.kind === 'matrix' && data.clusters);
    await page.locator('.matrix-cells canvas').waitFor();
    await screenshot(page, 'pair-plot');
    await page.context().close();
  });
});
