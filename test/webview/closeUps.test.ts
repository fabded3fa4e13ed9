import assert from 'node:assert';
import type { Page } from 'playwright-core';
import type { DetailResult, MutedPrediction } from '../../src/compute/protocol';
import { digitsCloseUps } from './support/digitsCloseUps';
import { digitsModel } from './support/digitsModel';
import { Pages, screenshot, type OpenedPage } from './support/pages';

describe('close-ups of layers and particles in a real browser', function () {
  this.timeout(60_000);
  const model = digitsModel();
  let pages: Pages;
  let answers: Record<string, Record<string, unknown>>;
  let opened: OpenedPage[] = [];

  before(async () => {
    answers = await digitsCloseUps([{ layer: 'conv2', particle: 3 }], [[19], [19, 20]]);
    pages = await Pages.start();
  });
  after(() => pages?.stop());
  afterEach(async () => {
    const problems = opened.map(({ problems }) => problems);
    await Promise.all(opened.map(({ page }) => page.context().close()));
    opened = [];
    for (const { consoleErrors, pageErrors } of problems) assert.deepStrictEqual([...consoleErrors, ...pageErrors], []);
  });

  async function open(view: Record<string, unknown>, options: Parameters<Pages['panel']>[1] & { recipe?: boolean } = {}): Promise<Page> {
    const { snapshot, weights, activations, behaviour } = model;
    const { recipe = true, ...rest } = options;
    const shown = { ...snapshot, columns: [...snapshot.columns, ...behaviour], ...(recipe ? {} : { recipe: undefined }) };
    const result = await pages.panel({ snapshot: shown, weights, activations, answers, state: { path: snapshot.summary.path, view } }, { height: 1400, ...rest });
    opened.push(result);
    return result.page;
  }
  const data = (name: string) => (answers.detail![`conv2 ${name}`] as DetailResult).data;

  it('every detail of a particle is drawn, with what it says and where its numbers come from', async () => {
    const infos = answers.details!.conv2 as { name: string; of: string; title: string }[];
    const mine = infos.filter(({ of }) => of === 'particle');
    assert.ok(mine.length >= 4);
    const page = await open({ detail: 'particle', particle: 19, layer: 'conv2', openDetails: mine.map(({ name }) => name) });
    for (const { name } of mine) {
      const body = page.locator(`[data-detail=${name}] .close-up-body`);
      await body.locator(':is(.chart svg, .pictures, .matrix, .pairs)').first().waitFor();
      assert.match((await body.textContent()) ?? '', /360 samples|Computed from the weights/, name);
    }
    const top = data('topSamples');
    assert.ok(top.kind === 'samples');
    assert.strictEqual(await page.locator('[data-detail=topSamples] .picture-item').count(), top.samples.length);
    await page.locator('[data-detail=topSamples] .picture-item').nth(1).click();
    await page.waitForFunction((wanted) => window.fakeHost.received.some(({ method, params }) => method === 'activations' && (params as { sample: number }).sample === wanted), top.samples[1]!.index);
    await screenshot(page, 'close-ups-particle');
  });

  it('connections are bands and links that lead to the particle', async () => {
    const page = await open({ detail: 'layer', layer: 'conv2', openDetails: ['strongestConnections', 'connectionMatrix', 'componentMap'] });
    const pairs = data('strongestConnections');
    assert.ok(pairs.kind === 'pairs');
    await page.locator('.flow-band').first().waitFor();
    assert.strictEqual(await page.locator('.pairs tr').count(), Math.min(20, pairs.values.length));
    await page.locator('.matrix').waitFor();
    await page.locator('[data-detail=componentMap] svg').waitFor();
    await screenshot(page, 'close-ups-layer');
    await page.locator('.pairs tr').first().locator('.link').first().click();
    await page.waitForSelector(`.particle-view h2:text("conv2/kernel:${pairs.one[0]! - 16}")`);
  });

  it('without a recipe details of weights are drawn, others say what they need', async () => {
    const page = await open({ detail: 'layer', layer: 'conv2', openDetails: ['singularValues', 'connectionMatrix'] }, { recipe: false });
    await page.locator('[data-detail=singularValues] svg').waitFor();
    assert.match((await page.textContent('[data-detail=connectionMatrix]')) ?? '', /Choose a recipe/);
  });

  it('says in words what is known of a particle', async () => {
    const page = await open({ detail: 'particle', particle: 19, layer: 'conv2' });
    await page.waitForSelector('.words');
    const column = model.behaviour.find(({ name }) => name === 'ablationLossChange')!;
    const mine = column.values.slice(16, 48);
    const place = 1 + mine.filter((value) => value > mine[3]!).length;
    assert.match((await page.textContent('.words')) ?? '', new RegExp(`Without it the loss grows by .*number ${place} of 32 by importance`));
  });

  it('muting shows what the model then says, adds up, and survives a reload', async () => {
    const page = await open({ detail: 'particle', particle: 19, layer: 'conv2' });
    await page.getByRole('button', { name: 'Mute', exact: true }).click();
    await page.waitForSelector('.muting .bar-fill.second');
    const one = answers.mutedPrediction!['19'] as MutedPrediction;
    const best = one.scores.indexOf(Math.max(...one.scores));
    assert.match((await page.textContent('.muting .answer')) ?? '', new RegExp(`says ${one.classes[best]}: .*%`));
    const widths = await page.locator('.muting .bar').first().locator('.bar-fill').evaluateAll((bars) => bars.map((bar) => Number.parseFloat((bar as HTMLElement).style.width)));
    assert.ok(Math.abs(widths[0]! - one.scores[best]! * 100) < 0.1 && Math.abs(widths[1]! - one.muted[best]! * 100) < 0.1, String(widths));
    await screenshot(page, 'muting');
    const state = await page.evaluate(() => window.fakeHost.state as { view: { muted: string[] } });
    assert.deepStrictEqual(state.view.muted, ['conv2/kernel:3']);
    const again = await open({ ...state.view, particle: 20 });
    await again.getByRole('button', { name: 'Unmute conv2/kernel:3' }).waitFor();
    await again.getByRole('button', { name: 'Mute', exact: true }).click();
    await again.getByRole('button', { name: 'Unmute all' }).waitFor();
    const rows = await again.evaluate(() => window.fakeHost.received.filter(({ method }) => method === 'mutedPrediction').map(({ params }) => (params as { rows: number[] }).rows));
    assert.deepStrictEqual(rows, [[19], [19, 20]]);
  });

  it('speaks Simplified Chinese', async () => {
    const page = await open({ detail: 'particle', particle: 19, layer: 'conv2' }, { language: 'zh-cn' });
    await page.getByRole('button', { name: '静音' }).waitFor();
    assert.match((await page.textContent('.words')) ?? '', /没有它，损失增加/);
    assert.match((await page.textContent('.overview .legend')) ?? '', /L2 范数/);
    await screenshot(page, 'close-ups-chinese');
  });
});
