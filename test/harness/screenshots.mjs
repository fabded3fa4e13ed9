// @ts-check
// Takes the pictures of README.md anew: node test/harness/screenshots.mjs (after `npm run build`). They go to media/screenshots/.
import fs from 'node:fs';
import path from 'node:path';
import { openWorkbench } from './openWorkbench.mjs';
import { repoRoot } from './paths.mjs';
import { HarnessError, isMain, runMain } from './processes.mjs';

/** @typedef {import('./workbench.mjs').Workbench} Workbench */
/** @typedef {'light' | 'dark'} Theme */

const folder = path.join(repoRoot, 'media', 'screenshots');

/** README.md is read over slow lines too. */
const mostBytes = 250_000;

/** @param {Theme} theme */
async function takeAll(theme) {
  const workbench = await openWorkbench({
    theme,
    viewport: { width: 1280, height: 800 },
    settings: { 'particlize.startup.open': 'model.onnx', 'workbench.tree.indent': 12, 'editor.minimap.enabled': false, 'window.title': 'digits' },
  });
  try {
    const panel = await workbench.webviewOfTab('model.onnx');
    await panel.locator('.heatmap-canvas').waitFor();
    await workbench.showView('Particlize');
    await panel.getByRole('button', { name: 'Analyse behaviour' }).click();
    await panel.getByLabel('Colour by').locator('option', { hasText: 'Loss without it' }).waitFor({ state: 'attached' });
    await panel.getByLabel('Colour by').selectOption({ label: 'Loss without it' });
    await panel.getByLabel('Within layers').check();
    await workbench.expandTreeRow('Particles', 'conv2');
    await workbench.treeRow('Particles', /kernel:4/).click();
    await panel.getByRole('heading', { name: 'conv2/kernel:4' }).waitFor();
    await panel.locator('.particle-view .prediction .bar').first().waitFor();
    await take(workbench, 'particle', theme);

    await panel.getByLabel('Colour by').selectOption({ label: 'L2 norm' });
    await panel.getByLabel('Within layers').uncheck();
    await workbench.treeRow('Particles', /conv1/).click();
    await panel.getByRole('heading', { name: 'conv1', exact: true }).waitFor();
    await panel.locator('.layer-view .chart svg').first().waitFor();
    await take(workbench, 'panel', theme);

    await panel.getByRole('button', { name: 'Suggest', exact: true }).first().click();
    const best = panel.locator('li.suggestion[data-id="remove:*"]');
    await best.waitFor();
    await best.hover();
    await take(workbench, 'suggestions', theme);

    await workbench.openFile('digits_torch.py');
    await workbench.codeLens(/32 kernels.*harmless/).waitFor();
    await take(workbench, 'lens', theme);

    // The panel has a new webview now.
    const again = await workbench.webviewOfTab('model.onnx');
    await again.locator('li.suggestion[data-id="remove:*"]').getByRole('button', { name: 'Apply' }).click();
    const preview = workbench.page.locator('.bulk-edit-panel');
    const change = preview.locator('.monaco-list-row', { hasText: 'conv1_width' }).first();
    await preview.locator('.monaco-list-row').first().hover();
    await workbench.waitFor(async () => {
      if (await change.isVisible()) return true;
      await workbench.page.mouse.wheel(0, 40);
      return false;
    }, 'the preview of digits_torch.py');
    await workbench.page.mouse.wheel(0, 1000);
    await change.click();
    await workbench.page.locator('.monaco-diff-editor .view-line').first().waitFor();
    await take(workbench, 'preview', theme);
    await preview.getByRole('button', { name: 'Discard' }).click();

    await workbench.openFile('digits.ipynb');
    await scrollToOutput(workbench);
    await take(workbench, 'notebook', theme);
  } catch (error) {
    await workbench.screenshot('failed-screenshots');
    throw error;
  } finally {
    await workbench.close();
  }
}

/** @param {Workbench} workbench @param {string} name @param {Theme} theme */
async function take(workbench, name, theme) {
  const { page } = workbench;
  const toasts = page.locator('.notifications-toasts .notification-list-item');
  if ((await toasts.count()) > 0) await workbench.clearNotifications();
  // A pointer that rests on something brings up its tooltip; over the status bar's empty part it rests on nothing.
  if (name !== 'suggestions') await page.mouse.move(800, 790);
  await page.waitForTimeout(1200);
  const file = path.join(folder, `${name}-${theme}.png`);
  await page.screenshot({ path: file, animations: 'disabled' });
  const { size } = fs.statSync(file);
  console.log(`${path.relative(repoRoot, file)}  ${Math.round(size / 1000)} kB`);
  if (size > mostBytes) throw new HarnessError(`${path.basename(file)} has ${size} bytes, more than ${mostBytes}.`);
}

/** @param {Workbench} workbench */
async function scrollToOutput(workbench) {
  const { page } = workbench;
  await page.locator('.notebookOverlay:visible .monaco-list').first().hover();
  await workbench.waitFor(async () => {
    const heatmap = workbench.webview().locator('.particlize-output .heatmap-canvas').first();
    const box = await heatmap.boundingBox().catch(() => null);
    if (box && box.y > 0 && box.y + box.height < 650) return true;
    await page.mouse.wheel(0, 150);
    return false;
  }, 'the notebook to show a heatmap');
}

if (isMain(import.meta.url)) {
  runMain(async () => {
    fs.mkdirSync(folder, { recursive: true });
    for (const theme of /** @type {const} */ (['light', 'dark'])) await takeAll(theme);
    return 0;
  });
}
