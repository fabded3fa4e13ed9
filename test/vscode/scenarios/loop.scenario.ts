import assert from 'node:assert';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { openWorkbench } from '../../harness/openWorkbench.mjs';
import type { Workbench } from '../../harness/workbench.mjs';

describe('optimise until the target, in a real VS Code', function () {
  this.timeout(240_000);
  let workbench: Workbench;
  before(async () => (workbench = await openWorkbench({
    theme: 'light', viewport: { width: 1500, height: 950 }, settings: { 'particlize.train.command': 'cp "${weights}" ${out}' },
  })));
  afterEach(async function () {
    if (this.currentTest?.state === 'failed') await workbench.screenshot(`failed-${this.currentTest.title.slice(0, 20).replaceAll(/\W+/g, '-')}`);
  });
  after(async () => workbench.close());

  const rounds = (): string => path.join(workbench.folder, '.particlize', 'model.onnx');
  const answer = async (prompt: string, text: string): Promise<void> => {
    await workbench.page.locator('.quick-input-widget', { hasText: prompt }).waitFor({ timeout: 20_000 });
    await workbench.typeQuickInput(text);
  };
  const metrics = (round: number): { evaluation: { macs: number; metrics: { accuracy: number } }; action: string; parent?: number } =>
    JSON.parse(readFileSync(path.join(rounds(), `round-0${round}`, 'metrics.json'), 'utf8')) as never;

  it('asks for target and drop, and goes round until it is met', async () => {
    await workbench.runCommand('Particlize: Open Model…');
    await workbench.pick('model.onnx');
    const panel = await workbench.webviewOfTab('model.onnx');
    await panel.locator('.heatmap-canvas').waitFor();
    await workbench.showView('Particlize');
    await workbench.runCommand('Particlize: Optimise Until Target…');
    await answer('How much of its MACs', '25');
    await answer('How much of the metric', '0.5');
    const pane = workbench.page.locator('.pane', { has: workbench.page.locator('.pane-header h3.title', { hasText: 'Rounds' }) });
    await pane.locator('.pane-header').hover();
    await pane.getByRole('button', { name: 'Pause Training' }).click({ timeout: 30_000 });
    await pane.getByText('Training is paused.').waitFor({ timeout: 10_000 });
    await workbench.screenshot('loop-paused');
    await pane.getByRole('button', { name: 'Go On with Training' }).click({ timeout: 10_000 });
    const message = await workbench.waitForNotification(/target of 25 % of the MACs is met by round \d/);
    await workbench.screenshot('loop-rounds');
    const best = Number(/round (\d)/.exec(message)![1]);
    assert.ok(metrics(best).evaluation.macs * 4 <= metrics(0).evaluation.macs);
    assert.ok(metrics(0).evaluation.metrics.accuracy - metrics(best).evaluation.metrics.accuracy <= 0.005);
    const rows = await workbench.treeTexts('Rounds');
    assert.match(rows[0]!, /^Original.*accuracy 0\.986.*100 % of MACs/);
    assert.match(rows[best]!, new RegExp(`^Round ${best}.*accuracy 0\\.9.*2\\d % of MACs.*best`));
    assert.ok(!existsSync(path.join(rounds(), 'lock')) && !existsSync(path.join(rounds(), 'working')));
  });

  it('returns to a round: its model opens, with the same rounds beside it', async () => {
    await workbench.clearNotifications();
    await workbench.treeRow('Rounds', /Round 1/).click();
    await workbench.waitFor(async () => (await workbench.page.locator('.tabs-container .tab', { hasText: 'model.onnx' }).count()) === 2, 'the model of round 1 to open');
    await workbench.waitFor(async () => (await workbench.treeTexts('Rounds')).length >= 2, 'the rounds to show');
  });

  it('compares a round with the original: what it costs and who pays', async () => {
    await workbench.chooseFromContextMenu(workbench.treeRow('Rounds', /Round 1/), 'Compare with the Original');
    const preview = await workbench.webviewOfTab(/Preview.*round-01/);
    await preview.getByText('Classes that paid').waitFor();
    assert.match(await preview.locator('body').innerText(), /337,?536|3\.38e\+5|337536/);
    await workbench.screenshot('loop-comparison');
  });

  it('the user\'s own training command runs as a task, and what it writes becomes the next round', async () => {
    const before = readdirSync(rounds()).length;
    await workbench.closeEditors();
    await workbench.runCommand('Particlize: Train with My Own Command');
    await workbench.waitForNotification(/is now round \d: accuracy/);
    const made = readdirSync(rounds()).sort();
    assert.strictEqual(made.length, before + 1, made.join());
    const last = metrics(made.length - 1);
    assert.strictEqual(last.action, 'ownTraining');
    await workbench.screenshot('loop-own-training');
  });

  it('fine-tunes, and the result is a round too', async () => {
    await workbench.clearNotifications();
    await workbench.runCommand('Particlize: Fine-Tune…');
    await answer('How many times', '2');
    await workbench.waitForNotification(/is now round \d: accuracy/);
    assert.ok(!existsSync(path.join(rounds(), 'training')));
    assert.deepStrictEqual(workbench.extensionErrors(), []);
  });
});
