import assert from 'node:assert';
import type { Page } from 'playwright-core';
import type { PanelRequest } from '../../src/compute/panelProtocol';
import type { FakeData } from './support/fakeHost';
import { digitsModel } from './support/digitsModel';
import { Pages } from './support/pages';

describe('the front of suggestions, in a real browser', function () {
  this.timeout(60_000);
  const model = digitsModel();
  let pages: Pages;

  before(async () => {
    pages = await Pages.start();
  });
  after(() => pages?.stop());

  async function open(data: Partial<FakeData>): Promise<Page> {
    const { snapshot, weights, activations } = model;
    return (await pages.panel({ snapshot, weights, activations, ...data })).page;
  }

  it('options of the front are a list to choose from, with latency and the samples that predictions were checked on', async () => {
    const [lossless, conv2] = model.suggestions.suggestions;
    const checked = { ...conv2!.predicted, samples: 180, chosenOn: { samples: 180, loss: 0, metric: 0 }, latencyMs: { before: 0.5, after: 0.4 } };
    const front = [
      { ...conv2!, id: 'front:1', title: 'Remove 11 particles', predicted: checked },
      { ...conv2!, id: 'front:2', title: 'Remove 40 particles', predicted: { ...conv2!.predicted, samples: 360, macs: 100_000 } },
    ];
    const page = await open({ snapshot: { ...model.snapshot, suggestions: { ...model.suggestions, suggestions: [lossless!], front } } });
    await page.getByRole('tab', { name: 'Suggestions (1)' }).click();
    const options = page.locator('.options');
    await options.locator('summary', { hasText: 'Options (2)' }).press('Enter');
    const text = (await options.textContent()) ?? '';
    assert.match(text, /Remove 11 particles.*180 samples that it was not chosen by.*Latency−20\u202f%.*Remove 40 particles.*Predicted on the 360 samples that it was chosen by.*MACs−70\u202f%/s);
    // What was not measured is not shown.
    assert.strictEqual(text.match(/Latency/g)?.length, 1);
    await options.locator('.suggestion').nth(1).getByRole('button', { name: 'Apply' }).click();
    await page.waitForSelector('.banner');
    assert.deepStrictEqual((await requests(page, 'applySuggestions')).map(({ params }) => params), [{ ids: ['front:2'] }]);
  });
});

async function requests(page: Page, method: PanelRequest['method']): Promise<PanelRequest[]> {
  return page.evaluate((wanted) => window.fakeHost.received.filter((request) => request.method === wanted), method);
}
