import assert from 'node:assert';
import { chmodSync, cpSync, existsSync, mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import type { FrameLocator } from 'playwright-core';
import { openWorkbench } from '../../harness/openWorkbench.mjs';
import type { Workbench } from '../../harness/workbench.mjs';
import { contentsOf, differences, npy } from './support/files';

const images = 20_000;

/** Files that no model can be made of, and recipes that do not fit, each in a folder of its own. */
function addBadFiles(folder: string): void {
  const whole = readFileSync(path.join(folder, 'model.onnx'));
  const add = (name: string, content: string | Uint8Array): void => {
    mkdirSync(path.dirname(path.join(folder, name)), { recursive: true });
    writeFileSync(path.join(folder, name), content);
  };
  add('bad/truncated.onnx', whole.subarray(0, 60_000));
  add('bad/garbled.onnx', Uint8Array.from({ length: 4096 }, (_, index) => (index * 151 + 7) % 256));
  add('bad/model.json', readFileSync(path.join(folder, 'tfjs/model.json')));
  const recipe = JSON.stringify({
    task: 'classification', data: { images: 'images.npy', digits: 'digits.npy' },
    inputs: { '*': { from: 'images', scale: 0.0625, layout: 'NCHW' } }, labels: { from: 'digits' },
  });
  const withData = (name: string, size: number, labels: readonly number[], count: number): void => {
    add(`${name}/${name}.onnx`, whole);
    add(`${name}/${name}.particlize.json`, recipe);
    add(`${name}/images.npy`, npy([count, size, size], Uint8Array.from({ length: count * size * size }, (_, index) => (index * 7919) % 17)));
    add(`${name}/digits.npy`, npy([count], Uint8Array.from({ length: count }, (_, index) => labels[index % labels.length]!)));
  };
  withData('misfit', 5, [1, 2, 3, 4], 4);
  withData('labels', 8, [1, 2, 12, 4], 4);
  withData('slow', 8, [1, 2, 3, 4, 5], images);
  add('locked/locked.onnx', whole);
  add('moving/moving.onnx', whole);
}

describe('what goes wrong, and what is taken back, in a real VS Code', function () {
  this.timeout(240_000);
  let workbench: Workbench;
  before(async () => {
    workbench = await openWorkbench({ theme: 'light', viewport: { width: 1500, height: 950 }, settings: { 'particlize.behaviour.samples': 0 } });
    addBadFiles(workbench.folder);
  });
  afterEach(async function () {
    if (this.currentTest?.state === 'failed') await workbench.screenshot(`failed-${this.currentTest.title.slice(0, 24).replaceAll(/\W+/g, '-')}`);
  });
  after(async () => workbench.close());

  const at = (name: string): string => path.join(workbench.folder, name);
  const open = async (file: string): Promise<void> => {
    await workbench.runCommand('Particlize: Open Model…');
    await workbench.pick(file);
  };
  const openPanel = async (file: string): Promise<FrameLocator> => {
    await open(file);
    const panel = await workbench.webviewOfTab(path.basename(file));
    await panel.locator('.heatmap-canvas').waitFor();
    return panel;
  };
  const suggestIn = async (panel: FrameLocator): Promise<void> => {
    await panel.getByRole('button', { name: 'Suggest', exact: true }).first().click();
    await panel.getByRole('tab', { name: 'Suggestions' }).click();
    await panel.locator('li.suggestion[data-id="remove:*"]').waitFor();
  };
  const startApplying = async (panel: FrameLocator): Promise<void> => {
    await panel.locator('li.suggestion[data-id="remove:*"]').getByRole('button', { name: 'Apply' }).click();
  };
  const preview = () => workbench.page.locator('.bulk-edit-panel');
  /** Progress takes a moment to go; nothing but these sentences stays. */
  const onlyNotified = async (...sentences: string[]): Promise<void> => {
    let shown: string[] = [];
    const settled = async (): Promise<boolean> => {
      shown = await workbench.page.locator('.notifications-toasts .notification-list-item-message').allInnerTexts();
      // A browser VS Code says this of itself when it opens TypeScript code.
      shown = shown.filter((text) => !text.includes('tsserver'));
      return JSON.stringify(shown) === JSON.stringify(sentences);
    };
    await workbench.waitFor(settled, 'the notifications to settle', 8000).catch(() => assert.deepStrictEqual(shown, sentences));
  };

  for (const [file, sentence] of [
    ['bad/truncated.onnx', 'truncated.onnx: byte 19: ModelProto.graph says that it is 154466 bytes long, but 59977 are left. The file may be cut off or damaged.'],
    ['bad/garbled.onnx', 'garbled.onnx: byte 0: ModelProto holds a field with number 0, which cannot be. The file may be cut off or damaged.'],
    ['bad/model.json', "model.json: weight conv1/kernel: the weight file 'group1-shard1of1.bin' cannot be opened. Put it into the same folder as model.json."],
  ] as const) {
    it(`${file} gives one sentence and opens nothing`, async () => {
      const before = contentsOf(workbench.folder);
      await open(file);
      assert.strictEqual(await workbench.waitForNotification(path.basename(file)), sentence);
      await onlyNotified(sentence);
      assert.strictEqual(await workbench.tab(path.basename(file)).count(), 0);
      assert.deepStrictEqual(differences(before, contentsOf(workbench.folder)), []);
      await workbench.clearNotifications();
    });
  }

  for (const [name, file, sentence] of [
    ['a recipe that does not fit', 'misfit', "misfit.particlize.json: inputs.*: the array images has samples of 5×5, the model's input image wants 1×8×8."],
    ['labels out of range', 'labels', 'labels.particlize.json: labels: row 2 of digits is 12, but the model has 10 classes, 0 to 9.'],
  ] as const) {
    it(`${name}: one sentence, and the model stays as it is`, async () => {
      const panel = await openPanel(`${file}/${file}.onnx`);
      await panel.getByRole('button', { name: /recipe/i }).click();
      await workbench.pick(`${file}.particlize.json`);
      await panel.getByRole('button', { name: `Recipe: ${file}.particlize.json` }).waitFor();
      await panel.getByRole('button', { name: 'Analyse behaviour' }).click();
      assert.strictEqual(await workbench.waitForNotification(`${file}.particlize.json`), sentence);
      await onlyNotified(sentence);
      // What belongs to a place in the panel stands there too; a single sample needs no other labels than its own.
      if (file === 'misfit') await panel.locator('.layer-view .failure', { hasText: sentence }).waitFor();
      assert.ok(await panel.getByRole('button', { name: 'Analyse behaviour' }).isEnabled());
      await workbench.screenshot(`${file}-recipe`);
      await workbench.clearNotifications();
      await workbench.closeEditors();
    });
  }

  it('a run that is cancelled ends without a complaint, and the next one works', async () => {
    const panel = await openPanel('slow/slow.onnx');
    await panel.getByRole('button', { name: 'Choose recipe' }).click();
    await workbench.pick('slow.particlize.json');
    await panel.getByRole('button', { name: 'Recipe: slow.particlize.json' }).waitFor();
    await panel.getByRole('button', { name: 'Analyse behaviour' }).click();
    await panel.locator('.progress-line').waitFor();
    await panel.locator('.progress-share', { hasText: /%/ }).waitFor();
    await workbench.screenshot('running');
    await panel.getByRole('button', { name: 'Cancel' }).click();
    await panel.locator('.progress').waitFor({ state: 'hidden' });
    await onlyNotified();
    assert.ok(await panel.getByRole('button', { name: 'Analyse behaviour' }).isEnabled());
    await workbench.statusBarItem(/slow\.onnx · ONNX Runtime/).waitFor();
    assert.strictEqual(await panel.locator('.banner').count(), 0);
    await workbench.closeEditors();
    const digits = await openPanel('model.onnx');
    await digits.getByRole('button', { name: 'Analyse behaviour' }).click();
    await digits.getByLabel('Colour by').locator('option', { hasText: 'Loss without it' }).waitFor({ state: 'attached' });
  });

  it('what is discarded in the refactor preview leaves nothing behind', async () => {
    const before = contentsOf(workbench.folder);
    const panel = await workbench.webviewOfTab('model.onnx');
    await suggestIn(panel);
    await startApplying(panel);
    await preview().locator('.monaco-list-row').first().waitFor();
    await preview().getByRole('button', { name: 'Discard' }).click();
    await preview().locator('.monaco-list-row').first().waitFor({ state: 'detached' });
    await workbench.waitFor(async () => panel.locator('li.suggestion[data-id="remove:*"]').getByRole('button', { name: 'Apply' }).isEnabled(), 'the button to be ready again');
    assert.deepStrictEqual(differences(before, contentsOf(workbench.folder)), []);
    await onlyNotified();
    assert.strictEqual(await panel.locator('.banner').count(), 0, 'nothing was applied, and nothing went wrong');
  });

  it('Undo after Apply restores everything byte for byte', async () => {
    const before = contentsOf(workbench.folder);
    const panel = await workbench.webviewOfTab('model.onnx');
    await startApplying(panel);
    await preview().locator('.monaco-list-row').first().waitFor();
    await preview().getByRole('button', { name: 'Apply' }).click();
    const message = await workbench.waitForNotification(/accuracy/);
    assert.match(message, /^model\.particlized\.onnx: accuracy 0\.986 → 0\.9\d\d, \d\.\d× fewer MACs\.$/);
    assert.deepStrictEqual(differences(before, contentsOf(workbench.folder)), [
      'changed digits_torch.py', 'new model.particlized.onnx', 'new model.particlized.onnx.plan.json', 'new model.particlized.onnx.reverse',
    ]);
    await workbench.clickNotificationButton(/accuracy/, 'Undo');
    await workbench.waitForNotification('model.particlized.onnx is gone, and the code is as it was.');
    await workbench.waitFor(() => differences(before, contentsOf(workbench.folder)).length === 0, 'everything to be as it was');
    // The original was not touched: nothing says that it has changed.
    await onlyNotified('model.particlized.onnx is gone, and the code is as it was.');
    await workbench.clearNotifications();
    await workbench.closeEditors();
  });

  async function applyInLocked(hinder: () => void): Promise<string> {
    const panel = await openPanel('locked/locked.onnx');
    await panel.getByRole('button', { name: 'Recipe: digits.particlize.json' }).waitFor();
    await suggestIn(panel);
    hinder();
    await startApplying(panel);
    const banner = panel.locator('.banner span').first();
    await banner.waitFor();
    return banner.innerText();
  }

  it('a folder that is not there any more when the model is to be saved: one sentence, nothing written', async () => {
    const elsewhere = at('elsewhere');
    try {
      // As on a disk that was taken out: even root cannot write below a file.
      const sentence = await applyInLocked(() => {
        renameSync(at('locked'), elsewhere);
        writeFileSync(at('locked'), '');
      });
      assert.strictEqual(sentence, `${at('locked')}: the folder is not there any more. Allow writing there, or copy the model elsewhere.`);
      assert.strictEqual(await preview().locator('.monaco-list-row').count(), 0);
    } finally {
      rmSync(at('locked'), { force: true });
      renameSync(elsewhere, at('locked'));
    }
    assert.deepStrictEqual([...contentsOf(at('locked')).keys()], ['locked.onnx']);
    await workbench.clearNotifications();
    await workbench.closeEditors();
  });

  it('a read-only folder: one sentence, nothing written (not as root, whom permissions do not stop)', async function () {
    if (process.getuid?.() === 0) this.skip();
    try {
      const sentence = await applyInLocked(() => chmodSync(at('locked'), 0o555));
      assert.strictEqual(sentence, `${at('locked')}: the folder cannot be written. Allow writing there, or copy the model elsewhere.`);
    } finally {
      chmodSync(at('locked'), 0o755);
    }
    assert.deepStrictEqual([...contentsOf(at('locked')).keys()], ['locked.onnx']);
    await workbench.closeEditors();
  });

  it('a model that changes on the disk is read anew when the user says so; one that goes is said to be gone', async () => {
    const panel = await openPanel('moving/moving.onnx');
    const kernels = panel.locator('.heatmap-label', { hasText: '16 kernels' });
    await kernels.waitFor();
    // Another model in its place, with other layers.
    cpSync(path.resolve(__dirname, '../../fixtures/ablation/residual.onnx'), at('moving/moving.onnx'));
    assert.strictEqual(await workbench.waitForNotification('moving.onnx'),
      'moving.onnx has changed on the disk. What is shown was read before; reload to see the new contents.');
    assert.strictEqual(await kernels.count(), 1, 'nothing changes before the user says so');
    await workbench.clickNotificationButton('moving.onnx', 'Reload');
    await panel.locator('.heatmap-label', { hasText: 'stem' }).waitFor();
    assert.strictEqual(await kernels.count(), 0);
    rmSync(at('moving/moving.onnx'));
    assert.strictEqual(await workbench.waitForNotification('is gone'),
      'moving.onnx is gone from the disk. What is shown was read before; close it, or put the file back and reload.');
    await workbench.clickNotificationButton('is gone', 'Close');
    await workbench.tab('moving.onnx').waitFor({ state: 'detached' });
    assert.ok(!existsSync(at('moving/moving.onnx')));
    assert.deepStrictEqual(workbench.extensionErrors(), []);
  });
});
