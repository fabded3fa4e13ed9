import assert from 'node:assert';
import { execFileSync } from 'node:child_process';
import { copyFileSync, existsSync, readdirSync } from 'node:fs';
import path from 'node:path';
import type { FrameLocator } from 'playwright-core';
import { openWorkbench } from '../../harness/openWorkbench.mjs';
import type { Workbench } from '../../harness/workbench.mjs';
import { cellBlobs } from '../../webview/support/pixels';
import { checkPytorchLoads, checkTfjsLoads } from './support/definitions';

const root = path.resolve(__dirname, '../../..');
const recipe = 'digits.particlize.json';

interface ReadLayer {
  readonly name: string;
  readonly outputShape?: readonly (number | null)[];
}

function cli<T>(...args: string[]): T {
  return JSON.parse(execFileSync(process.execPath, [path.join(root, 'dist/cli.js'), ...args, '--json'], { encoding: 'utf8' })) as T;
}

/** Behaviour on the recipe's data, then suggestions: what the buttons of the panel do. */
async function analyse(panel: FrameLocator): Promise<void> {
  await panel.getByRole('button', { name: 'Analyse behaviour' }).click();
  await panel.getByLabel('Colour by').locator('option', { hasText: 'Loss without it' }).waitFor({ state: 'attached' });
  await panel.getByRole('button', { name: 'Suggest', exact: true }).click();
  await panel.getByRole('tab', { name: 'Suggestions' }).click();
  await panel.locator('li.suggestion').first().waitFor();
}

/** Accepts VS Code's refactor preview as it comes: the new model and the likeliest definition are ticked. */
async function acceptPreview(workbench: Workbench, name: string): Promise<void> {
  const preview = workbench.page.locator('.bulk-edit-panel');
  await preview.locator('.monaco-list-row').first().waitFor();
  await workbench.screenshot(name);
  await preview.getByRole('button', { name: 'Apply' }).click();
  await preview.locator('.monaco-list-row').first().waitFor({ state: 'detached' });
}

describe('the main job, in a real VS Code', function () {
  this.timeout(240_000);
  let workbench: Workbench;
  before(async () => (workbench = await openWorkbench({ theme: 'light', viewport: { width: 1500, height: 950 } })));
  afterEach(async function () {
    if (this.currentTest?.state === 'failed') await workbench.screenshot(`failed-${this.currentTest.title.slice(0, 20).replaceAll(/\W+/g, '-')}`);
  });
  after(async () => workbench.close());

  it('right-click a model: the tree fills and the panel shows one cell a particle', async () => {
    assert.ok(!(await workbench.contextMenuLabels(workbench.explorerRow('train.py'))).includes('Particlize'), 'only model files offer it');
    await workbench.explorerContextMenu('model.onnx', 'Particlize');
    const panel = await workbench.webviewOfTab('model.onnx');
    await panel.locator('.heatmap-canvas').waitFor();
    await workbench.showView('Particlize');
    for (const layer of ['conv1 16 kernels', 'conv2 32 kernels', 'dense1 64 neurons', 'dense2 10 neurons']) {
      await workbench.treeRow('Particles', new RegExp(layer.replaceAll(' ', '.*'))).waitFor();
    }
    await workbench.expandTreeRow('Particles', 'conv1');
    const rows = await workbench.treeTexts('Particles');
    assert.strictEqual(rows.filter((row) => /^kernel/i.test(row)).length, 16, rows.join('\n'));
    await workbench.waitFor(async () => (await cellBlobs(panel)) === 122, 'one cell for each of the 122 particles');
  });

  it('behaviour runs on the recipe and fills columns, suggestions follow', async () => {
    const panel = await workbench.webviewOfTab('model.onnx');
    await analyse(panel);
    await workbench.screenshot('suggestions');
    const ids = await panel.locator('li.suggestion').evaluateAll((items) => items.map((item) => (item as HTMLElement).dataset['id']));
    assert.ok(ids.includes('remove:*'), ids.join());
    await panel.locator('details.refusals').waitFor();
  });

  it('a suggestion becomes a new model and an edited definition that fit each other and give the evaluated accuracy', async () => {
    const panel = await workbench.webviewOfTab('model.onnx');
    const before = workbench.readFile('digits_torch.py');
    await panel.locator('li.suggestion[data-id="remove:*"]').getByRole('button', { name: 'Apply' }).click();
    await acceptPreview(workbench, 'refactor-preview');
    const message = await workbench.waitForNotification(/accuracy/);
    const [, was, is] = /accuracy ([\d.]+) → ([\d.]+)/.exec(message)!.map(Number) as [number, number, number];

    const made = path.join(workbench.folder, 'model.particlized.onnx');
    assert.ok(existsSync(made), readdirSync(workbench.folder).join());
    const after = workbench.readFile('digits_torch.py');
    assert.notStrictEqual(after, before);
    const layers = cli<{ layers: ReadLayer[] }>('read', made).layers;
    const widths = Object.fromEntries(layers.flatMap(({ name, outputShape }) => (outputShape?.[1] ? [[name, outputShape[1]]] : [])));
    assert.ok(widths['conv1']! < 16 && widths['conv2']! < 32 && widths['dense1']! < 64 && widths['dense2'] === 10, JSON.stringify(widths));
    for (const layer of ['conv1', 'conv2', 'dense1']) assert.match(after, new RegExp(`${layer}_width=${widths[layer]}\\b`));

    const evaluated = cli<{ metrics: { accuracy: number } }>('evaluate', made, '--data', path.join(workbench.folder, recipe)).metrics.accuracy;
    assert.ok(Math.abs(evaluated - is) < 6e-4, `the notification said ${is}, the command line ${evaluated}`);
    assert.ok(was - is <= 0.0105, `the accepted drop was 0.01: ${was} → ${is}`);
    console.log(`      ${checkPytorchLoads({ folder: workbench.folder, model: made, accuracy: evaluated })}`);
    assert.deepStrictEqual(workbench.extensionErrors(), []);
  });

  it('the same for the TensorFlow.js model and its TypeScript definition, loaded by TensorFlow.js itself', async () => {
    await workbench.closeEditors();
    await workbench.runCommand('Particlize: Open Model…');
    await workbench.pick('tfjs/model.json');
    const panel = await workbench.webviewOfTab('model.json');
    await analyse(panel);
    await panel.locator('li.suggestion[data-id="remove:*"]').getByRole('button', { name: 'Apply' }).click();
    await acceptPreview(workbench, 'refactor-preview-tfjs');
    await workbench.waitForNotification(/model\.json: accuracy/);
    const made = path.join(workbench.folder, 'tfjs/model.particlized/model.json');
    assert.ok(existsSync(made));
    const evaluated = cli<{ metrics: { accuracy: number } }>('evaluate', made, '--data', path.join(workbench.folder, recipe)).metrics.accuracy;
    // The definition imports TensorFlow.js, which the copied workspace does not have: run it from a place that does.
    const definition = path.join(root, 'test-results', `digitsTfjs-${process.pid}.ts`);
    copyFileSync(path.join(workbench.folder, 'digitsTfjs.ts'), definition);
    console.log(`      ${await checkTfjsLoads({ folder: workbench.folder, model: made, accuracy: evaluated }, definition)}`);
  });
});
