import assert from 'node:assert';
import type { Page } from 'playwright-core';
import type { PanelEvent, PanelRequest } from '../../src/compute/panelProtocol';
import { cellOf, layOut } from '../../webview/shared/heatmap/layout';
import type { FakeData } from './support/fakeHost';
import { digitsLayers, digitsModel, particleCount } from './support/digitsModel';
import { packed, Pages, screenshot, type OpenedPage } from './support/pages';
import { cellBlobs, cellColour } from './support/pixels';

describe('panel in a real browser', function () {
  this.timeout(60_000);
  const model = digitsModel();
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
    // Content security violations are console errors: the panel needs neither unsafe-inline nor unsafe-eval.
    for (const { consoleErrors, pageErrors } of problems) assert.deepStrictEqual([...consoleErrors, ...pageErrors], []);
  });

  async function open(data: Partial<FakeData> = {}, options: Parameters<Pages['panel']>[1] = {}): Promise<Page> {
    const { snapshot, weights, activations } = model;
    const result = await pages.panel({ snapshot, weights, activations, ...data }, options);
    opened.push(result);
    return result.page;
  }
  const withBehaviour = () => ({ ...model.snapshot, columns: [...model.snapshot.columns, ...model.behaviour] });

  it('draws one cell a particle, coloured by its value', async () => {
    const page = await open();
    await drawn(page);
    const blobs = await cellBlobs(page);
    assert.strictEqual(blobs, particleCount);
    assert.strictEqual(await page.getAttribute('.heatmap-grid', 'aria-rowcount'), String(digitsLayers.length));
    // Rows 1 (a dead kernel) and 11 (the largest of conv1) have very different norms, 0 and 1 hardly differ.
    const [dead, alsoDead, largest] = [await cellColour(page, 1), await cellColour(page, 0), await cellColour(page, 11)];
    assert.deepStrictEqual(dead, alsoDead);
    assert.ok(distance(dead, largest) > 120, `${dead} and ${largest} look alike`);
  });

  it('another column recolours the map and says where its numbers come from', async () => {
    const page = await open({ snapshot: withBehaviour() });
    await drawn(page);
    const before = await cellColour(page, 113);
    await page.getByLabel('Colour by').selectOption('ablationLossChange');
    await page.waitForTimeout(100);
    const after = await cellColour(page, 113);
    assert.ok(distance(before, after) > 60, `${before} stayed ${after}`);
    const meaning = await page.textContent('.meaning');
    assert.match(meaning ?? '', /Change of the loss.*digits\.particlize\.json.*360 samples.*ONNX Runtime.*exact/s);
  });

  it('columns that arrive later join the picker', async () => {
    const page = await open();
    await drawn(page);
    assert.deepStrictEqual(await groups(page), ['From the weights']);
    assert.strictEqual(await page.getByLabel('Colour by').locator('option').count(), 4, 'the twin is no colour');
    await push(page, { kind: 'columns', columns: model.behaviour });
    await page.waitForFunction(() => document.querySelectorAll('.overview optgroup').length === 2);
    assert.deepStrictEqual(await groups(page), ['From the weights', 'From running the model']);
  });

  it('a click selects and tells the host, shift extends, Ctrl toggles', async () => {
    const page = await open();
    await drawn(page);
    await clickRow(page, 18);
    assert.deepStrictEqual(await lastSelection(page), [18]);
    await page.waitForSelector('.particle-view h2:text("conv2/kernel:2")');
    await clickRow(page, 21, ['Shift']);
    assert.deepStrictEqual(await lastSelection(page), [18, 19, 20, 21]);
    await clickRow(page, 19, ['Control']);
    assert.deepStrictEqual(await lastSelection(page), [18, 20, 21]);
    assert.match((await page.textContent('.particle-view')) ?? '', /3 particles selected/);
  });

  it('dragging selects a rectangle', async () => {
    const page = await open();
    await drawn(page);
    const [from, to] = [await centre(page, 2), await centre(page, 5)];
    await page.mouse.move(from.x, from.y);
    await page.mouse.down();
    await page.mouse.move(to.x, to.y, { steps: 4 });
    await page.mouse.up();
    assert.deepStrictEqual(await lastSelection(page), [2, 3, 4, 5]);
  });

  it('the keyboard moves a visible focus cell, selects, and reads out the particle', async () => {
    const page = await open();
    await drawn(page);
    await page.locator('.heatmap-grid').focus();
    for (const key of ['PageDown', 'ArrowRight', 'ArrowRight']) await page.keyboard.press(key);
    const cell = page.locator('[role=gridcell]');
    assert.match((await cell.textContent()) ?? '', /^conv2\/kernel:2, L2 norm 1\.1$/);
    assert.strictEqual(await page.locator('.heatmap-grid').getAttribute('aria-activedescendant'), await cell.getAttribute('id'));
    assert.match((await page.textContent('.heatmap-status')) ?? '', /conv2\/kernel:2/);
    assert.strictEqual(await cell.getAttribute('aria-selected'), 'false');
    await page.keyboard.press('Enter');
    assert.deepStrictEqual(await lastSelection(page), [18]);
    assert.strictEqual(await cell.getAttribute('aria-selected'), 'true');
    await page.keyboard.press('Shift+ArrowRight');
    assert.deepStrictEqual(await lastSelection(page), [18, 19]);
    await page.keyboard.press('Escape');
    assert.deepStrictEqual(await lastSelection(page), []);
  });

  it('zooms about the pointer and back', async () => {
    const page = await open();
    await drawn(page);
    await page.locator('.heatmap-grid').focus();
    const width = () => page.locator('[role=gridcell]').evaluate((cell: HTMLElement) => Number.parseFloat(cell.style.width));
    const before = await width();
    await page.keyboard.press('+');
    assert.ok((await width()) > before * 1.4);
    await page.keyboard.press('0');
    assert.strictEqual(await width(), before);
  });

  it('a search fades what it does not find, counts, and explains what it cannot read', async () => {
    const page = await open();
    await drawn(page);
    const before = await cellColour(page, 11);
    await page.getByLabel('Search particles').fill('conv2');
    await page.waitForTimeout(100);
    assert.match((await page.textContent('.search-result')) ?? '', /32 of 122/);
    assert.ok(distance(await cellColour(page, 11), before) > 60, 'conv1 did not fade');
    await page.keyboard.press('Enter');
    assert.deepStrictEqual((await lastSelection(page))?.length, 32);
    await page.getByLabel('Search particles').fill('nonsense<1');
    assert.match((await page.textContent('.search-result')) ?? '', /no column “nonsense”/);
    assert.deepStrictEqual(await cellColour(page, 11), before);
  });

  it('shows a layer: facts, kernels that can be chosen, charts, activation maps', async () => {
    const page = await open({ snapshot: withBehaviour() });
    await drawn(page);
    await page.locator('.heatmap-label', { hasText: 'conv2' }).click();
    await page.waitForSelector('.layer-view h2:text("conv2")');
    await page.waitForFunction(() => document.querySelectorAll('.layer-view .pictures').length === 2);
    assert.strictEqual(await page.locator('.layer-view .pictures').first().locator('button').count(), 32);
    assert.match((await page.textContent('.layer-view .facts')) ?? '', /Conv.*32 kernels.*N × 32 × 8 × 8.*4640.*pool/s);
    // Channel 0 of kernel 3 is not the mean of its 16 channels.
    const kernel = page.locator('.layer-view .pictures canvas').nth(3);
    const mean = await kernel.evaluate((canvas: HTMLCanvasElement) => canvas.toDataURL());
    await page.getByLabel('Input channel').selectOption({ label: 'Channel 0' });
    assert.notStrictEqual(await kernel.evaluate((canvas: HTMLCanvasElement) => canvas.toDataURL()), mean);
    // Charts: bars of the distribution add up; one point a particle.
    await page.waitForFunction(() => document.querySelectorAll('.layer-view .chart svg').length === 2);
    const points = await page.locator('.layer-view .chart').nth(1).locator('.mark-symbol path').count();
    assert.strictEqual(points, 32);
    const bars = await page.locator('.layer-view .chart').nth(0).locator('.mark-rect path').evaluateAll((paths) => paths.filter((path) => (path as SVGGraphicsElement).getBBox().height > 1 && (path as SVGGraphicsElement).getBBox().width > 1).length);
    assert.ok(bars >= 3, `only ${bars} bars have a size`);
    assert.match((await page.textContent('.prediction')) ?? '', /8.*91/s);
    await page.getByRole('button', { name: 'Go to definition' }).click();
    assert.deepStrictEqual((await requests(page, 'goToDefinition')).map(({ params }) => params), [{ layer: 'conv2' }]);
  });

  it('a click on a point of the scatter selects its particle', async () => {
    const page = await open({ snapshot: withBehaviour() });
    await page.waitForSelector('.layer-view .mark-symbol path');
    await page.locator('.layer-view .mark-symbol path').nth(11).click();
    assert.deepStrictEqual(await lastSelection(page), [11]);
    await page.waitForFunction(() => document.querySelector('.layer-view .picture-item[aria-pressed=true]')?.getAttribute('aria-label') === 'conv1/kernel:11');
  });

  it('suggestions say what they change, hatch the map, and are applied by the host', async () => {
    const page = await open({ snapshot: { ...withBehaviour(), suggestions: model.suggestions } });
    await drawn(page);
    await page.getByRole('tab', { name: 'Suggestions (2)' }).click();
    const lossless = page.locator('.suggestion').first();
    assert.match((await lossless.textContent()) ?? '', /Remove 25 particles.*Same outputs.*Accuracy±0\u202fpoints.*Loss±0Parameters−39\u202f%.*MACs−35\u202f%/s);
    assert.match((await page.locator('.suggestion').nth(1).textContent()) ?? '', /Accuracy−0\.56\u202fpoints.*Loss\+0\.0041/s);
    assert.match((await page.textContent('.refusals')) ?? '', /dense2.*outputs, one a class/s);
    const before = await cellColour(page, 0);
    await lossless.focus();
    await page.waitForTimeout(100);
    const wanted = model.suggestions.suggestions[0]!.particles.length;
    assert.strictEqual(await page.getAttribute('.heatmap-grid', 'data-hatched'), String(wanted));
    assert.ok(distance(await cellColour(page, 0), before) > 8, 'conv1/kernel:0 is not hatched');
    await lossless.getByRole('button', { name: 'Apply' }).click();
    await page.waitForSelector('.banner:has-text("digits.small.onnx")');
    assert.deepStrictEqual((await requests(page, 'applySuggestions')).map(({ params }) => params), [{ ids: ['remove:lossless'] }]);
  });

  it('passes the accepted drop on', async () => {
    const page = await open();
    await page.getByRole('tab', { name: 'Suggestions' }).click();
    await page.getByLabel('Accept a drop').fill('2.5');
    await page.getByLabel('Accept a drop').press('Tab');
    await page.locator('.drop').getByRole('button', { name: 'Suggest' }).click();
    assert.deepStrictEqual((await requests(page, 'suggest')).map(({ params }) => params), [{ maxDrop: 0.025 }]);
  });

  it('shows progress with time left, blocks a second run, cancels', async () => {
    const page = await open();
    await drawn(page);
    await page.getByRole('button', { name: 'Analyse behaviour' }).click();
    assert.strictEqual((await requests(page, 'runBehaviour')).length, 1);
    await push(page, { kind: 'running', running: { title: 'Analysing behaviour', done: 30, total: 120, message: 'conv2', remainingMs: 12_000 } });
    await page.waitForSelector('.progress-line:visible');
    assert.match((await page.textContent('.progress-line')) ?? '', /Analysing behaviour: conv2.*25\u202f%.*12 s left/s);
    assert.ok(await page.getByRole('button', { name: 'Analyse behaviour' }).isDisabled());
    await page.getByRole('button', { name: 'Cancel' }).click();
    assert.strictEqual((await requests(page, 'cancel')).length, 1);
    await push(page, { kind: 'running' });
    await page.waitForSelector('.progress', { state: 'hidden' });
    assert.ok(await page.getByRole('button', { name: 'Analyse behaviour' }).isEnabled());
  });

  it('without a recipe says what to do next', async () => {
    const page = await open({ snapshot: { ...model.snapshot, recipe: undefined } });
    await drawn(page);
    assert.match((await page.textContent('.hint')) ?? '', /^Choose a recipe to see behaviour/);
    assert.ok(await page.getByRole('button', { name: 'Analyse behaviour' }).isDisabled());
    await page.getByRole('button', { name: 'Choose recipe' }).click();
    assert.strictEqual((await requests(page, 'chooseRecipe')).length, 1);
    assert.strictEqual((await requests(page, 'activations')).length, 0);
  });

  it('errors are sentences with a way on', async () => {
    const page = await open();
    await drawn(page);
    await page.evaluate(() => {
      window.fakeHost.failing.weights = 'model.onnx: conv2: the file ends before the weights do.';
    });
    await page.locator('.heatmap-label', { hasText: 'conv2' }).click();
    const failure = page.locator('.failure');
    await failure.waitFor();
    assert.match((await failure.textContent()) ?? '', /the file ends before the weights do/);
    await page.evaluate(() => delete window.fakeHost.failing.weights);
    await failure.getByRole('button', { name: 'Try again' }).click();
    await page.waitForFunction(() => document.querySelectorAll('.layer-view .pictures button').length >= 32);
    await page.evaluate(() => {
      window.fakeHost.failing.suggest = 'digits.npz: labels: 12 is no class of this model.';
    });
    await page.getByRole('button', { name: 'Suggest', exact: true }).first().click();
    await page.waitForSelector('[role=alert]:has-text("12 is no class")');
    await page.getByRole('button', { name: 'Dismiss' }).click();
    assert.strictEqual(await page.locator('.banner').count(), 0);
  });

  it('a model that cannot be shown says so and can be tried again', async () => {
    const page = await open({ failing: { snapshot: 'model.onnx: the compute process ended. Reload the window.' } });
    await page.waitForSelector('h1:text("The model could not be shown")');
    assert.match((await page.textContent('.whole')) ?? '', /compute process ended/);
    await page.evaluate(() => delete window.fakeHost.failing.snapshot);
    await page.getByRole('button', { name: 'Try again' }).click();
    await drawn(page);
  });

  it('a model without particles says so', async () => {
    const summary = { ...model.snapshot.summary, layers: model.snapshot.summary.layers.slice(2, 4), particleCount: 0 };
    const page = await open({ snapshot: { ...model.snapshot, summary, columns: [] } });
    await page.waitForSelector('.overview .empty:visible');
    assert.match((await page.textContent('.overview .empty')) ?? '', /no layer with particles/);
  });

  it('names with markup in them are text', async () => {
    const name = '<img src=x onerror="window.hacked=1"><b>bold</b>';
    const layers = model.snapshot.summary.layers.map((layer) => (layer.name === 'conv1' ? { ...layer, name, note: name } : layer));
    const summary = { ...model.snapshot.summary, layers, path: `folder/${name}.onnx`, findings: [{ severity: 'warning' as const, place: name, message: name }] };
    const suggestions = { ...model.suggestions, suggestions: model.suggestions.suggestions.map((suggestion) => ({ ...suggestion, title: name, evidence: name })) };
    const weights = { ...model.weights, [name]: model.weights.conv1! };
    const activations = { ...model.activations, [name]: { ...model.activations.conv1!, label: name } };
    const page = await open({ snapshot: { ...withBehaviour(), summary, suggestions }, weights, activations });
    await drawn(page);
    await page.waitForSelector('.prediction');
    await clickRow(page, 2);
    await page.mouse.move(...(Object.values(await centre(page, 3)) as [number, number]));
    await page.waitForSelector('.tooltip:visible');
    assert.strictEqual(await page.textContent('.tooltip-title'), `${name}/kernel:3`);
    await page.getByRole('tab', { name: /Suggestions/ }).click();
    assert.strictEqual(await page.locator('.suggestion h3').first().textContent(), name);
    assert.strictEqual(await page.textContent('h1'), `<img src=x onerror="window.hacked=1"><b>bold</b>.onnx`.split('/').pop());
    assert.strictEqual(await page.locator('img, b').count(), 0);
    assert.strictEqual(await page.evaluate(() => 'hacked' in window), false);
  });

  it('turns to the layer or the particle that another face asks for, once', async () => {
    const page = await open();
    await drawn(page);
    const tab = (name: string) => page.getByRole('tab', { name, exact: true }).getAttribute('aria-selected');
    const rows = Array.from({ length: 32 }, (_, i) => 16 + i);
    await clickRow(page, 3);
    await page.waitForSelector('.particle-view h2:text("conv1/kernel:3")');
    await push(page, { kind: 'selection', rows, focus: { layer: 'conv2', turn: 1 } });
    await page.waitForSelector('.layer-view h2:text("conv2")');
    assert.strictEqual(await tab('Layer'), 'true');
    await push(page, { kind: 'selection', rows: [20], focus: { layer: 'conv2', row: 20, turn: 2 } });
    await page.waitForSelector('.particle-view h2:text("conv2/kernel:4")');
    assert.strictEqual(await tab('Particle'), 'true');
    // A snapshot repeats the focus; meanwhile the user has gone on.
    await page.getByRole('tab', { name: 'Suggestions' }).click();
    await push(page, { kind: 'snapshot', snapshot: { ...model.snapshot, selection: [20], focus: { layer: 'conv2', row: 20, turn: 2 } } });
    await page.waitForTimeout(100);
    assert.strictEqual(await tab('Suggestions'), 'true');
    // A panel that was hidden learns of it by the snapshot.
    await push(page, { kind: 'snapshot', snapshot: { ...model.snapshot, selection: [], focus: { layer: 'pool', turn: 3 } } });
    await page.waitForSelector('.layer-view h2:text("pool")');
  });

  it('the sample picker knows how many samples there are', async () => {
    const page = await open();
    await drawn(page);
    const picker = page.getByLabel('Sample', { exact: true });
    await page.getByText('of 360').waitFor();
    await picker.fill('900');
    await picker.press('Tab');
    assert.strictEqual(await picker.inputValue(), '359');
    const asked = (await requests(page, 'activations')).map(({ params }) => (params as { sample: number }).sample);
    assert.deepStrictEqual(asked, [0, 359]);
  });

  it('shows how the column spreads in each layer', async () => {
    const page = await open({ snapshot: withBehaviour() });
    await drawn(page);
    await page.getByRole('heading', { name: 'L2 norm in each layer' }).waitFor();
    const chart = page.locator('.overview .chart').nth(1);
    await chart.locator('svg').waitFor();
    assert.strictEqual(await chart.locator('.mark-tick path, .mark-rect.layer_2_marks path').count(), digitsLayers.length);
  });

  it('what was looked at survives a reload', async () => {
    const page = await open({ snapshot: withBehaviour() });
    await drawn(page);
    await page.getByLabel('Colour by').selectOption('weightMean');
    await page.getByLabel('Search particles').fill('dense*');
    await page.getByRole('tab', { name: 'Suggestions' }).click();
    const state = await page.evaluate(() => window.fakeHost.state);
    assert.strictEqual((state as { path: string }).path, model.snapshot.summary.path);
    const again = await open({ snapshot: withBehaviour(), state });
    await drawn(again);
    assert.strictEqual(await again.getByLabel('Colour by').inputValue(), 'weightMean');
    assert.strictEqual(await again.getByLabel('Search particles').inputValue(), 'dense*');
    assert.strictEqual(await again.getByRole('tab', { name: 'Suggestions' }).getAttribute('aria-selected'), 'true');
    const odd = await open({ snapshot: withBehaviour(), state: { path: 1, view: { column: 7, layer: 'gone', particle: 9999, scatterX: null } } });
    await drawn(odd);
  });

  it('sixty thousand cells are drawn at once, and scrolling brings the rest', async () => {
    const counts = [40_000, 20_000, 256];
    let firstRow = 0;
    const layers = counts.map((count, i) => {
      const layer = { name: `dense${i}`, type: 'Gemm', parameters: count, next: [], particles: { kind: 'neuron' as const, count, firstRow } };
      firstRow += count;
      return layer;
    });
    const values = Float32Array.from({ length: firstRow }, (_, i) => Math.sin(i / 300) ** 2);
    const columns = [{ ...model.snapshot.columns.find((column) => column.name === 'l2')!, values }];
    const page = await open({ snapshot: { ...model.snapshot, recipe: undefined, summary: { ...model.snapshot.summary, layers, particleCount: firstRow }, columns } });
    await drawn(page);
    assert.strictEqual(await page.getAttribute('.heatmap-grid', 'data-cells'), String(firstRow));
    const [low, high] = [await cellColour(page, 0), await cellColour(page, 471)];
    assert.ok(distance(low, high) > 120, 'a wave of values shows no wave of colours');
    await page.locator('.heatmap-grid').focus();
    await page.keyboard.press('PageDown');
    await page.keyboard.press('PageDown');
    await page.waitForTimeout(100);
    assert.match((await page.textContent('[role=gridcell]')) ?? '', /^dense2\/neuron:0/);
    await page.waitForSelector('.heatmap-label:has-text("dense2")');
    await screenshot(page, 'panel-60000');
  });

  for (const theme of ['light', 'dark', 'highContrast'] as const) {
    it(`looks right in ${theme}`, async () => {
      const page = await open({ snapshot: { ...withBehaviour(), suggestions: model.suggestions } }, { theme });
      await drawn(page);
      await page.waitForFunction(() => document.querySelectorAll('.chart svg').length === 4 && document.querySelector('.prediction'));
      // Every cell differs from the background by enough to be seen.
      assert.strictEqual(await cellBlobs(page), particleCount);
      await screenshot(page, `panel-layer-${theme}`);
      await clickRow(page, 19);
      await page.waitForSelector('.particle-view .picture');
      await page.mouse.move(...(Object.values(await centre(page, 24)) as [number, number]));
      await page.waitForTimeout(200);
      await screenshot(page, `panel-particle-${theme}`);
      await page.getByRole('tab', { name: /Suggestions/ }).click();
      await page.locator('.suggestion').first().hover();
      await page.waitForTimeout(200);
      await screenshot(page, `panel-suggestions-${theme}`);
    });
  }

  it('fits a narrow column', async () => {
    const page = await open({}, { width: 480 });
    await drawn(page);
    await page.waitForTimeout(300);
    const overflow = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
    assert.ok(overflow <= 0, `${overflow} px hang over`);
    await screenshot(page, 'panel-narrow');
    // The details lie below the map here: what another face asks for is scrolled to.
    await push(page, { kind: 'selection', rows: [20], focus: { layer: 'conv2', row: 20, turn: 1 } });
    await page.waitForFunction(() => {
      const { top, bottom } = document.querySelector('.particle-view h2')!.getBoundingClientRect();
      return top >= 0 && bottom <= innerHeight;
    });
  });
});

async function drawn(page: Page): Promise<void> {
  await page.waitForSelector('.heatmap-grid');
  await page.waitForFunction(() => {
    const canvas = document.querySelector<HTMLCanvasElement>('.heatmap-canvas');
    return canvas && canvas.width > 0 && canvas.getContext('2d')!.getImageData(0, 0, canvas.width, canvas.height).data.some((value) => value > 0);
  });
}

async function push(page: Page, event: PanelEvent): Promise<void> {
  await page.evaluate((text) => window.fakeHost.push(window.unpacked(text) as PanelEvent), packed(event));
}

async function requests(page: Page, method: PanelRequest['method']): Promise<PanelRequest[]> {
  return page.evaluate((wanted) => window.fakeHost.received.filter((request) => request.method === wanted), method);
}

async function lastSelection(page: Page): Promise<readonly number[] | undefined> {
  const last = (await requests(page, 'select')).pop();
  return (last?.params as { rows: number[] } | undefined)?.rows;
}

async function groups(page: Page): Promise<string[]> {
  return page.locator('.overview optgroup').evaluateAll((list) => list.map((group) => (group as HTMLOptGroupElement).label));
}

async function clickRow(page: Page, row: number, modifiers: ('Shift' | 'Control')[] = []): Promise<void> {
  const { x, y } = await centre(page, row);
  for (const key of modifiers) await page.keyboard.down(key);
  await page.mouse.click(x, y);
  for (const key of modifiers) await page.keyboard.up(key);
}

/** Where a row's cell is on the page, from how the map says it wraps. */
async function centre(page: Page, row: number): Promise<{ x: number; y: number }> {
  const box = (await page.locator('.heatmap-canvas').boundingBox())!;
  const layers = await page.evaluate(() => window.fakeData.snapshot!.summary.layers.flatMap(({ name, particles }) => (particles ? [{ name, ...particles }] : [])));
  const cell = cellOf(layOut(layers, box.width), row)!;
  return { x: box.x + cell.left + cell.width / 2, y: box.y + cell.top + cell.height / 2 };
}

function distance(a: readonly number[], b: readonly number[]): number {
  return Math.hypot(...a.map((value, i) => value - b[i]!));
}
