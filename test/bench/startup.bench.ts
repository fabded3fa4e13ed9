import { openWorkbench } from '../harness/openWorkbench.mjs';
import type { Workbench } from '../harness/workbench.mjs';
import { median, milliseconds, type Bench, type Row } from './measure';

const rounds = 3;

/** What a user waits for, measured in a real VS Code (code-server in headless Chromium). */
export const bench: Bench = {
  title: 'Starting and opening, in a real VS Code',
  async run() {
    const ours: number[] = [];
    const theirs: number[] = [];
    let activation: ReadonlyMap<string, number> = new Map();
    for (let round = 0; round < rounds; round++) {
      const workbench = await openWorkbench({});
      try {
        await workbench.explorerRow('model.onnx').waitFor();
        theirs.push(await timeOf(async () => {
          await workbench.explorerRow('README.md').dblclick();
          await workbench.page.locator('.monaco-editor .view-line').first().waitFor();
        }));
        ours.push(await fromClickToParticles(workbench));
        activation = await activationTimes(workbench);
      } finally {
        await workbench.close();
      }
    }
    const rows: Row[] = [{
      what: 'from the click on Particlize to the first particles in the panel', ours: milliseconds(median(ours)),
      against: 'from a double click on README.md to its text', theirs: milliseconds(median(theirs)),
      ratio: `${(median(ours) / median(theirs)).toFixed(1)} times as long`,
    }];
    const own = activation.get('Particlize');
    for (const [name, time] of activation) {
      if (name === 'Particlize' || own === undefined) continue;
      rows.push({ what: 'activation of the extension', ours: milliseconds(own), against: `activation of VS Code's own ${name}`, theirs: milliseconds(time), ratio: `${(own / Math.max(time, 0.5)).toFixed(2)} times as long` });
    }
    return rows;
  },
};

async function fromClickToParticles(workbench: Workbench): Promise<number> {
  const { page } = workbench;
  // The menu is whole only when VS Code has read the extension's contributions.
  await workbench.waitFor(async () => (await workbench.contextMenuLabels(workbench.explorerRow('model.onnx'))).includes('Particlize'), 'the menu');
  await workbench.explorerRow('model.onnx').click({ button: 'right' });
  const item = page.locator('.monaco-menu .action-item', { hasText: 'Particlize' }).first();
  await item.hover();
  await page.waitForTimeout(300);
  return timeOf(async () => {
    await item.click();
    const panel = await workbench.webviewOfTab('model.onnx');
    await panel.locator('[role=grid][aria-rowcount="4"]').waitFor();
  });
}

/** Activation times as VS Code measured them: its page "Running Extensions". */
async function activationTimes(workbench: Workbench): Promise<ReadonlyMap<string, number>> {
  await workbench.runCommand('Developer: Show Running Extensions');
  const list = workbench.page.locator('.runtime-extensions-editor .monaco-list-row');
  await list.first().waitFor();
  await workbench.page.waitForTimeout(1000);
  const found = new Map<string, number>();
  for (const text of await list.allInnerTexts()) {
    const name = text.split('\n').find((line) => line.trim() !== '')?.trim();
    const time = /(?:Activation|Startup Activation): (\d+)\s*ms/.exec(text.replaceAll('\u00a0', ' '));
    if (name && time && /Particlize|JSON|TypeScript|Notebook|IPython|Markdown/.test(name)) found.set(name, Number(time[1]));
  }
  return found;
}

async function timeOf(work: () => Promise<unknown>): Promise<number> {
  const start = performance.now();
  await work();
  return performance.now() - start;
}
