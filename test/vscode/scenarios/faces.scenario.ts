import assert from 'node:assert';
import type { FrameLocator } from 'playwright-core';
import { openWorkbench } from '../../harness/openWorkbench.mjs';
import type { Workbench } from '../../harness/workbench.mjs';

type Theme = 'light' | 'dark' | 'highContrast';

/** Luminance of a colour as CSS gives it, 0..255. */
function luminance(colour: string): number {
  const [red, green, blue] = colour.match(/[\d.]+/g)!.map(Number) as [number, number, number];
  return 0.2126 * red + 0.7152 * green + 0.0722 * blue;
}

/** The tab of the panel that shows. */
function shownTab(panel: FrameLocator): Promise<string> {
  return panel.getByRole('tab', { selected: true }).innerText();
}

/** Scrolls the notebook until an output of ours shows. */
async function scrollToOutput(workbench: Workbench): Promise<FrameLocator> {
  const list = workbench.page.locator('.notebookOverlay:visible .monaco-list').first();
  await list.hover();
  const output = (): FrameLocator => workbench.webview();
  await workbench.waitFor(async () => {
    const box = await output().locator('.particlize-output .heatmap-canvas').first().boundingBox().catch(() => null);
    if (box && box.y > 0 && box.y + box.height < 800) return true;
    await workbench.page.mouse.wheel(0, 150);
    return false;
  }, 'the notebook to show a heatmap');
  return output();
}

for (const theme of ['light', 'dark', 'highContrast'] as const satisfies readonly Theme[]) {
  describe(`the faces of Particlize, ${theme} theme`, function () {
    this.timeout(240_000);
    let workbench: Workbench;
    before(async () => (workbench = await openWorkbench({
      theme, viewport: { width: 1440, height: 900 }, settings: { 'particlize.startup.open': 'model.onnx' },
    })));
    afterEach(async function () {
      if (this.currentTest?.state === 'failed') await workbench.screenshot(`failed-${theme}-${this.currentTest.title.slice(0, 20).replaceAll(/\W+/g, '-')}`);
    });
    after(async () => workbench.close());

    it('the start-up setting opens the model: tree, panel and status bar show it', async () => {
      const panel = await workbench.webviewOfTab('model.onnx');
      await panel.locator('.heatmap-canvas').waitFor();
      await workbench.statusBarItem(/model\.onnx.*ONNX Runtime/).waitFor();
      await panel.locator('.facts').getByText('ONNX Runtime').waitFor();
      await workbench.showView('Particlize');
      await workbench.treeRow('Particles', /conv1/).waitFor();
      const background = await panel.locator('body').evaluate((body) => getComputedStyle(body).backgroundColor);
      assert.strictEqual(luminance(background) > 128, theme === 'light', background);
    });

    it('behaviour colours the map, and a layer and a particle show what they do', async () => {
      const panel = await workbench.webviewOfTab('model.onnx');
      await panel.getByRole('button', { name: 'Analyse behaviour' }).click();
      const columns = panel.getByLabel('Colour by');
      await columns.locator('option', { hasText: 'Loss without it' }).waitFor({ state: 'attached' });
      await columns.selectOption({ label: 'Loss without it' });
      await workbench.expandTreeRow('Particles', 'conv1');
      await workbench.treeRow('Particles', /kernel:11/).click();
      await panel.getByRole('heading', { name: 'conv1/kernel:11' }).waitFor();
      assert.strictEqual(await shownTab(panel), 'Particle');
      await panel.locator('.particle-view .prediction .bar').first().waitFor();
      await workbench.screenshot(`particle-${theme}`);

      await workbench.treeRow('Particles', /conv1/).click();
      await panel.getByRole('heading', { name: 'conv1', exact: true }).waitFor();
      assert.strictEqual(await shownTab(panel), 'Layer');
      await panel.getByText('Distribution of Loss without it').waitFor();
      await panel.locator('.layer-view .chart svg').first().waitFor();
      await workbench.screenshot(`panel-${theme}`);
    });

    it('the activation maps of a sample stand beside its picture and the prediction', async () => {
      const panel = await workbench.webviewOfTab('model.onnx');
      const picker = panel.getByLabel('Sample', { exact: true });
      await panel.getByText('of 360').waitFor();
      await picker.fill('7');
      await picker.press('Tab');
      // Row 1437 + 7 of the digits is a six.
      await panel.getByText('Label: 6', { exact: true }).waitFor();
      const maps = panel.locator('.layer-view section', { hasText: 'Activation on a sample' }).locator('.pictures canvas');
      assert.strictEqual(await maps.count(), 16);
      assert.strictEqual(await panel.locator('.prediction .bar.right .bar-name').innerText(), '6');
      await maps.last().scrollIntoViewIfNeeded();
      await workbench.screenshot(`activations-${theme}`);
    });

    it('code lenses stand above the layers in all three definitions and lead to the particles', async () => {
      const panel = await workbench.webviewOfTab('model.onnx');
      await panel.getByRole('tab', { name: 'Particle', exact: true }).click();
      for (const [file, lens] of [['digits_keras.py', /32 kernels/], ['digitsTfjs.ts', /16 kernels/], ['digits_torch.py', /64 neurons/]] as const) {
        await workbench.openFile(file);
        await workbench.codeLens(lens).waitFor();
      }
      await workbench.screenshot(`lens-${theme}`);
      await workbench.codeLens(/32 kernels/).click();
      const shown = await workbench.webviewOfTab('model.onnx');
      await shown.getByRole('heading', { name: 'conv2', exact: true }).waitFor();
      assert.strictEqual(await shownTab(shown), 'Layer');
    });

    it('the sample notebook shows its particles with our renderer', async () => {
      await workbench.openFile('digits.ipynb');
      const output = await scrollToOutput(workbench);
      assert.strictEqual(await output.locator('.particlize-error').count(), 0);
      await workbench.page.waitForTimeout(500);
      await workbench.screenshot(`notebook-${theme}`);
      assert.deepStrictEqual(workbench.extensionErrors(), []);
    });
  });
}
